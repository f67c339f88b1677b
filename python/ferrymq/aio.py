"""FerryMQ for asyncio: the same names, awaitable.

>>> import asyncio, ferrymq.aio
>>> async def main():
...     async with ferrymq.aio.open() as broker:
...         queue = await broker.queue("greetings")
...         await queue.produce("hello")
...         async with await queue.consume() as delivery:  # the end of the block acks
...             print(delivery.text)
>>> asyncio.run(main())
hello

A handle belongs to no event loop: threads, and any number of loops, may use one broker at once.
Every call may be cancelled: what it was about to be given is released, uncounted.
"""

from __future__ import annotations

import itertools
import os
from collections.abc import AsyncIterator, Callable, Iterable
from datetime import datetime
from types import TracebackType
from typing import Any, Self, Unpack, cast

import ferrymq

from . import _native
from ._aio_bus import BusSubscription, EventBus
from ._aio_subscription import Subscription
from ._aio_waiting import answered as _answered
from ._aio_waiting import result as _result
from ._bus import EXCHANGE
from ._errors import Closed, FerryError
from ._types import (
    Alert,
    Body,
    BrokerStats,
    Durability,
    Duration,
    ExchangeKind,
    HeaderValue,
    Match,
    QueueOptions,
    QueueStats,
)
from ._watching import in_loop

__all__ = [
    "Broker",
    "BusSubscription",
    "Consumer",
    "Delivery",
    "EventBus",
    "Exchange",
    "Queue",
    "Subscription",
    "Transaction",
    "open",
]


def open(
    path: str | os.PathLike[str] | None = None,
    *,
    durability: Durability = "durable",
    memory_limit: int | None = None,
    lease: Duration = 30.0,
) -> Broker:
    """Open a broker, as ferrymq.open does; use it with `async with`."""
    return Broker(ferrymq.open(path, durability=durability, memory_limit=memory_limit, lease=lease))


# The priority of a message that has none; small integers are one object each.
_FIRST = 0

# The most deliveries of one batch: one more is refused, and an endless iterator has an end.
_BATCH = 100_000


# Looked up once: one delivery after the other is made with it.
_seen = ferrymq.Message.__new__


class Delivery(ferrymq.Message):
    """A message that is yours until its lease ends; settle it with ack, nack, reject or release.

    As an async context manager it settles itself: the end of the block acks, an exception nacks
    with the exception as reason, cancellation, Ctrl-C and SystemExit release. While the block runs
    the lease is renewed, up to 12 hours after it began.
    """

    __slots__ = ("_calls", "_delivery")
    _delivery: ferrymq.Delivery
    _calls: Any

    def __new__(cls, delivery: ferrymq.Delivery, /) -> Self:
        self = _seen(cls, delivery)
        self._delivery = self._calls = delivery
        return self

    @property
    def token(self) -> bytes:
        """What settles this delivery, as bytes; empty with auto_ack."""
        return self._delivery.token

    @property
    def deadline(self) -> datetime | None:
        """When the lease ends, a datetime in UTC; None with auto_ack."""
        return self._delivery.deadline

    async def ack(self, *, durable: bool = False) -> None:
        """Done with it. With durable=True it returns once that survives a power cut."""
        started = self._calls.ack() if durable is False else self._calls.ack(durable=durable)
        if type(started) is _native.Pending:
            await _answered(started)

    async def nack(self, delay: Duration | None = None, reason: str | None = None) -> None:
        """Not done: back after `delay`, or the queue's backoff."""
        await _result(self._calls.nack(delay, reason))

    async def reject(self, reason: str | None = None) -> None:
        """Cannot be done: dead-lettered now, with the reason."""
        await _result(self._calls.reject(reason))

    async def release(self) -> None:
        """Not begun: back to its place at once, the attempt not counted."""
        await _result(self._calls.release())

    async def extend(self, seconds: Duration) -> None:
        """More time: the lease now ends so many seconds from now."""
        await _result(self._calls.extend(seconds))

    async def reply(
        self,
        body: Body | None = None,
        *,
        json: Any = ...,
        key: str | None = None,
        priority: int = 0,
        delay: Duration | None = None,
        ttl: Duration | None = None,
        headers: dict[str, HeaderValue] | None = None,
        durability: Durability | None = None,
        content_type: str | None = None,
        reply_to: str | None = None,
    ) -> int:
        """Answer the message, on the queue that it names in reply_to; it is still to be settled."""
        started = self._calls.reply(
            body,
            json=json,
            key=key,
            priority=priority,
            delay=delay,
            ttl=ttl,
            headers=headers,
            durability=durability,
            content_type=content_type,
            reply_to=reply_to,
        )
        return cast("int", await _result(started))

    async def __aenter__(self) -> Self:
        self._delivery._keep()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
        /,
    ) -> None:
        if self._delivery._settled:
            return
        if error is None:
            await self.ack()
            return
        # The block's own exception goes on in any case; started, not awaited: these settle at
        # once, and a task that is being cancelled should not wait.
        try:
            if isinstance(error, Exception):
                self._delivery.nack(reason=_native._reason_of(error))
            else:
                self._delivery.release()
        except FerryError:
            pass


