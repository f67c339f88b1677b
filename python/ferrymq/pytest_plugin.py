"""The pytest plugin: a broker for a test, with a clock that the test moves by hand."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    import ferrymq.testing


@pytest.fixture
def ferrymq_broker() -> Iterator[ferrymq.testing.Broker]:
    """A broker in memory; `ferrymq_broker.clock.advance(30)` moves its time."""
    import ferrymq.testing  # noqa: PLC0415 - only tests that ask for it load the package

    with ferrymq.testing.open() as broker:
        yield broker
