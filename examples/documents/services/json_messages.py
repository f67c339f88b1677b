"""JSON from one service to another, with what goes wrong handled.

Document: "Message Passing and Queues between Services in Microservices", section 4, and question 6
of section 6 (errors and exceptions).

The document's receiver never acknowledges, so that its broker sends everything again, and it ends
with the first body that is no JSON. Here a message that is not acked comes back too (that is
shown), a handler that fails gets it again, and what can never be read goes to the dead letters.
"""

import ferrymq
import ferrymq.testing

LEASE = 30


def send_message(queue: ferrymq.Queue, message: dict[str, str]) -> None:
    queue.produce(json=message)
    print(f" [x] Sent {message}")


def receive_message(delivery: ferrymq.Delivery) -> None:
    """The callback: reads the message and handles it. What it raises decides what becomes of it."""
    print(f" [x] Received {delivery.text} (attempt {delivery.attempt})")
    message = delivery.json()
    print(f" [.] {message['name']}: {message['message']}")


def receive(queue: ferrymq.Queue) -> None:
    """Receive what waits; the document's start_consuming() has no end."""
    while (delivery := queue.consume()) is not None:
        try:
            receive_message(delivery)
        except (ferrymq.InvalidArgument, KeyError, TypeError) as error:
            # No second attempt makes JSON of this, or gives it the field.
            print(f" [!] malformed: {type(error).__name__}")
            delivery.reject(reason=f"malformed: {error}")
        except Exception as error:
            delivery.nack(reason=str(error))
        else:
            delivery.ack()


def main() -> None:
    # A clock that is moved by hand, so that the end of a lease takes no time.
    with ferrymq.testing.open() as broker:
        queue = broker.queue("hello", lease=LEASE)
        send_message(queue, {"name": "John", "message": "Hello World!"})

        print(" [*] A receiver that never acks, as in the document")
        forgotten = queue.consume()
        assert forgotten is not None
        receive_message(forgotten)
        broker.clock.advance(LEASE)
        try:
            forgotten.ack()
        except ferrymq.LeaseLost:
            print(" [*] Its lease has ended: the message is back, and this ack comes too late")

        print(" [*] A receiver that handles what can go wrong")
        queue.produce("{'name': 'John'}", content_type="application/json")
        queue.produce(json={"name": "John"})
        queue.produce(json=["no", "object"])
        receive(queue)

        dead = broker.queue("hello.dead", create=False)
        for letter in dead.peek(10):
            print(f" [!] {letter.text}: {letter.headers['x-dead-detail']}")
        assert (len(queue), len(dead)) == (0, 3)


if __name__ == "__main__":
    main()
