"""The pytest plugin that the package brings: installed, the fixture is there."""

from __future__ import annotations

import ferrymq.testing
from conftest import take


def test_the_fixture(ferrymq_broker: ferrymq.testing.Broker) -> None:
    queue = ferrymq_broker.queue("q", lease=10)
    queue.produce(b"x")
    late = take(queue)
    ferrymq_broker.clock.advance(10)
    with take(queue) as delivery:
        assert (delivery.attempt, delivery.redelivered) == (2, True)
    assert ferrymq_broker.clock.now() == 10
    assert late.attempt == 1


def test_each_test_has_its_own(ferrymq_broker: ferrymq.testing.Broker) -> None:
    assert ferrymq_broker.queues() == []
    assert ferrymq_broker.clock.now() == 0
