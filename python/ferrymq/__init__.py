"""FerryMQ: a message queue inside your process.

>>> import ferrymq
>>> with ferrymq.open() as broker:
...     queue = broker.queue("greetings")
...     _ = queue.produce("hello")
...     with queue.consume() as delivery:  # the end of the block acks
...         print(delivery.text)
hello
"""

from __future__ import annotations

import atexit as _atexit
import os as _os

from . import _hubs, _log, _native
from ._bus import BusSubscription, EventBus
from ._errors import (
    Closed,
    FerryError,
    ForkError,
    Indeterminate,
    InvalidArgument,
    LeaseLost,
    MessageTooLarge,
    NotFound,
    QueueConflict,
    QueueFull,
    StoreCorrupt,
    StoreFailed,
    StoreLocked,
    Unavailable,
    Unroutable,
)
from ._native import (
    Alarm,
    Broker,
    Consumer,
    Delivery,
    Exchange,
    Message,
    Outgoing,
    Queue,
    Transaction,
)
from ._subscription import Subscription
from ._types import (
    Alert,
    Backoff,
    Body,
    BrokerStats,
    Durability,
    Duration,
    HeaderValue,
    QueueOptions,
    QueueStats,
)

__all__ = [
    "Alarm",
    "Alert",
    "Backoff",
    "Body",
    "Broker",
    "BrokerStats",
    "BusSubscription",
    "Closed",
    "Consumer",
    "Delivery",
    "Durability",
    "Duration",
    "EventBus",
    "Exchange",
    "FerryError",
    "ForkError",
    "HeaderValue",
    "Indeterminate",
    "InvalidArgument",
    "LeaseLost",
    "Message",
    "MessageTooLarge",
    "NotFound",
    "Outgoing",
    "Queue",
    "QueueConflict",
    "QueueFull",
    "QueueOptions",
    "QueueStats",
    "StoreCorrupt",
    "StoreFailed",
    "StoreLocked",
    "Subscription",
    "Transaction",
    "Unavailable",
    "Unroutable",
    "__version__",
    "open",
]

__version__: str = _native.__version__

# What a child inherits by fork belongs to its parent: there, handles raise ForkError.
if hasattr(_os, "register_at_fork"):
    _os.register_at_fork(after_in_child=_native._forked)
    _os.register_at_fork(after_in_child=_hubs.forked)

# What still tells something from a thread of its own is waited for, but not for long.
_atexit.register(_native._exiting)


def open(
    path: str | _os.PathLike[str] | None = None,
    *,
    durability: Durability = "durable",
    memory_limit: int | None = None,
    lease: Duration = 30.0,
) -> Broker:
    """Open a broker: the one stored in a directory, or one in memory.

    path: the directory; it is made if it is not there (the one above must be). One process at a
    time has it open. None: in memory.
    durability: how safe messages are where a queue does not say, once produce returns: "durable"
    (synced: survives a power cut), "written" (survives the end of the process) or "memory". In
    memory every level is accepted and means "memory", so that the same program runs in a test.
    memory_limit: most bytes that messages may take (4 GiB); then producers get QueueFull, or wait.
    lease: how long a delivery is its consumer's where a queue does not say, in seconds.

    What a damaged store has lost is in `broker.damage`, and logged; everything else is served.

    Raises InvalidArgument (also for a directory that holds something else), StoreLocked (it is open
    elsewhere), StoreCorrupt, StoreFailed (the system refuses, or a newer version wrote it); nothing
    is changed then.

    >>> with ferrymq.open(lease=60) as broker:
    ...     broker.queue("jobs")
    <Queue "jobs">
    """
    directory = None if path is None else _directory(path)
    broker = _native._open(directory, durability=durability, memory_limit=memory_limit, lease=lease)
    _log.opened(directory, broker.damage)
    return broker


def _directory(path: object) -> str:
    try:
        directory = _os.fsdecode(_os.fspath(path))  # type: ignore[call-overload]
    except TypeError:
        raise InvalidArgument(
            f"path is {path!r}; it must be a str or an os.PathLike, the directory of the store"
        ) from None
    if not directory or "\0" in directory:
        raise InvalidArgument(f"path is {path!r}; it must name a directory")
    return directory