def _token(delivery: Delivery | bytes) -> ferrymq.Delivery | bytes:
    return delivery._delivery if isinstance(delivery, Delivery) else delivery


def _tokens(deliveries: Any) -> Any:
    if isinstance(deliveries, list):
        return [_token(delivery) for delivery in deliveries]
    return deliveries


class Queue:
    """A queue for asyncio; see ferrymq.Queue. Handles come from `await broker.queue(name)`."""

    __slots__ = ("_calls", "_queue")

    def __init__(self, queue: ferrymq.Queue, /) -> None:
        self._queue = queue
        self._calls = queue._starting()

    @property
    def name(self) -> str:
        """The queue's name."""
        return self._queue.name

    async def produce(
        self,
        body: Body | None = None,
        *,
        json: Any = ...,
        key: str | None = None,
        priority: int = 0,
        delay: Duration | None = None,
        ttl: Duration | None = None,
        headers: dict[str, HeaderValue] | None = None,
        dedup_id: str | None = None,
        durability: Durability | None = None,
        content_type: str | None = None,
        correlation_id: str | None = None,
        reply_to: str | None = None,
        timeout: Duration | None = None,
    ) -> int | None:
        """Put a message on the queue and return its id, once it is as safe as asked."""
        # Spelled out, because it is the way of most messages: by identity, and without a tuple.
        is_plain = json is ... and key is None and headers is None and content_type is None
        is_plain = is_plain and correlation_id is None and reply_to is None and durability is None
        is_plain = is_plain and dedup_id is None
        if is_plain and delay is None and ttl is None and priority is _FIRST:
            started = self._calls.produce(body, timeout=timeout)
        else:
            started = self._calls.produce(
                body,
                json=json,
                key=key,
                priority=priority,
                delay=delay,
                ttl=ttl,
                headers=headers,
                dedup_id=dedup_id,
                durability=durability,
                content_type=content_type,
                correlation_id=correlation_id,
                reply_to=reply_to,
                timeout=timeout,
            )
        if type(started) is _native.Pending:
            started = await _answered(started)
        return cast("int | None", started)

    async def produce_many(
        self, items: Iterable[Body | ferrymq.Outgoing], *, timeout: Duration | None = None
    ) -> list[int]:
        """Put messages on the queue, all or none, and return their ids."""
        return cast("list[int]", await _result(self._calls.produce_many(items, timeout=timeout)))

    async def request(
        self,
        body: Body | None = None,
        *,
        timeout: Duration | None = 30.0,
        json: Any = ...,
        key: str | None = None,
        priority: int = 0,
        headers: dict[str, HeaderValue] | None = None,
        durability: Durability | None = None,
        content_type: str | None = None,
    ) -> ferrymq.Message:
        """Send a message and return its reply; Unavailable when none came within the timeout."""
        sent, reply = self._calls.request(
            body,
            timeout=timeout,
            json=json,
            key=key,
            priority=priority,
            headers=headers,
            durability=durability,
            content_type=content_type,
        )
        try:
            await _result(sent)
            return cast("ferrymq.Message", await _answered(reply))
        finally:
            reply.cancel()

    async def consume(
        self, timeout: Duration | None = 0, *, auto_ack: bool = False
    ) -> Delivery | None:
        """Take the next message; None when there is none within the timeout (None: for ever)."""
        started = self._calls.consume(timeout, auto_ack=auto_ack)
        if type(started) is _native.Pending:
            started = await _answered(started)
        return None if started is None else Delivery(started)

    async def consume_many(
        self, max_messages: int, timeout: Duration | None = 0, *, auto_ack: bool = False
    ) -> list[Delivery]:
        """Take up to max_messages; waits for the first only."""
        deliveries = self._calls.consume_many(max_messages, timeout, auto_ack=auto_ack)
        return [Delivery(delivery) for delivery in await _result(deliveries)]

    async def ack_many(self, deliveries: Iterable[Delivery | bytes]) -> None:
        """Ack deliveries (or their tokens); LeaseLost lists in lost those it could not."""
        # What is no iterable goes on as it is, to be refused there.
        is_batch = isinstance(deliveries, Iterable)
        passed = list(itertools.islice(deliveries, _BATCH + 1)) if is_batch else deliveries
        try:
            await _result(self._calls.ack_many(_tokens(passed)))
        except ferrymq.LeaseLost as error:
            ours = {
                delivery.token: delivery for delivery in passed if isinstance(delivery, Delivery)
            }
            error.lost = [
                ours.get(lost.token, lost) if isinstance(lost, ferrymq.Delivery) else lost
                for lost in error.lost
            ]
            raise

    async def ack(self, token: Delivery | bytes, *, durable: bool = False) -> None:
        """As delivery.ack(), by the delivery's token."""
        await _result(self._calls.ack(_token(token), durable=durable))

    async def nack(
        self,
        token: Delivery | bytes,
        delay: Duration | None = None,
        reason: str | None = None,
    ) -> None:
        """As delivery.nack(), by the delivery's token."""
        await _result(self._calls.nack(_token(token), delay, reason))

    async def reject(self, token: Delivery | bytes, reason: str | None = None) -> None:
        """As delivery.reject(), by the delivery's token."""
        await _result(self._calls.reject(_token(token), reason))

    async def release(self, token: Delivery | bytes) -> None:
        """As delivery.release(), by the delivery's token."""
        await _result(self._calls.release(_token(token)))

    async def extend(self, token: Delivery | bytes, seconds: Duration) -> None:
        """As delivery.extend(), by the delivery's token."""
        await _result(self._calls.extend(_token(token), seconds))

    async def peek(self, n: int = 1) -> list[ferrymq.Message]:
        """The next messages in the order in which they would be delivered. Changes nothing."""
        return cast("list[ferrymq.Message]", await _result(self._calls.peek(n)))

    async def redrive(self, max_messages: int | None = None) -> int:
        """On a dead-letter queue: send messages back to the queues they came from."""
        return cast("int", await _result(self._calls.redrive(max_messages)))

    async def alter(self, **options: Unpack[QueueOptions]) -> None:
        """Change options of the queue: all but priorities, ordered_keys and exclusive."""
        await _result(self._calls.alter(**options))

    async def purge(self) -> int:
        """Remove all messages that wait. Returns how many."""
        return cast("int", await _result(self._calls.purge()))

    async def delete(self) -> int:
        """Remove the queue and everything in it. Returns how many messages went with it."""
        return cast("int", await _result(self._calls.delete()))

    async def stats(self) -> QueueStats:
        """The queue in numbers, as of now."""
        return cast("QueueStats", await _result(self._calls.stats()))

    async def size(self) -> int:
        """How many messages there are: ready + delayed + leased."""
        return cast("int", await _result(self._calls._size()))

    def consumer(self, *, prefetch: int = 100, auto_ack: bool = False) -> Consumer:
        """A push consumer: deliveries as they come, up to prefetch of them reserved for it."""
        return Consumer(self._calls.consumer(prefetch=prefetch, auto_ack=auto_ack))

    def subscribe(
        self, handler: Callable[[Delivery], object], *, concurrency: int = 1
    ) -> Subscription:
        """Call and await handler(delivery) for each message, so many at once; see Subscription."""
        return Subscription(self, handler, self._queue._concurrency(concurrency))

    def __aiter__(self) -> AsyncIterator[Delivery]:
        """Deliveries as they come, waiting for each, until the broker is closed: as consumer()."""
        return Consumer(iter(self._calls))

    def __repr__(self) -> str:
        return f"<aio {self._queue!r}>"


