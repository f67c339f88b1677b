"""The classes MessageQueue, Producer and Consumer, on a queue that keeps its promises.

Document: "Asynchrony and Message Queues in Microservice Architecture", section 4.

The class keeps the document's two verbs, and consume() still gives None when nothing waits. What
changes is underneath: the list that is shifted with every pop(0) is a queue of the engine, and a
message is gone only when its consumer is done with it.
"""

import ferrymq


class MessageQueue:
    def __init__(self, broker: ferrymq.Broker, name: str = "messages") -> None:
        self.queue = broker.queue(name)

    def produce(self, message: str) -> None:
        self.queue.produce(message)

    def consume(self) -> ferrymq.Delivery | None:
        return self.queue.consume()


class Producer:
    def __init__(self, message_queue: MessageQueue) -> None:
        self.message_queue = message_queue

    def produce_message(self, message: str) -> None:
        self.message_queue.produce(message)
        print(f"Produced message: {message}")


class Consumer:
    def __init__(self, message_queue: MessageQueue) -> None:
        self.message_queue = message_queue

    def consume_message(self) -> None:
        message = self.message_queue.consume()
        # Not `if message:`, which would drop an empty message unseen.
        if message is None:
            print("Nothing to consume")
            return
        # The end of the block acks; an exception in it gives the message back.
        with message:
            print(f"Consumed message: {message.text}")


def main() -> None:
    with ferrymq.open() as broker:
        message_queue = MessageQueue(broker)
        producer, consumer = Producer(message_queue), Consumer(message_queue)

        producer.produce_message("Hello, World!")
        consumer.consume_message()

        consumer.consume_message()
        assert message_queue.queue.stats().acked == 1


if __name__ == "__main__":
    main()
