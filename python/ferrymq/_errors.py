"""The exceptions. The native module raises them, by name."""

from __future__ import annotations

import queue as _queue
from collections.abc import Sequence
from typing import Any, ClassVar

__all__ = [
    "Closed",
    "FerryError",
    "ForkError",
    "Indeterminate",
    "InvalidArgument",
    "LeaseLost",
    "MessageTooLarge",
    "NotFound",
    "QueueConflict",
    "QueueFull",
    "StoreCorrupt",
    "StoreFailed",
    "StoreLocked",
    "Unavailable",
    "Unroutable",
]


class FerryError(Exception):
    """What every error of FerryMQ is. Its text says what happened and what to do.

    code: the error's name, the same in every language.
    retryable: whether the same call may succeed later without any change.
    """

    code: ClassVar[str] = "FerryError"
    retryable: ClassVar[bool] = False

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        # A user's own subclass keeps the code of the error that it refines. Those below are public
        # under the package's name: what a traceback shows is what the user catches.
        if cls.__module__ == __name__:
            cls.code = cls.__name__
            cls.__module__ = "ferrymq"


FerryError.__module__ = "ferrymq"


class QueueFull(FerryError, _queue.Full):
    """No room, now or within the timeout: try later, raise the capacity, or consume."""

    retryable = True


class QueueConflict(FerryError):
    """The queue exists with other options: declare it with the same, or alter it."""


class NotFound(FerryError):
    """No such queue, exchange or binding: declare it."""


class LeaseLost(FerryError):
    """This delivery is no longer yours: drop the work, someone else may have it.

    lost: after ack_many, the deliveries (or tokens) that were not acked.
    """

    lost: Sequence[Any] = ()


class Closed(FerryError):
    """The broker was closed: open a new one."""


class InvalidArgument(FerryError, ValueError):
    """A value is out of range or of the wrong kind: the message names value and limit."""


class MessageTooLarge(FerryError):
    """The body is over the limit (16 MiB): store it elsewhere and send a reference."""


class Unroutable(FerryError):
    """A mandatory message reached no queue: bind one."""


class Unavailable(FerryError):
    """Nobody answered in time (a request without a reply): see that a consumer runs, try again."""

    retryable = True


class StoreLocked(FerryError):
    """Another process owns the store: reach it through that one, or stop it."""


class StoreCorrupt(FerryError):
    """Bytes of the store do not verify: restore or repair it."""


class StoreFailed(FerryError):
    """An earlier write or sync failed: open the broker anew."""


class Indeterminate(FerryError):
    """The outcome is unknown (a sync failed while you waited): open the broker anew and look."""


class ForkError(FerryError):
    """The handle was opened before the process was forked: open one in the child."""
