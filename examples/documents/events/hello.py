"""A producer service and a consumer service on one queue.

Document: "Message Queues and Event Driving in Microservice Architecture", section 4.1 (RabbitMQ),
with the confirmation and the retry that its section 3.1 describes.
"""

import ferrymq


def publish(queue: ferrymq.Queue, message: str) -> int:
    # produce() returns when the message is accepted: that is the producer's confirmation.
    confirmed = queue.produce(message)
    print(f" [x] Sent '{message}'")
    return confirmed


def consume(queue: ferrymq.Queue) -> None:
    """The document's consumer lacks its callback. This one fails once, and gets it again."""
    while (delivery := queue.consume()) is not None:
        try:
            # The end of the block is the consumer's confirmation; an exception gives it back.
            with delivery:
                if delivery.attempt == 1:
                    raise ConnectionError("the service behind is away")
                print(f" [x] Received '{delivery.text}' (attempt {delivery.attempt})")
        except ConnectionError as error:
            print(f" [!] {error}: back to the queue")


def main() -> None:
    with ferrymq.open() as broker:
        hello = broker.queue("hello", backoff=0)
        publish(hello, "Hello World!")
        consume(hello)
        assert hello.stats().acked == 1


if __name__ == "__main__":
    main()
