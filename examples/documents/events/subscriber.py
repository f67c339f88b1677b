"""The subscriber: it registers a handler for a type of events.

Document: "Message Queues and Event Driving in Microservice Architecture", sections 3.2.2 and 4.2.
"""

import ferrymq


def main(broker: ferrymq.Broker, name: str, pattern: str, seen: list[str]) -> ferrymq.Subscription:
    def handler(event: ferrymq.Delivery) -> None:
        seen.append(f"{name} handled {event.key} {event.text}")

    # A name makes the subscription durable: it would get what was published while it was away.
    return broker.bus().subscribe(pattern, handler, name=name)
