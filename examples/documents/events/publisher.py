"""The publisher: it creates events and hands them to the bus, and knows no subscriber.

Document: "Message Queues and Event Driving in Microservice Architecture", sections 3.2.1 and 4.2.
"""

import ferrymq

EVENTS = [
    ("order.created", {"id": 7}),
    ("order.paid", {"id": 7}),
    ("stock.low", {"article": "tea"}),
]


def main(broker: ferrymq.Broker) -> None:
    bus = broker.bus()
    for topic, event in EVENTS:
        reached = bus.publish(topic, json=event)
        print(f"published {topic} to {reached} subscriptions")
