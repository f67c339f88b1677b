"""A topic, a producer, and a group's consumer that prints topic, partition, offset and value.

Document: "The Fusion of Microservice Architecture and Message Queues", section 4.2 (Kafka).

A topic is an exchange, a group is a queue that is bound to it: each group gets every message, the
consumers of one group share them. Until FerryMQ has streams with partitions and offsets, partition
0 and the message's id stand in for them. As the document's consumer asks for the earliest message,
the group is there before the first one is sent.
"""

import ferrymq

TOPIC, GROUP = "test-topic", "test-group"


def publish(topic: ferrymq.Exchange, message: str) -> None:
    topic.produce(message)
    print(f" [x] Sent '{message}'")


def consume(group: ferrymq.Queue) -> None:
    """Print what waits for the group. The document's loop has no end; this one has."""
    while (message := group.consume()) is not None:
        with message:
            partition, offset = 0, message.id
            print(f"{TOPIC}:{partition}:{offset}:'{message.text}'")


def main() -> None:
    with ferrymq.open() as broker:
        topic = broker.exchange(TOPIC, "fanout")
        groups = [broker.queue(f"{TOPIC}/{name}") for name in (GROUP, "another-group")]
        for group in groups:
            topic.bind(group)

        topic.produce(b"Hello, Kafka!")
        publish(topic, "Hello Kafka!")

        consume(groups[0])
        # Another group reads the same from its beginning.
        assert [message.text for message in groups[1].peek(10)] == ["Hello, Kafka!", "Hello Kafka!"]


if __name__ == "__main__":
    main()
