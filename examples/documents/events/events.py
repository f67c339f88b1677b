"""Events published and subscribed by two roles, under eventlet, which the document chose.

Document: "Message Queues and Event Driving in Microservice Architecture", section 4.2.

The document starts publisher.py and subscriber.py as processes of their own and runs an event loop
between them. The two roles are files of their own here as well; this version of FerryMQ has its
broker in one process, so they run as green threads of it. A handler that waits lets the others run.
"""

import eventlet

eventlet.monkey_patch()

import ferrymq  # noqa: E402 - what is patched is imported afterwards
import publisher  # noqa: E402
import subscriber  # noqa: E402


def main() -> None:
    seen: list[str] = []
    with ferrymq.open() as broker:
        billing = subscriber.main(broker, "billing", "order.*", seen)
        audit = subscriber.main(broker, "audit", "#", seen)
        eventlet.spawn(publisher.main, broker).wait()
        while len(seen) < 5:
            eventlet.sleep(0)
        billing.stop()
        audit.stop()
    for line in sorted(seen):
        print(line)


if __name__ == "__main__":
    main()