class Consumer:
    """A push consumer for asyncio: `async for delivery in queue.consumer()`; see ferrymq.Consumer.

    The iteration ends when the consumer or the broker is closed. As an async context manager the
    end of the block closes it. Closed, or dropped, it gives back what it had not handed out.
    """

    __slots__ = ("__weakref__", "_calls")

    def __init__(self, consumer: Any, /) -> None:
        self._calls = consumer

    @property
    def queue(self) -> str:
        """The name of the queue that it consumes from."""
        return cast("str", self._calls.queue)

    async def consume(self, timeout: Duration | None = 0) -> Delivery | None:
        """Take the next message; None when there is none within the timeout (None: for ever)."""
        started = self._calls.consume(timeout)
        if type(started) is _native.Pending:
            started = await _answered(started)
        return None if started is None else Delivery(started)

    async def consume_many(self, max_messages: int, timeout: Duration | None = 0) -> list[Delivery]:
        """Take up to max_messages of what is reserved; waits for the first only."""
        deliveries = self._calls.consume_many(max_messages, timeout)
        return [Delivery(delivery) for delivery in await _result(deliveries)]

    async def close(self) -> None:
        """Close the consumer: what is reserved for it goes back to the queue."""
        self._calls.close()

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Delivery:
        try:
            started = self._calls.consume(None)
            if type(started) is _native.Pending:
                started = await _answered(started)
        except Closed:
            raise StopAsyncIteration from None
        return Delivery(started)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
        /,
    ) -> None:
        await self.close()

    def __repr__(self) -> str:
        return f"<aio {self._calls!r}>"


