"""What the native module gives. Names with an underscore are between it and the package."""

from collections.abc import Callable, Iterable, Iterator
from datetime import datetime
from types import TracebackType
from typing import Any, Literal, Self, Unpack, final

from typing_extensions import disjoint_base

from . import aio as _aio
from ._bus import EventBus
from ._subscription import Subscription
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

__version__: str
__all__ = [
    "Alarm",
    "Broker",
    "Consumer",
    "Delivery",
    "Exchange",
    "Message",
    "Outgoing",
    "Pending",
    "Queue",
    "Ready",
    "Testing",
    "Transaction",
    "__version__",
    "_exiting",
    "_forked",
    "_open",
    "_open_testing",
    "_reason_of",
]

def _exiting() -> None: ...
def _forked() -> None: ...
def _reason_of(error: BaseException) -> str: ...
def _open(
    path: str | None = None,
    *,
    durability: Durability | None = None,
    memory_limit: int | None = None,
    lease: Duration | None = None,
) -> Broker: ...
def _open_testing(
    storage: Literal["memory", "manual", "store"],
    path: str | None = None,
    *,
    durability: Durability | None = None,
    memory_limit: int | None = None,
    lease: Duration | None = None,
    seed: int | None = None,
) -> tuple[Broker, Testing]: ...

@disjoint_base
class Broker:
    """A broker: queues, exchanges and what is in them. `ferrymq.open()` gives one."""

    def __new__(cls, other: Broker, /) -> Self: ...
    @property
    def aio(self) -> _aio.Broker: ...
    @property
    def closed(self) -> bool: ...
    def queue(
        self, name: str, *, create: bool = True, **options: Unpack[QueueOptions]
    ) -> Queue: ...
    def exchange(
        self,
        name: str,
        kind: ExchangeKind | None = None,
        *,
        alternate: str | None = None,
        create: bool = True,
    ) -> Exchange: ...
    def transaction(self) -> Transaction: ...
    def bus(self) -> EventBus: ...
    @property
    def damage(self) -> list[str]: ...
    def metrics(self) -> str: ...
    def alarm(
        self,
        callback: Callable[[Alert], Any],
        *,
        queue: str | None = None,
        above: int | None = None,
        older_than: Duration | None = None,
        dead_letters: bool = False,
    ) -> Alarm: ...
    def queues(self) -> list[QueueStats]: ...
    def stats(self) -> BrokerStats: ...
    def close(self) -> None: ...
    def _starting(self) -> Any: ...
    def __enter__(self) -> Self: ...
    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
        /,
    ) -> Literal[False]: ...

@final
class Alarm:
    """An alarm that is set: it calls until it is cancelled or its broker is closed."""

    def cancel(self) -> None: ...

@final
class Queue:
    """A queue: produce puts messages on it, consume hands them out, each to one consumer at a time."""

    @property
    def name(self) -> str: ...
    def produce(
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
    ) -> int | None: ...
    def produce_many(
        self, items: Iterable[Body | Outgoing], *, timeout: Duration | None = None
    ) -> list[int]: ...
    def request(
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
    ) -> Message: ...
    def consume(
        self, timeout: Duration | None = 0, *, auto_ack: bool = False
    ) -> Delivery | None: ...
    def consume_many(
        self, max_messages: int, timeout: Duration | None = 0, *, auto_ack: bool = False
    ) -> list[Delivery]: ...
    def ack_many(self, deliveries: Iterable[Delivery | bytes]) -> None: ...
    def ack(self, token: Delivery | bytes, *, durable: bool = False) -> None: ...
    def nack(
        self,
        token: Delivery | bytes,
        delay: Duration | None = None,
        reason: str | None = None,
    ) -> None: ...
    def reject(self, token: Delivery | bytes, reason: str | None = None) -> None: ...
    def release(self, token: Delivery | bytes) -> None: ...
    def extend(self, token: Delivery | bytes, seconds: Duration) -> None: ...
    def peek(self, n: int = 1) -> list[Message]: ...
    def redrive(self, max_messages: int | None = None) -> int: ...
    def alter(self, **options: Unpack[QueueOptions]) -> None: ...
    def purge(self) -> int: ...
    def delete(self) -> int: ...
    def stats(self) -> QueueStats: ...
    def _starting(self) -> Any: ...
    def _size(self) -> int: ...
    def __len__(self) -> int: ...
    def __bool__(self) -> Literal[True]: ...
    def consumer(self, *, prefetch: int = 100, auto_ack: bool = False) -> Consumer: ...
    def subscribe(
        self, handler: Callable[[Delivery], object], *, concurrency: int = 1
    ) -> Subscription: ...
    @staticmethod
    def _concurrency(concurrency: int) -> int: ...
    def __iter__(self) -> Iterator[Delivery]: ...
    def __contains__(self, value: object, /) -> bool: ...

