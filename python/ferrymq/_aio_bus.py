"""The event bus for asyncio; see ferrymq._bus, whose names it shares."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from ._aio_subscription import Subscription
from ._bus import queue_of
from ._errors import Closed, NotFound
from ._types import Body, Duration, HeaderValue

if TYPE_CHECKING:
    from ._types import Durability
    from .aio import Broker, Delivery, Exchange, Queue

__all__ = ["BusSubscription", "EventBus"]


class EventBus:
    """The event bus for asyncio; see ferrymq.EventBus. `await broker.bus()` gives it."""

    __slots__ = ("_broker", "_exchange")

    def __init__(self, broker: Broker, exchange: Exchange, /) -> None:
        self._broker = broker
        self._exchange = exchange

    async def publish(
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
        """Give an event to every subscription that the topic reaches; return how many."""
        return await self._exchange.produce(
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

    async def subscribe(
        self,
        pattern: str,
        handler: Callable[[Delivery], Any],
        name: str | None = None,
        concurrency: int = 1,
    ) -> BusSubscription:
        """Run the handler, a coroutine function, for every event whose topic matches the pattern.

        name: the subscription is durable. None: it begins now and ends with stop().
        """
        queue_name, options = queue_of(name)
        queue = await self._broker.queue(queue_name, **options)
        try:
            await self._exchange.bind(queue, pattern)
            transient = queue if name is None else None
            checked = queue._queue._concurrency(concurrency)
            return BusSubscription(queue, handler, checked, transient)
        except BaseException:
            if name is None:
                await queue.delete()
            raise

    def __repr__(self) -> str:
        return "<aio EventBus>"


class BusSubscription(Subscription):
    """A subscription to a bus: its handler runs until it is stopped, or the broker is closed.

    As every Subscription an async context manager: the end of the block stops it.
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

    async def stop(self, timeout: Duration | None = None) -> bool:
        """Finish what runs, give back what waits, and end; a transient one's queue is deleted."""
        finished = await super().stop(timeout)
        if self._transient is not None:
            # Deleted already, or with its broker.
            with contextlib.suppress(NotFound, Closed):
                await self._transient.delete()
        return finished