class Exchange:
    """An exchange for asyncio; see ferrymq.Exchange."""

    __slots__ = ("_calls", "_exchange")

    def __init__(self, exchange: ferrymq.Exchange, /) -> None:
        self._exchange = exchange
        self._calls = exchange._starting()

    @property
    def name(self) -> str:
        """The exchange's name."""
        return self._exchange.name

    async def bind(
        self,
        queue_or_exchange: Queue | Exchange,
        pattern: str = "",
        headers: dict[str, HeaderValue] | None = None,
        match: Match = "all",
    ) -> None:
        """Lead messages to a queue, or on to another exchange; arguments as ferrymq.Exchange's."""
        target = _plain(queue_or_exchange)
        await _result(self._calls.bind(target, pattern, headers, match))

    async def unbind(
        self,
        queue_or_exchange: Queue | Exchange,
        pattern: str = "",
        headers: dict[str, HeaderValue] | None = None,
        match: Match = "all",
    ) -> None:
        """Take a binding away; say what bind() was told. Raises NotFound if there is none."""
        target = _plain(queue_or_exchange)
        await _result(self._calls.unbind(target, pattern, headers, match))

    async def produce(
        self,
        body: Body | None = None,
        *,
        key: str = "",
        mandatory: bool = False,
        json: Any = ...,
        priority: int = 0,
        delay: Duration | None = None,
        ttl: Duration | None = None,
        headers: dict[str, HeaderValue] | None = None,
        dedup_id: str | None = None,
        durability: Durability | None = None,
        content_type: str | None = None,
        correlation_id: str | None = None,
        reply_to: str | None = None,
    ) -> int:
        """Route a message to every queue that its key reaches; returns how many."""
        reached = await _result(
            self._calls.produce(
                body,
                key=key,
                mandatory=mandatory,
                json=json,
                priority=priority,
                delay=delay,
                ttl=ttl,
                headers=headers,
                dedup_id=dedup_id,
                durability=durability,
                content_type=content_type,
                correlation_id=correlation_id,
                reply_to=reply_to,
            )
        )
        return cast("int", reached)

    async def delete(self) -> None:
        """Remove the exchange, its bindings, and those that lead to it."""
        await _result(self._calls.delete())

    def __repr__(self) -> str:
        return f"<aio {self._exchange!r}>"


def _plain(handle: Any) -> Any:
    """The handle of the native module; what is none goes on as it is, to be refused there."""
    if isinstance(handle, Queue):
        return handle._queue
    return handle._exchange if isinstance(handle, Exchange) else handle


