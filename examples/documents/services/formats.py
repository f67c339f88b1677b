"""A message each in text, XML, JSON and binary, told apart by its content_type.

Document: "Message Passing and Queues between Services in Microservices", section 3, step 2.

The document names four formats and leaves it to the services to know which one comes. A message
says so itself.
"""

import struct
from collections.abc import Callable
from xml.etree import ElementTree

import ferrymq

READING = struct.Struct("<Hd")


def read_text(message: ferrymq.Message) -> str:
    return message.text


def read_xml(message: ferrymq.Message) -> str:
    root = ElementTree.fromstring(message.body)
    return f"{root.findtext('name')}: {root.findtext('message')}"


def read_json(message: ferrymq.Message) -> str:
    value = message.json()
    return f"{value['name']}: {value['message']}"


def read_binary(message: ferrymq.Message) -> str:
    sensor, degrees = READING.unpack(message.body)
    return f"sensor {sensor}: {degrees} degrees"


READERS: dict[str | None, Callable[[ferrymq.Message], str]] = {
    "text/plain; charset=utf-8": read_text,
    "application/xml": read_xml,
    "application/json": read_json,
    "application/octet-stream": read_binary,
}


def main() -> None:
    with ferrymq.open() as broker:
        queue = broker.queue("formats")
        # Text and JSON say by themselves what they are.
        queue.produce("Hello World!")
        queue.produce(
            "<note><name>John</name><message>Hello World!</message></note>",
            content_type="application/xml",
        )
        queue.produce(json={"name": "John", "message": "Hello World!"})
        queue.produce(READING.pack(7, 21.5), content_type="application/octet-stream")
        queue.produce("what is this?", content_type="application/unknown")

        while (message := queue.consume()) is not None:
            reader = READERS.get(message.content_type)
            if reader is None:
                print(f"{message.content_type}: no reader")
                message.reject(reason=f"no reader for {message.content_type}")
                continue
            with message:
                print(f"{message.content_type}: {reader(message)}")


if __name__ == "__main__":
    main()
