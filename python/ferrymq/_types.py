"""What is passed in and out as plain values."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Literal, TypeAlias, TypedDict

__all__ = [
    "Alert",
    "Backoff",
    "Body",
    "BrokerStats",
    "DeadLetter",
    "Dispatch",
    "Durability",
    "Duration",
    "ExchangeKind",
    "HeaderValue",
    "Overflow",
    "QueueOptions",
    "QueueStats",
]

Body: TypeAlias = bytes | bytearray | memoryview | str
"""What a message may carry: bytes, or text, which is sent as UTF-8."""

Duration: TypeAlias = float | timedelta
"""Seconds (fractions count, to the millisecond) or a timedelta."""

HeaderValue: TypeAlias = (
    bool
    | int
    | float
    | str
    | bytes
    | datetime
    | None
    | list["HeaderValue"]
    | dict[str, "HeaderValue"]
)
"""What a header may hold. Integers have 64 bits; a datetime has a timezone."""

# One Literal for each word: only so do type checkers and the runtime see the same union.
Durability: TypeAlias = Literal["durable"] | Literal["written"] | Literal["memory"]
Overflow: TypeAlias = Literal["reject"] | Literal["drop_oldest"] | Literal["block"]
Dispatch: TypeAlias = Literal["round_robin"] | Literal["random"] | Literal["least_loaded"]
ExchangeKind: TypeAlias = (
    Literal["direct"] | Literal["fanout"] | Literal["topic"] | Literal["headers"]
)
Match: TypeAlias = Literal["all"] | Literal["any"]
DeadLetter: TypeAlias = str | tuple[str, str] | Literal[False] | None


@dataclass(frozen=True, slots=True)
class Backoff:
    """How long a nacked message waits before its next attempt.

    After attempt n: initial * factor ** (n - 1) seconds, at most max, spread by jitter (a fraction
    of it, evenly to both sides). Values are checked when a queue is declared with them.

    >>> Backoff(initial=0.5, max=60)
    Backoff(initial=0.5, factor=2.0, max=60, jitter=0.1)
    """

    initial: Duration = 1.0
    factor: float = 2.0
    max: Duration = 300.0
    jitter: float = 0.1


class QueueOptions(TypedDict, total=False):
    """The options of a queue, as keyword arguments of broker.queue() and queue.alter()."""

    capacity: int | None
    """Most messages at once (ready + delayed + leased); None: no limit."""
    capacity_bytes: int | None
    """Most bytes of bodies at once; None: no limit."""
    overflow: Overflow
    """When there is no room: "reject" (QueueFull), "drop_oldest", or "block"."""
    lease: Duration
    """How long a delivery is its consumer's: 30 s unless the broker says otherwise."""
    max_attempts: int | None
    """Dead-lettered after so many attempts (20); None: never."""
    backoff: Backoff | Duration
    """How long a nacked message waits: a Backoff, or the same wait every time."""
    dead_letter: DeadLetter
    """A queue's name, None for "<queue>.dead", an (exchange, key) pair, or False to discard."""
    ttl: Duration | None
    """How long a message may wait; None: for ever."""
    priorities: int
    """How many priorities there are (1), at most 255."""
    ordered_keys: bool
    """At most one message of a key is out at a time."""
    dispatch: Dispatch
    """Which push consumer is next: "round_robin", "random", or "least_loaded"."""
    single_active_consumer: bool
    """Only the push consumer that was opened first gets messages, and after it the next."""
    dedup_window: Duration | None
    """How long a message's dedup_id is remembered, from acceptance; None: not at all."""
    expires: Duration | None
    """Deleted when it was unused so long: nobody waited, consumed or declared; None: never."""
    exclusive: bool
    """Belongs to the session (the open broker) that declares it, and is deleted with it."""
    auto_delete: bool
    """Deleted when its last consumer (queue.consumer, subscribe) goes."""
    durability: Durability | None
    """How safe its messages are; None: as the broker."""


@dataclass(frozen=True, slots=True, kw_only=True)
class QueueStats:
    """A queue in numbers: size == ready + delayed + leased, (head + size) % capacity == tail.

    ready, delayed (held ones included), leased, held (dead letters that wait for room),
    bytes (of the bodies), oldest_age (of the oldest ready message, in seconds); counted since the
    queue was created: produced, acked, nacked, rejected, released, expired, dead_lettered,
    redelivered, dropped; head and tail: removed and accepted so far, modulo capacity.
    """

    name: str
    ready: int
    delayed: int
    leased: int
    held: int
    bytes: int
    produced: int
    acked: int
    nacked: int
    rejected: int
    released: int
    expired: int
    dead_lettered: int
    redelivered: int
    dropped: int
    oldest_age: float
    head: int
    tail: int
    size: int
    capacity: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Alert:
    """What an alarm calls with: the queue, which condition became true, what was found, its limit.

    value and limit are messages ("above"), seconds ("older_than"), or messages dead-lettered since
    the last look and 0 ("dead_letters").
    """

    queue: str
    condition: Literal["above"] | Literal["older_than"] | Literal["dead_letters"]
    value: float
    limit: float


@dataclass(frozen=True, slots=True, kw_only=True)
class BrokerStats:
    """A broker in numbers. memory is what memory_limit limits, in bytes; waiting: blocked calls."""

    queues: int
    exchanges: int
    messages: int
    memory: int
    memory_limit: int
    waiting: int
