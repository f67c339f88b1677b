"""Waiting under gevent and eventlet: the greenlet waits, its hub goes on.

A call that has to wait hands its pending half to `waiting`. Whoever answers the call, in whatever
thread, wakes the hub in the way that the hub has for other threads, and the hub the greenlet: the
same road as in ferrymq.aio. A greenlet that is killed takes its call back, and what that was just
given is released, uncounted.
"""

from __future__ import annotations

import contextlib
import functools
import importlib
import os
import sys
import weakref
from collections.abc import Callable
from typing import Any, Protocol

from . import _native

__all__ = ["waiting"]


class _Waker(Protocol):
    def wait(self, pending: _native.Pending) -> Any: ...


# One waker for each hub, that is, for each thread in which greenlets run.
_wakers: weakref.WeakKeyDictionary[Any, _Waker] = weakref.WeakKeyDictionary()


def waiting() -> Callable[[_native.Pending], Any] | None:
    """How this thread waits for a call; None where it has no hub, or is its hub."""
    for find, make in ((_gevent_hub, _Gevent), (_eventlet_hub, _Eventlet)):
        hub = find()
        if hub is not None:
            waker = _wakers.get(hub)
            if waker is None:
                waker = _wakers[hub] = make(hub)
            return waker.wait
    return None


def _gevent_hub() -> Any:
    module = sys.modules.get("gevent._hub_local")
    hub = module.get_hub_if_exists() if module is not None else None
    return None if hub is None or sys.modules["greenlet"].getcurrent() is hub else hub


def _eventlet_hub() -> Any:
    module = sys.modules.get("eventlet.hubs")
    hub = getattr(module._threadlocal, "hub", None) if module is not None else None
    is_hub = hub is not None and sys.modules["greenlet"].getcurrent() is hub.greenlet
    return None if is_hub else hub


def _wake(waker: weakref.ref[Any], ready: _native.Ready) -> None:
    """Tell the hub that calls were answered. Runs in whatever thread answered them."""
    living = waker()
    if living is None:
        ready.drain()
    else:
        living.wake()


class _Gevent:
    """Wakes a hub of gevent through an async watcher, which any thread may send to."""

    def __init__(self, hub: Any) -> None:
        # Only who has gevent comes here.
        self.event: Any = importlib.import_module("gevent.event").Event
        self.watcher = hub.loop.async_()
        self.waits = 0
        # What the garbage collector cannot look into holds nothing that leads back to it.
        self.ready = _native.Ready(functools.partial(_wake, weakref.ref(self)))

    def wake(self) -> None:
        self.watcher.send()

    def drain(self) -> None:
        for event in self.ready.drain():
            event.set()

    def wait(self, pending: _native.Pending) -> Any:
        event = self.event()
        if self.waits == 0:
            self.watcher.start(self.drain)
            # What was told while nobody listened was not heard.
            self.drain()
        self.waits += 1
        try:
            pending.notify(self.ready, event)
            event.wait()
            return pending.take()
        finally:
            self.waits -= 1
            if self.waits == 0:
                self.watcher.stop()
            # After take() this does nothing. Killed before, perhaps with the answer on its way:
            # what it brings is given back.
            pending.cancel()


class _Eventlet:
    """Wakes a hub of eventlet through a pipe that the hub listens on: it has no other way."""

    def __init__(self, hub: Any) -> None:
        # Only who has eventlet comes here.
        self.event: Any = importlib.import_module("eventlet.event").Event
        self.hub = weakref.ref(hub)
        self.listener: Any = None
        self.waits = 0
        # The thread that wakes has no hub of its own: its write must not look for one.
        self.os: Any = importlib.import_module("eventlet.patcher").original("os")
        self.read_end, self.write_end = os.pipe()
        os.set_blocking(self.read_end, False)
        os.set_blocking(self.write_end, False)
        self.ready = _native.Ready(functools.partial(_wake, weakref.ref(self)))

    def wake(self) -> None:
        # Full, and nothing can be added? Then the hub has something to look at in any case.
        with contextlib.suppress(BlockingIOError):
            self.os.write(self.write_end, b"!")

    def drain(self, _file: int | None = None) -> None:
        with contextlib.suppress(BlockingIOError):
            self.os.read(self.read_end, 4096)
        for event in self.ready.drain():
            if not event.ready():
                event.send()

    def listen(self) -> None:
        hub = self.hub()
        if hub is not None:
            self.listener = hub.add(hub.READ, self.read_end, self.drain, _ignore, _ignore)
        self.drain()

    def wait(self, pending: _native.Pending) -> Any:
        event = self.event()
        if self.waits == 0:
            self.listen()
        self.waits += 1
        try:
            pending.notify(self.ready, event)
            event.wait()
            return pending.take()
        finally:
            self.waits -= 1
            hub = self.hub()
            if self.waits == 0 and hub is not None:
                hub.remove(self.listener)
            pending.cancel()

    def __del__(self) -> None:
        os.close(self.read_end)
        os.close(self.write_end)


def _ignore(*_told: Any) -> None:
    """What a listener may be told of its file: this one is ours alone and stays open."""