class Transaction:
    """Produces and acks that commit together or not at all: `async with broker.transaction()`."""

    __slots__ = ("_calls", "_transaction")

    def __init__(self, transaction: ferrymq.Transaction, /) -> None:
        self._transaction = transaction
        self._calls: Any = transaction

    async def produce(
        self,
        target: Queue | Exchange,
        body: Body | None = None,
        *,
        json: Any = ...,
        key: str | None = None,
        mandatory: bool | None = None,
        priority: int = 0,
        delay: Duration | None = None,
        ttl: Duration | None = None,
        headers: dict[str, HeaderValue] | None = None,
        dedup_id: str | None = None,
        durability: Durability | None = None,
        content_type: str | None = None,
        correlation_id: str | None = None,
        reply_to: str | None = None,
    ) -> None:
        """Add a produce to a queue or an exchange; arguments as there."""
        self._transaction.produce(
            _plain(target),
            body,
            json=json,
            key=key,
            mandatory=mandatory,
            priority=priority,
            delay=delay,
            ttl=ttl,
            headers=headers,
            dedup_id=dedup_id,
            durability=durability,
            content_type=content_type,
            correlation_id=correlation_id,
            reply_to=reply_to,
        )

    async def ack(self, delivery: Delivery | bytes) -> None:
        """Add the ack of a delivery (or of its token)."""
        self._transaction.ack(_token(delivery))

    async def commit(self) -> None:
        """Do all of it, or raise and do none. The end of the block calls it."""
        await _result(self._calls.commit())

    async def rollback(self) -> None:
        """Forget all of it. An exception in the block calls it."""
        self._transaction.rollback()

    @property
    def results(self) -> list[int | None]:
        """After the commit: the message's id, the number of queues reached, or None for an ack."""
        return self._transaction.results

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
        /,
    ) -> None:
        if error is not None:
            self._transaction.rollback()
        elif not self._transaction._is_over:
            await self.commit()


class Broker:
    """A broker for asyncio; see ferrymq.Broker. `ferrymq.aio.open()` or `broker.aio` gives one."""

    __slots__ = ("_broker", "_calls")

    def __init__(self, broker: ferrymq.Broker, /) -> None:
        self._broker = broker
        self._calls = broker._starting()

    @property
    def sync(self) -> ferrymq.Broker:
        """The same broker for threads."""
        return self._broker

    @property
    def closed(self) -> bool:
        """Whether the broker was closed."""
        return self._broker.closed

    async def queue(
        self, name: str, *, create: bool = True, **options: Unpack[QueueOptions]
    ) -> Queue:
        """Declare a queue and return its handle."""
        queue = await _result(self._calls.queue(name, create=create, **options))
        return Queue(queue)

    async def exchange(
        self,
        name: str,
        kind: ExchangeKind | None = None,
        *,
        alternate: str | None = None,
        create: bool = True,
    ) -> Exchange:
        """Declare an exchange and return its handle; arguments as ferrymq.Broker's."""
        exchange = self._calls.exchange(name, kind, alternate=alternate, create=create)
        return Exchange(await _result(exchange))

    def transaction(self) -> Transaction:
        """Produces and acks that commit together or not at all: an async context manager."""
        return Transaction(self._calls.transaction())

    async def bus(self) -> EventBus:
        """The event bus: publish(topic, body), subscribe(pattern, handler)."""
        return EventBus(self, await self.exchange(EXCHANGE, "topic"))

    @property
    def damage(self) -> list[str]:
        """What a damaged store has lost, a sentence each; see ferrymq.Broker."""
        return self._broker.damage

    async def metrics(self) -> str:
        """The broker and its queues in numbers, as text for Prometheus."""
        return self._broker.metrics()

    def alarm(
        self,
        callback: Callable[[Alert], Any],
        *,
        queue: str | None = None,
        above: int | None = None,
        older_than: Duration | None = None,
        dead_letters: bool = False,
    ) -> ferrymq.Alarm:
        """As ferrymq.Broker.alarm; the callback, or coroutine function, runs in this event loop."""
        return self._broker.alarm(
            in_loop(callback) if callable(callback) else callback,
            queue=queue,
            above=above,
            older_than=older_than,
            dead_letters=dead_letters,
        )

    async def queues(self) -> list[QueueStats]:
        """All queues in numbers, by name."""
        return cast("list[QueueStats]", await _result(self._calls.queues()))

    async def stats(self) -> BrokerStats:
        """The broker in numbers."""
        return cast("BrokerStats", await _result(self._calls.stats()))

    async def close(self) -> None:
        """Close the broker for everyone: who waits gets Closed, and so does every later call."""
        self._broker.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
        /,
    ) -> None:
        self._broker.close()

    def __repr__(self) -> str:
        return f"<aio {self._broker!r}>"
