"""The event bus: one topic exchange, and a queue for each subscription.

The names are the same in every language, so that any two may be the ends of one bus: the exchange
ferrymq.bus, ferrymq.bus.<name> for a durable subscription, ferrymq.bus.transient.<random> for one
that ends with whoever holds it.
"""

from __future__ import annotations

import contextlib
import secrets
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from ._errors import Closed, InvalidArgument, NotFound
from ._subscription import Subscription
from ._types import Body, Duration, HeaderValue, QueueOptions

if TYPE_CHECKING:
    from ._native import Broker, Delivery, Queue
    from ._types import Durability

__all__ = ["BusSubscription", "EventBus", "queue_of"]

EXCHANGE = "ferrymq.bus"
DURABLE = "ferrymq.bus."
TRANSIENT = "ferrymq.bus.transient."


def queue_of(name: str | None) -> tuple[str, QueueOptions]:
    """The queue of a subscription, and its options: what is transient survives nothing."""
    if name is None:
        options = QueueOptions(durability="memory", dead_letter=False, exclusive=True)
        return TRANSIENT + secrets.token_hex(8), options
    if not isinstance(name, str) or not name:
        raise InvalidArgument(f"name is {name!r}; it must be a str, or None for a transient one")
    return DURABLE + name, QueueOptions()


class EventBus:
    """Events: who publishes on a topic does not know who has subscribed to it.

    Each subscription gets every event whose topic its pattern matches; an event that its handler
    fails on comes back to that subscription alone. broker.bus() gives the bus.

    >>> import ferrymq, threading
    >>> seen = threading.Event()
    >>> with ferrymq.open() as broker:
    ...     bus = broker.bus()
    ...     with bus.subscribe("order.*", lambda event: seen.set()):
    ...         bus.publish("order.new", json={"id": 7})
    ...         seen.wait(10)
    1
    True
    """

    __slots__ = ("_broker", "_exchange")

    def __init__(self, broker: Broker, /) -> None:
        self._broker = broker
        self._exchange = broker.exchange(EXCHANGE, "topic")

    def publish(
        self,
        topic: str,
        body: Body | None = None,
        *,
        json: Any = ...,
        priority: int = 0,
        delay: Duration | None = None,
        ttl: Duration | None = None,
        headers: dict[str, HeaderValue] | None = None,
        durability: Durability | None = None,
        dedup_id: str | None = None,
        content_type: str | None = None,
        correlation_id: str | None = None,
        reply_to: str | None = None,
    ) -> int:
        """Give an event to every subscription that the topic reaches; return how many.

        The topic is words with dots between them, and becomes the event's key.
        """
        return self._exchange.produce(
            body,
            key=topic,
            json=json,
            priority=priority,
            delay=delay,
            ttl=ttl,
            headers=headers,
            durability=durability,
            dedup_id=dedup_id,
            content_type=content_type,
            correlation_id=correlation_id,
            reply_to=reply_to,
        )

    def subscribe(
        self,
        pattern: str,
        handler: Callable[[Delivery], Any],
        name: str | None = None,
        concurrency: int = 1,
    ) -> BusSubscription:
        """Run handler(event) for every event whose topic matches the pattern.

        pattern: `*` is one word, `#` none or more. name: the subscription is durable; its events
        wait while nobody is there, those who subscribe under one name share them, and its patterns
        add up. None: it begins now and ends with stop(). concurrency: so many at a time.

        As with queue.subscribe, what the handler raises is logged, and the event comes back after
        the backoff; other subscriptions are not touched.
        """
        queue_name, options = queue_of(name)
        queue = self._broker.queue(queue_name, **options)
        try:
            self._exchange.bind(queue, pattern)
            transient = queue if name is None else None
            return BusSubscription(queue, handler, queue._concurrency(concurrency), transient)
        except BaseException:
            if name is None:
                queue.delete()
            raise

    def __repr__(self) -> str:
        return "<EventBus>"


class BusSubscription(Subscription):
    """A subscription to a bus: its handler runs until it is stopped, or the broker is closed.

    As every Subscription a context manager: the end of the block stops it.
    """

    __slots__ = ("_transient",)

    def __init__(
        self,
        queue: Queue,
        handler: Callable[[Delivery], object],
        concurrency: int,
        transient: Queue | None,
        /,
    ) -> None:
        self._transient = transient
        super().__init__(queue, handler, concurrency)

    def stop(self, timeout: Duration | None = None) -> bool:
        """Finish what runs, give back what waits, and end; a transient one's queue is deleted.

        Returns whether all that ran has finished within the timeout (None: as long as it takes).
        """
        finished = super().stop(timeout)
        if self._transient is not None:
            # Deleted already, or with its broker.
            with contextlib.suppress(NotFound, Closed):
                self._transient.delete()
        return finished
