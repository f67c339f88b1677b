"""Monitoring and logs: what section 3, step 6 asks for, with Python's own tools.

Document: "Message Passing and Queues between Services in Microservices", section 3, step 6, and
question 5 of section 6. The other documents ask the same: "Asynchrony and Message Queues in
Microservice Architecture", section 6 (monitoring tools, logs and alarms).
"""

import logging
import sys
import threading

import ferrymq
import ferrymq.testing


def main() -> None:
    logging.basicConfig(stream=sys.stdout, format="%(levelname)s %(name)s: %(message)s")
    with ferrymq.testing.open() as broker:
        orders = broker.queue("orders", capacity=3)

        rang = threading.Event()

        def ring(alert: ferrymq.Alert) -> None:
            print(f"ALARM {alert.queue}: {alert.condition} {alert.limit:g}, found {alert.value:g}")
            rang.set()

        broker.alarm(ring, queue="orders", above=2)
        for number in range(3):
            orders.produce(f"order {number}")
        # The broker is looked at ten times a second, here whenever its clock is moved.
        broker.clock.advance(1)
        rang.wait()

        with orders.consume() as order:
            print(order.text)
        wanted = ("ferrymq_queue_ready", "ferrymq_queue_acked_total")
        for line in broker.metrics().splitlines():
            if line.startswith(wanted):
                print(line)

        # A line of the log, without what is in the message, and without the reason.
        orders.consume().reject(reason="no such customer")


if __name__ == "__main__":
    main()
