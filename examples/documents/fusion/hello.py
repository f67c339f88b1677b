"""Hello World: a queue is declared, a producer sends, a callback receives, with auto ack.

Document: "The Fusion of Microservice Architecture and Message Queues", section 4.1 (RabbitMQ).
"""

import ferrymq


def publish(queue: ferrymq.Queue, message: str) -> None:
    queue.produce(message)
    print(f" [x] Sent '{message}'")


def callback(delivery: ferrymq.Delivery) -> None:
    print(f" [x] Received '{delivery.text}'")


def start_consuming(queue: ferrymq.Queue, messages: int) -> None:
    """The document's consumer never ends; this one does after so many messages."""
    with queue.consumer(auto_ack=True) as consumer:
        for delivery in consumer:
            callback(delivery)
            messages -= 1
            if messages == 0:
                break


def main() -> None:
    with ferrymq.open() as broker:
        hello = broker.queue("hello")
        publish(hello, "Hello World!")
        start_consuming(hello, messages=1)
        assert len(hello) == 0


if __name__ == "__main__":
    main()
