"""How a coroutine waits for the engine: its loop is woken once, however many calls are answered."""

from __future__ import annotations

import asyncio
import functools
import threading
import weakref
from typing import Any

from . import _native

__all__ = ["answered", "result"]


class _Waker:
    """What one event loop waits for. The loop is woken once, however many calls were answered."""

    __slots__ = ("__weakref__", "loop", "ready", "waiting", "working")

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.loop = weakref.ref(loop)
        self.waiting: dict[asyncio.Future[None], _native.Pending] = {}
        # A call of each store that is told, once this turn of the loop is over, to use its disk.
        self.working: dict[int, _native.Pending] = {}
        # A partial of a weak reference: Ready, which the garbage collector cannot look into,
        # holds nothing that leads back to it.
        self.ready = _native.Ready(functools.partial(_wake, weakref.ref(self)))

    def work(self) -> None:
        """Tell the stores: what one turn of the loop began is one group, with one sync."""
        working, self.working = self.working, {}
        for pending in working.values():
            pending.work_on()

    def forget(self) -> None:
        """Take back what a closed loop waited for: nobody will ever ask for it."""
        for pending in list(self.waiting.values()):
            pending.cancel()
        self.waiting.clear()
        self.ready.drain()


_wakers: weakref.WeakKeyDictionary[asyncio.AbstractEventLoop, _Waker] = weakref.WeakKeyDictionary()


class _Last(threading.local):
    """The loop of this thread that waited last: nearly always the one that waits next."""

    waker: _Waker | None = None


_last = _Last()


def _waker_of(loop: asyncio.AbstractEventLoop) -> _Waker:
    waker = _last.waker
    if waker is not None and waker.loop() is loop:
        return waker
    waker = _wakers.get(loop)
    if waker is None:
        for other, its in list(_wakers.items()):
            if other.is_closed():
                its.forget()
        waker = _wakers[loop] = _Waker(loop)
    _last.waker = waker
    return waker


def _wake(reference: weakref.ref[_Waker], ready: _native.Ready) -> None:
    """Tell the loop that calls were answered. Runs in whatever thread answered them."""
    waker = reference()
    loop = waker.loop() if waker is not None else None
    if waker is None or loop is None:
        ready.drain()
        return
    try:
        if asyncio._get_running_loop() is loop:
            loop.call_soon(_drain, ready)
        else:
            loop.call_soon_threadsafe(_drain, ready)
    except RuntimeError:
        if not loop.is_closed():
            raise
        waker.forget()


def _drain(ready: _native.Ready) -> None:
    for future in ready.drain():
        if not future.done():
            future.set_result(None)


async def answered(pending: _native.Pending) -> Any:
    loop = asyncio.get_running_loop()
    waker = _waker_of(loop)
    future = loop.create_future()
    waker.waiting[future] = pending
    try:
        store = pending.notify_only(waker.ready, future)
        if store and store not in waker.working:
            if not waker.working:
                loop.call_soon(waker.work)
            waker.working[store] = pending
        await future
    except BaseException:
        # Cancelled, perhaps with the answer on its way: what it brings is given back.
        waker.waiting.pop(future, None)
        pending.cancel()
        raise
    waker.waiting.pop(future, None)
    return pending.take()


async def result(started: Any) -> Any:
    """What a starting call gives: its result at once, or a pending call to wait for."""
    if type(started) is _native.Pending:
        return await answered(started)
    return started
