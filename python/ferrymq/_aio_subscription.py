"""A subscription for asyncio: tasks that call a handler for each message of a queue."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Callable
from types import TracebackType
from typing import TYPE_CHECKING, Self

from . import _native
from ._aio_waiting import answered
from ._errors import FerryError, InvalidArgument
from ._log import logger
from ._subscription import (
    checked_handler,
    failed,
    reason_of,
    refused,
    seconds_of,
    settle,
)

if TYPE_CHECKING:
    from ._types import Duration
    from .aio import Delivery, Queue

__all__ = ["Subscription"]

# Those that run: the event loop itself holds its tasks weakly.
_subscriptions: set[Subscription] = set()


class Subscription:
    """A handler and the tasks that call it; `queue.subscribe(handler)` makes one.

    See ferrymq.Subscription; the handler may be a coroutine function, which is awaited, or a plain
    one. It belongs to the event loop that runs when it is made. A task that is cancelled, as
    asyncio.run does at its end, releases its message.
    """

    __slots__ = ("_consumer", "_handler", "_queue", "_tasks")

    def __init__(
        self, queue: Queue, handler: Callable[[Delivery], object], concurrency: int, /
    ) -> None:
        checked_handler(handler)
        loop = asyncio.get_running_loop()
        self._queue = queue.name
        self._handler = handler
        self._consumer = queue.consumer(prefetch=concurrency)
        self._tasks = {
            loop.create_task(self._work(), name=f"ferrymq {queue.name} {number}")
            for number in range(1, concurrency + 1)
        }
        _subscriptions.add(self)
        for task in self._tasks:
            task.add_done_callback(self._leave)

    @property
    def queue(self) -> str:
        """The name of the queue."""
        return self._queue

    async def stop(self, timeout: Duration | None = None) -> bool:
        """Stop: handlers that run finish, everything else is given back.

        Returns whether all have finished within the timeout (seconds or timedelta; None: as long as
        it takes). From inside a handler it returns at once: who waits for itself waits for ever.
        """
        seconds = seconds_of(timeout)
        await self._consumer.close()
        if self._is_inside():
            return False
        return await self._wait(seconds)

    async def wait(self, timeout: Duration | None = None) -> bool:
        """Wait until it has ended: stopped, its broker closed, or its queue deleted.

        Returns whether it has within the timeout (seconds or timedelta; None: as long as it takes).
        """
        seconds = seconds_of(timeout)
        if self._is_inside():
            raise InvalidArgument("a handler cannot wait for its own subscription to end")
        return await self._wait(seconds)

    def _is_inside(self) -> bool:
        return asyncio.current_task() in self._tasks

    async def _wait(self, seconds: float | None) -> bool:
        if self._tasks:
            await asyncio.wait(set(self._tasks), timeout=seconds)
        return not self._tasks

    async def _work(self) -> None:
        try:
            async for delivery in self._consumer:
                await self._handle(delivery)
                # Not held while the next one is waited for.
                del delivery
        except FerryError as error:
            logger.warning("the subscription to queue %r ends: %s", self._queue, error)

    def _leave(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not self._tasks:
            _subscriptions.discard(self)
            self._consumer._calls.close()

    async def _handle(self, delivery: Delivery) -> None:
        plain = delivery._delivery
        plain._keep()
        try:
            result = self._handler(delivery)
            if inspect.isawaitable(result):
                await result
        except Exception as error:
            failed(self._queue, delivery, error)
            # Started, not awaited, as the end of a block: these settle at once.
            settle(plain, "nack", reason=reason_of(error))
        except BaseException:
            settle(plain, "release")
            raise
        else:
            started = settle(plain, "ack")
            if type(started) is _native.Pending:
                try:
                    await answered(started)
                except FerryError as error:
                    refused(delivery, "ack", error)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
        /,
    ) -> None:
        await self.stop()

    def __repr__(self) -> str:
        state = "running" if self._tasks else "ended"
        return f"<aio Subscription to queue {self._queue!r}, {state}>"
