"""For tests: a broker whose clock a test moves by hand, whose disk completes when told.

>>> import ferrymq.testing
>>> with ferrymq.testing.open() as broker:
...     queue = broker.queue("jobs", lease=30)
...     _ = queue.produce("work")
...     slow = queue.consume()
...     broker.clock.advance(30)  # the lease ends, no time passes
...     with queue.consume() as again:
...         again.attempt
2

With pytest there is the fixture `ferrymq_broker`, which is such a broker.
"""

from __future__ import annotations

import os
from typing import Literal, Self

import ferrymq

from . import _native
from ._types import Durability, Duration

__all__ = ["Broker", "Clock", "Disk", "open"]


class Clock:
    """The broker's clock: starts at 0 s and moves only by these calls."""

    __slots__ = ("_hooks",)

    def __init__(self, hooks: _native.Testing, /) -> None:
        self._hooks = hooks

    def now(self) -> float:
        """Seconds since the start."""
        return self._hooks.now()

    def advance_to(self, at: Duration) -> None:
        """Move to so many seconds after the start; what falls due on the way does so in order."""
        self._hooks.advance_to(at)

    def advance(self, by: float) -> None:
        """Move on by so many seconds."""
        self._hooks.advance_to(self._hooks.now() + by)


class Disk:
    """The broker's disk: what was written survives a kill, what was synced a power cut, too.

    With storage="memory" there is none, and sync() has nothing to do; in a directory everything is
    synced at once, so sync() has nothing to do and power_cut() does what kill() does.
    """

    __slots__ = ("_hooks",)

    def __init__(self, hooks: _native.Testing, /) -> None:
        self._hooks = hooks

    def sync(self) -> None:
        """Complete every sync: who waits for one goes on."""
        self._hooks.sync()

    def sync_fails(self) -> None:
        """Fail every sync: who waits gets Indeterminate, and every later call StoreFailed."""
        self._hooks.sync_fails()

    def kill(self) -> None:
        """The process is gone: calls get Closed, until reopen(). What was written stays."""
        self._hooks.kill()

    def power_cut(self) -> None:
        """Power is gone: as kill(), and what was not synced is lost."""
        self._hooks.power_cut()

    def reopen(self) -> None:
        """Open the store again. Handles of queues and exchanges are to be asked for anew."""
        self._hooks.reopen()


class Broker(ferrymq.Broker):
    """A broker with a clock and a disk that are moved by hand."""

    clock: Clock
    disk: Disk

    def __new__(cls, broker: ferrymq.Broker, hooks: _native.Testing, /) -> Self:
        self = super().__new__(cls, broker)
        self.clock = Clock(hooks)
        self.disk = Disk(hooks)
        return self


def open(
    storage: Literal["memory", "manual", "store"] = "memory",
    path: str | os.PathLike[str] | None = None,
    *,
    durability: Durability = "durable",
    memory_limit: int | None = None,
    lease: Duration = 30.0,
    seed: int = 0,
) -> Broker:
    """Open a broker for a test.

    storage: "memory" has no store, as ferrymq.open(); "manual" has one whose syncs complete only
    by broker.disk.sync(), so that a durable produce waits for it (declare a queue from another
    thread or through broker.aio: that waits, too) or when 256 KiB were written; "store" is in the
    directory `path`, and everything is synced before a call returns.
    seed: of the spread of backoffs, the same in every run. The rest: see ferrymq.open.
    """
    directory = None if path is None else ferrymq._directory(path)
    broker, hooks = _native._open_testing(
        storage, directory, durability=durability, memory_limit=memory_limit, lease=lease, seed=seed
    )
    return Broker(broker, hooks)
