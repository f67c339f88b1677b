"""gevent and eventlet: a greenlet waits while its hub goes on, and is told things there.

A call that has to wait hands its pending half to `waiting`. Whoever answers the call, in whatever
thread, wakes the hub in the way that the hub has for other threads, and the hub the greenlet: the
same road as in ferrymq.aio. A greenlet that is killed takes its call back, and what that was just
given is released, uncounted.

Log lines and alarms come from a native thread. Where threads are monkey-patched, the locks of
`logging` are the hub's and not for it: `run` lets the hub call instead, in a greenlet of its own.
"""

from __future__ import annotations

import contextlib
import functools
import importlib
import os
import sys
import weakref
from collections import deque
from collections.abc import Callable
from typing import Any, Protocol

from . import _native

__all__ = ["forked", "remember", "run", "waiting"]

# Calls that wait for the hub's turn. More are dropped, the oldest first: a hub that never has a
# turn would gather them for ever.
_POSTED = 1024


class _Waker(Protocol):
    def wait(self, pending: _native.Pending) -> Any: ...
    def is_here(self) -> bool: ...
    def post(self, call: Callable[..., Any], *arguments: Any) -> None: ...
    def keep(self) -> None: ...


# One waker for each hub, that is, for each thread in which greenlets run.
_wakers: weakref.WeakKeyDictionary[Any, _Waker] = weakref.WeakKeyDictionary()


class _Home:
    """The hub of the thread that opened a broker last, where threads are monkey-patched."""

    waker: _Waker | None = None


# The parent's, in a forked child: kept, because their files are shared with it and closed by it.
_parents: list[_Waker] = []


def forked() -> None:
    """In a forked child: wake nobody through what the parent listens to."""
    _parents.extend(_wakers.values())
    _wakers.clear()
    _Home.waker = None


def remember() -> None:
    """A broker is opened here: what it tells later is to be told in this thread's hub."""
    gevent = sys.modules.get("gevent.monkey")
    if gevent is not None and gevent.is_module_patched("threading"):
        _settle_in(importlib.import_module("gevent.hub").get_hub(), _Gevent)
    eventlet = sys.modules.get("eventlet.patcher")
    if eventlet is not None and eventlet.is_monkey_patched("thread"):
        _settle_in(importlib.import_module("eventlet.hubs").get_hub(), _Eventlet)


def _settle_in(hub: Any, make: Callable[[Any], _Waker]) -> None:
    _Home.waker = _waker_of(hub, make)
    _Home.waker.keep()


def run(call: Callable[..., Any], *arguments: Any) -> None:
    """Call, here or, where threads are monkey-patched, in the hub that opened the broker."""
    home = _Home.waker
    if home is None or home.is_here():
        call(*arguments)
    else:
        home.post(call, *arguments)


def waiting() -> Callable[[_native.Pending], Any] | None:
    """How this thread waits for a call; None where it has no hub, or is its hub."""
    greenlet = sys.modules.get("greenlet")
    current = greenlet.getcurrent() if greenlet is not None else None
    hub = _gevent_hub()
    if hub is not None and hub is not current:
        return _waker_of(hub, _Gevent).wait
    hub = _eventlet_hub()
    if hub is not None and hub.greenlet is not current:
        return _waker_of(hub, _Eventlet).wait
    return None


def _waker_of(hub: Any, make: Callable[[Any], _Waker]) -> _Waker:
    waker = _wakers.get(hub)
    if waker is None:
        waker = _wakers[hub] = make(hub)
    return waker


def _gevent_hub() -> Any:
    """This thread's hub of gevent, if it has one."""
    module = sys.modules.get("gevent._hub_local")
    return module.get_hub_if_exists() if module is not None else None


def _eventlet_hub() -> Any:
    """This thread's hub of eventlet, if it has one."""
    module = sys.modules.get("eventlet.hubs")
    return getattr(module._threadlocal, "hub", None) if module is not None else None


def _wake(waker: weakref.ref[Any], ready: _native.Ready) -> None:
    """Tell the hub that calls were answered. Runs in whatever thread answered them."""
    living = waker()
    if living is None:
        ready.drain()
    else:
        living.wake()


class _Gevent:
    """Wakes a hub of gevent through async watchers, which any thread may send to."""

    def __init__(self, hub: Any) -> None:
        # Only who has gevent comes here.
        self.event: Any = importlib.import_module("gevent.event").Event
        self.spawn: Any = importlib.import_module("gevent").spawn
        self.hub = weakref.ref(hub)
        self.watcher = hub.loop.async_()
        # No reason for the loop to go on: a program that is done ends.
        self.poster = hub.loop.async_(ref=False)
        self.posted: deque[tuple[Any, ...]] = deque(maxlen=_POSTED)
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

    def is_here(self) -> bool:
        return _gevent_hub() is self.hub()

    def keep(self) -> None:
        if not self.poster.active:
            self.poster.start(self.run_posted)

    def post(self, call: Callable[..., Any], *arguments: Any) -> None:
        self.posted.append((call, *arguments))
        self.poster.send()

    def run_posted(self) -> None:
        while self.posted:
            self.spawn(*self.posted.popleft())


class _Eventlet:
    """Wakes a hub of eventlet through a pipe that the hub listens on: it has no other way."""

    def __init__(self, hub: Any) -> None:
        # Only who has eventlet comes here.
        self.event: Any = importlib.import_module("eventlet.event").Event
        self.spawn: Any = importlib.import_module("eventlet").spawn_n
        self.hub = weakref.ref(hub)
        self.listener: Any = None
        self.waits = 0
        self.is_kept = False
        self.posted: deque[tuple[Any, ...]] = deque(maxlen=_POSTED)
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
        while self.posted:
            self.spawn(*self.posted.popleft())

    def listen(self) -> None:
        hub = self.hub()
        if self.waits == 0 and hub is not None:
            self.listener = hub.add(hub.READ, self.read_end, self.drain, _ignore, _ignore)
            self.drain()
        self.waits += 1

    def leave(self) -> None:
        hub = self.hub()
        self.waits -= 1
        if self.waits == 0 and hub is not None:
            hub.remove(self.listener)

    def wait(self, pending: _native.Pending) -> Any:
        event = self.event()
        self.listen()
        try:
            pending.notify(self.ready, event)
            event.wait()
            return pending.take()
        finally:
            self.leave()
            pending.cancel()

    def is_here(self) -> bool:
        return _eventlet_hub() is self.hub()

    def keep(self) -> None:
        if not self.is_kept:
            self.is_kept = True
            self.listen()

    def post(self, call: Callable[..., Any], *arguments: Any) -> None:
        self.posted.append((call, *arguments))
        self.wake()

    def __del__(self) -> None:
        os.close(self.read_end)
        os.close(self.write_end)


def _ignore(*_told: Any) -> None:
    """What a listener may be told of its file: this one is ours alone and stays open."""
