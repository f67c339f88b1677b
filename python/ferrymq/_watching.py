"""The Python half of alarms: what a callback is called with, and what becomes of what it raises."""

from __future__ import annotations

import asyncio
import functools
from collections.abc import Callable
from typing import Any, Literal, TypeAlias

from . import _hubs
from ._log import logger
from ._types import Alert

__all__ = ["guarded", "in_loop"]

_Call: TypeAlias = Callable[
    [str, Literal["above"] | Literal["older_than"] | Literal["dead_letters"], float, float], None
]


def guarded(callback: Callable[[Alert], Any]) -> _Call:
    """The callback as the driver calls it: what it raises is logged and touches nobody else."""

    def called(queue: str, condition: Any, value: float, limit: float) -> None:
        try:
            callback(Alert(queue=queue, condition=condition, value=value, limit=limit))
        except Exception:
            logger.exception("the callback of an alarm on queue %r (%s) failed", queue, condition)

    return functools.partial(_hubs.run, called)


def in_loop(callback: Callable[[Alert], Any]) -> Callable[[Alert], None]:
    """The callback, or coroutine function, as one that runs it in the event loop of here."""
    loop = asyncio.get_running_loop()
    running: set[asyncio.Task[Any]] = set()

    async def run(alert: Alert) -> None:
        try:
            result = callback(alert)
            if asyncio.iscoroutine(result) or isinstance(result, asyncio.Future):
                await result
        except Exception:
            logger.exception(
                "the callback of an alarm on queue %r (%s) failed", alert.queue, alert.condition
            )

    def start(alert: Alert) -> None:
        task = loop.create_task(run(alert))
        running.add(task)
        task.add_done_callback(running.discard)

    def call(alert: Alert) -> None:
        # A loop that was closed has nobody left to tell.
        if not loop.is_closed():
            loop.call_soon_threadsafe(start, alert)

    return call
