"""A subscription: threads that call a handler for each message of a queue."""

from __future__ import annotations

import atexit
import inspect
import logging
import threading
import time
import weakref
from collections.abc import Callable
from datetime import timedelta
from types import TracebackType
from typing import TYPE_CHECKING, Any, Literal, Self

from . import _native
from ._errors import Closed, FerryError, InvalidArgument, Unavailable
from ._log import logger

if TYPE_CHECKING:
    from ._native import Delivery, Queue
    from ._types import Duration

__all__ = ["Subscription"]

# How long the interpreter's exit waits for handlers that still run.
_EXIT_SECONDS = 5.0

# Those that run, so that the interpreter's exit can end them.
_running: weakref.WeakSet[Subscription] = weakref.WeakSet()


class Subscription:
    """A handler and the threads that call it; `queue.subscribe(handler)` makes one.

    The handler is called with each delivery. When it returns the message is acked, when it raises
    it is nacked with the exception as reason (and the exception is logged); one that it settled
    itself is left alone. While it runs the lease is renewed, up to 12 hours.

    A context manager: the end of the block stops it. It ends by itself when the broker is closed or
    the queue is deleted. A handler may stop it, and close the broker, from inside.

    >>> done = []
    >>> queue = ferrymq.open().queue("greetings")
    >>> _ = queue.produce("hello")
    >>> with queue.subscribe(lambda delivery: done.append(delivery.text)) as subscription:
    ...     while not done:
    ...         pass
    >>> done
    ['hello']
    """

    __slots__ = ("__weakref__", "_consumer", "_handler", "_left", "_queue", "_threads")

    def __init__(
        self, queue: Queue, handler: Callable[[Delivery], object], concurrency: int, /
    ) -> None:
        checked_handler(handler)
        if inspect.iscoroutinefunction(handler):
            raise InvalidArgument(
                "the handler is a coroutine function, which threads do not await; "
                "subscribe to a queue of ferrymq.aio (broker.aio), or pass a plain function"
            )
        self._queue = queue.name
        self._handler = handler
        # What it works on and no more is reserved: others may be free for the rest.
        self._consumer = queue.consumer(prefetch=concurrency)
        # The threads that have not ended; who waits for the end waits here.
        self._left = threading.Condition()
        self._threads: set[Any] = set()
        self._start(concurrency)
        _running.add(self)

    def _start(self, concurrency: int) -> None:
        for number in range(1, concurrency + 1):
            # Looked up when it is called, so that gevent's and eventlet's threads take its place.
            thread = threading.Thread(
                target=self._work, name=f"ferrymq {self._queue} {number}", daemon=True
            )
            with self._left:
                self._threads.add(thread)
            try:
                thread.start()
            except RuntimeError as error:
                self._leave(thread)
                self._consumer.close()
                raise Unavailable(
                    f"thread {number} of {concurrency} could not be started ({error}); "
                    "subscribe with a lower concurrency"
                ) from error

    @property
    def queue(self) -> str:
        """The name of the queue."""
        return self._queue

    def stop(self, timeout: Duration | None = None) -> bool:
        """Stop: handlers that run finish, everything else is given back.

        Returns whether all have finished within the timeout (seconds or timedelta; None: as long as
        it takes). From inside a handler it returns at once: who waits for itself waits for ever.
        """
        seconds = seconds_of(timeout)
        self._consumer.close()
        if self._is_inside():
            return False
        return self._wait(seconds)

    def wait(self, timeout: Duration | None = None) -> bool:
        """Wait until it has ended: stopped, its broker closed, or its queue deleted.

        Returns whether it has within the timeout (seconds or timedelta; None: as long as it takes).
        """
        seconds = seconds_of(timeout)
        if self._is_inside():
            raise InvalidArgument("a handler cannot wait for its own subscription to end")
        return self._wait(seconds)

    def _is_inside(self) -> bool:
        return threading.current_thread() in self._threads

    def _wait(self, seconds: float | None) -> bool:
        with self._left:
            return self._left.wait_for(lambda: not self._threads, seconds)

    def _work(self) -> None:
        try:
            for delivery in self._consumer:
                self._handle(delivery)
                # Not held while the next one is waited for.
                del delivery
        except SystemExit:
            # As everywhere, it ends the thread that it is raised in, and nothing else.
            pass
        except FerryError as error:
            logger.warning("the subscription to queue %r ends: %s", self._queue, error)
        finally:
            self._leave(threading.current_thread())

    def _leave(self, thread: Any) -> None:
        with self._left:
            self._threads.discard(thread)
            is_last = not self._threads
            self._left.notify_all()
        if is_last:
            self._consumer.close()

    def _handle(self, delivery: Delivery) -> None:
        delivery._keep()
        try:
            self._handler(delivery)
        except Exception as error:
            failed(self._queue, delivery, error)
            settle(delivery, "nack", reason=reason_of(error))
        except BaseException:
            settle(delivery, "release")
            raise
        else:
            settle(delivery, "ack")

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
        /,
    ) -> Literal[False]:
        self.stop()
        return False

    def __repr__(self) -> str:
        state = "running" if self._threads else "ended"
        return f"<Subscription to queue {self._queue!r}, {state}>"


def checked_handler(handler: Any) -> None:
    """Raise InvalidArgument for what cannot be called."""
    if not callable(handler):
        raise InvalidArgument(
            f"the handler is {type(handler).__name__}; pass a function that takes a delivery"
        )


def seconds_of(timeout: Any) -> float | None:
    """A timeout in seconds; None for ever. Raises InvalidArgument."""
    if timeout is None:
        return None
    seconds = timeout.total_seconds() if isinstance(timeout, timedelta) else timeout
    is_number = isinstance(seconds, int | float) and not isinstance(seconds, bool)
    if not is_number or not 0 <= seconds <= threading.TIMEOUT_MAX:
        raise InvalidArgument(
            f"timeout is {timeout!r}; pass seconds of at least 0, a timedelta, or None for ever"
        )
    return float(seconds)


def reason_of(error: BaseException) -> str:
    """The reason that a message is nacked with."""
    return _native._reason_of(error)


def failed(queue: str, delivery: Any, error: BaseException) -> None:
    """Log that a handler raised."""
    logger.error(
        "the handler of queue %r raised for message %d, attempt %d",
        queue,
        delivery.id,
        delivery.attempt,
        exc_info=error,
    )


def settle(delivery: Any, verb: str, **arguments: Any) -> Any:
    """Settle what its handler did not. A refusal is logged: there is nobody to raise it to."""
    if delivery._settled:
        return None
    try:
        return getattr(delivery, verb)(**arguments)
    except FerryError as error:
        refused(delivery, verb, error)
        return None


def refused(delivery: Any, verb: str, error: FerryError) -> None:
    """Log that a message could not be settled; where the broker was closed it is given back."""
    level = logging.DEBUG if isinstance(error, Closed) else logging.WARNING
    logger.log(level, "%s of message %d of queue %r: %s", verb, delivery.id, delivery.queue, error)


def _stop_all() -> None:
    """At the interpreter's exit: what waits ends, what runs may finish, but not for ever."""
    ends = time.monotonic() + _EXIT_SECONDS
    for subscription in list(_running):
        try:
            subscription._consumer.close()
        except FerryError:
            # Another process's: its threads are not here.
            continue
        subscription._wait(max(ends - time.monotonic(), 0.0))


atexit.register(_stop_all)
