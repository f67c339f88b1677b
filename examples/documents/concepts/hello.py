"""A producer and a consumer that know only the name of their queue, each started by itself.

Document: "Message Queues: Core Concepts and Best Practice", section 4.1, and the five steps of
section 3.2: send, store, receive, mark as handled, go on.

The document's two programs run in two processes, against a broker in a third. This version of
FerryMQ has its broker in one process: the two programs are two threads here. The producer has ended
before the consumer begins: the queue keeps the message for it.
"""

import threading

import ferrymq


def producer(broker: ferrymq.Broker) -> None:
    queue = broker.queue("hello")
    message = "Hello World!"
    queue.produce(message)
    print(f" [x] Sent '{message}'")


def consumer(broker: ferrymq.Broker, received: threading.Event) -> ferrymq.Subscription:
    queue = broker.queue("hello")

    def callback(delivery: ferrymq.Delivery) -> None:
        # Returning marks the message as handled (step 4); raising gives it back.
        print(f" [x] Received '{delivery.text}'")
        received.set()

    return queue.subscribe(callback)


def main() -> None:
    received = threading.Event()
    with ferrymq.open() as broker:
        sender = threading.Thread(target=producer, args=(broker,))
        sender.start()
        sender.join()
        with consumer(broker, received):
            received.wait()


if __name__ == "__main__":
    main()
