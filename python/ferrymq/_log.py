"""The logger "ferrymq", and what the engine notices as lines of it. Never a body.

A program that wants the lines says so, as with every library: logging.basicConfig(), or a handler
on logging.getLogger("ferrymq"). What went wrong is a warning, a store that failed an error, that a
broker was opened or closed is for debugging. What a damaged store has lost is an error a loss.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable

from . import _hubs

__all__ = ["closed", "logger", "noticed", "opened"]

logger = logging.getLogger("ferrymq")
logger.addHandler(logging.NullHandler())

# Names are shown with %r: a name can hold no line of its own.
_LINES = {
    "dead_lettered": "queue %r: %d messages were dead-lettered (%s)",
    "held": "queue %r: %d dead letters wait for room in their dead-letter queue, or for a binding",
    "full": "queue %r was full: %d produce calls were refused",
    "lease_ended": "queue %r: %d leases ended before their deliveries were settled",
    "stray": "queue %r: %d replies were dropped, nobody waits for them (any more)",
}
_FAILED = (
    "the store failed: calls that wait get Indeterminate, later ones StoreFailed; open it anew"
)


def noticed(queue: str, what: str, detail: str, count: int) -> None:
    """Log what was noticed: at most a line a second for the same thing, with how often."""
    _hubs.run(_log, queue, what, detail, count)


def _log(queue: str, what: str, detail: str, count: int) -> None:
    line = _LINES.get(what)
    if line is None:
        logger.error(_FAILED)
    elif detail:
        logger.warning(line, queue, count, detail)
    else:
        logger.warning(line, queue, count)


def opened(directory: str | None = None, damage: Iterable[str] = ()) -> None:
    """Log that a broker was opened, where, and by whom what it tells is to be logged.

    damage: what the store has lost.
    """
    _hubs.remember()
    logger.debug("broker opened in %s", directory or "memory")
    for loss in damage:
        logger.error("the store %s is damaged: %s", directory, loss)


def closed() -> None:
    """Log that a broker was closed."""
    logger.debug("broker closed")
