"""What the tests of the Python package share."""

from __future__ import annotations

import signal
from collections.abc import Iterator

import ferrymq
import ferrymq.testing
import pytest

# A shell has what it starts in the background ignore Ctrl-C, and so would every program that the
# tests start and interrupt.
signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture
def broker() -> Iterator[ferrymq.Broker]:
    """A broker as a user opens it, with the real clock."""
    with ferrymq.open() as broker:
        yield broker


@pytest.fixture
def hand() -> Iterator[ferrymq.testing.Broker]:
    """A broker whose clock the test moves by hand."""
    with ferrymq.testing.open() as broker:
        yield broker


def take(queue: ferrymq.Queue, timeout: float = 0) -> ferrymq.Delivery:
    """The next delivery, which must be there."""
    delivery = queue.consume(timeout)
    assert delivery is not None
    return delivery