@final
class Exchange:
    """An exchange: routes each message to the queues and exchanges that are bound to it."""

    @property
    def name(self) -> str: ...
    def bind(
        self,
        queue_or_exchange: Queue | Exchange,
        pattern: str = "",
        headers: dict[str, HeaderValue] | None = None,
        match: Match = "all",
    ) -> None: ...
    def unbind(
        self,
        queue_or_exchange: Queue | Exchange,
        pattern: str = "",
        headers: dict[str, HeaderValue] | None = None,
        match: Match = "all",
    ) -> None: ...
    def produce(
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
    ) -> int: ...
    def delete(self) -> None: ...
    def _starting(self) -> Any: ...

@final
class Transaction:
    """Produces and acks that commit together or not at all."""

    def produce(
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
    ) -> None: ...
    def ack(self, delivery: Delivery | bytes) -> None: ...
    def commit(self) -> None: ...
    def rollback(self) -> None: ...
    @property
    def results(self) -> list[int | None]: ...
    @property
    def _is_over(self) -> bool: ...
    def __enter__(self) -> Self: ...
    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
        /,
    ) -> Literal[False]: ...

@final
class Outgoing:
    """A message with its options, for produce_many."""

    def __new__(
        cls,
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
    ) -> Self: ...

@disjoint_base
class Message:
    """A message: its body, its properties and what is known of its way."""

    def __new__(cls, source: Message, /) -> Self: ...
    @property
    def id(self) -> int: ...
    @property
    def body(self) -> bytes: ...
    @property
    def text(self) -> str: ...
    def json(self) -> Any: ...
    @property
    def headers(self) -> dict[str, HeaderValue]: ...
    @property
    def key(self) -> str | None: ...
    @property
    def priority(self) -> int: ...
    @property
    def attempt(self) -> int: ...
    @property
    def redelivered(self) -> bool: ...
    @property
    def produced_at(self) -> datetime: ...
    @property
    def queue(self) -> str: ...
    @property
    def content_type(self) -> str | None: ...
    @property
    def correlation_id(self) -> str | None: ...
    @property
    def reply_to(self) -> str | None: ...

@final
class Delivery(Message):
    """A message that is yours until its lease ends: settle it with ack, nack, reject or release."""

    @property
    def token(self) -> bytes: ...
    @property
    def deadline(self) -> datetime | None: ...
    @property
    def _settled(self) -> bool: ...
    def ack(self, *, durable: bool = False) -> None: ...
    def nack(self, delay: Duration | None = None, reason: str | None = None) -> None: ...
    def reject(self, reason: str | None = None) -> None: ...
    def release(self) -> None: ...
    def reply(
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
    ) -> int: ...
    def extend(self, seconds: Duration) -> None: ...
    def _keep(self, kept: bool = True) -> None: ...
    def __enter__(self) -> Self: ...
    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
        /,
    ) -> Literal[False]: ...

@final
class Consumer:
    """A push consumer: up to prefetch messages are reserved for it; iterating hands them out."""

    @property
    def queue(self) -> str: ...
    def consume(self, timeout: Duration | None = 0) -> Delivery | None: ...
    def consume_many(self, max_messages: int, timeout: Duration | None = 0) -> list[Delivery]: ...
    def close(self) -> None: ...
    def __iter__(self) -> Self: ...
    def __next__(self) -> Delivery: ...
    def __enter__(self) -> Self: ...
    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
        /,
    ) -> Literal[False]: ...

@final
class Pending:
    """A call that has not been answered."""

    def notify(self, ready: Ready, future: Any) -> None: ...
    def notify_only(self, ready: Ready, future: Any) -> int: ...
    def work_on(self) -> None: ...
    def take(self) -> Any: ...
    def cancel(self) -> None: ...

@final
class Ready:
    """The futures of one event loop (or events of one hub) whose calls are answered."""

    def __new__(cls, wake: Callable[[Ready], None]) -> Self: ...
    def drain(self) -> list[Any]: ...

@final
class Testing:
    """The hooks of one broker."""

    def now(self) -> float: ...
    def advance_to(self, at: Duration) -> None: ...
    def sync(self) -> None: ...
    def sync_fails(self) -> None: ...
    def kill(self) -> None: ...
    def power_cut(self) -> None: ...
    def reopen(self) -> None: ...
