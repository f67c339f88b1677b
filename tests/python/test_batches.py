"""Batches from Python: the short way of plain bodies and the long way of all others are one.

Each test sends through one way what the other would, or fails in the middle, and looks at the rest.
"""

from collections.abc import Iterator

import ferrymq
import pytest
from ferrymq import Outgoing


@pytest.fixture
def queue() -> Iterator[ferrymq.Queue]:
    with ferrymq.open() as broker:
        yield broker.queue("q", capacity=500)


def bodies(deliveries: list[ferrymq.Delivery]) -> list[bytes]:
    return [delivery.body for delivery in deliveries]


def test_ids_of_a_plain_batch_are_those_of_its_messages(queue: ferrymq.Queue) -> None:
    first = queue.produce(b"one")
    ids = queue.produce_many([b"two", b"three"])
    assert first is not None
    assert ids == [first + 1, first + 2]
    assert [message.id for message in queue.peek(3)] == [first, *ids]


def test_a_batch_may_change_its_kind_in_the_middle(queue: ferrymq.Queue) -> None:
    items: list[bytes | bytearray | str | Outgoing] = [
        b"bytes",
        "text",
        Outgoing(b"outgoing", key="k"),
        bytearray(b"array"),
        b"bytes again",
    ]
    ids = queue.produce_many(items)
    assert len(ids) == 5
    taken = queue.consume_many(10)
    assert bodies(taken) == [b"bytes", b"text", b"outgoing", b"array", b"bytes again"]
    assert taken[1].content_type == "text/plain; charset=utf-8"
    assert taken[2].key == "k"
    assert [delivery.id for delivery in taken] == ids
    queue.ack_many(taken)


def test_a_plain_batch_that_does_not_fit_leaves_nothing(queue: ferrymq.Queue) -> None:
    queue.produce_many([b"x"] * 499)
    with pytest.raises(ferrymq.QueueFull):
        queue.produce_many([b"y", b"y"])
    assert len(queue) == 499
    assert queue.produce_many([]) == []


def test_an_item_that_is_no_body_leaves_nothing(queue: ferrymq.Queue) -> None:
    with pytest.raises(ferrymq.InvalidArgument, match="item 2 of the batch"):
        queue.produce_many([b"a", b"b", 3])  # type: ignore[list-item]
    assert len(queue) == 0


@pytest.mark.parametrize("ready", [1, 63, 64, 65, 128, 200])
@pytest.mark.parametrize("wanted", [1, 64, 100, 128, 300])
def test_a_batch_is_taken_in_order_and_no_longer_than_asked(
    queue: ferrymq.Queue, ready: int, wanted: int
) -> None:
    queue.produce_many([str(number).encode() for number in range(ready)])
    taken = queue.consume_many(wanted)
    assert bodies(taken) == [str(number).encode() for number in range(min(ready, wanted))]
    assert queue.stats().leased == len(taken)
    queue.ack_many(taken)
    assert len(queue) == ready - len(taken)


def test_a_batch_can_settle_itself(queue: ferrymq.Queue) -> None:
    queue.produce_many([b"x"] * 100)
    assert len(queue.consume_many(80, auto_ack=True)) == 80
    assert len(queue) == 20


@pytest.mark.parametrize("form", [list, tuple, iter])
def test_what_was_lost_is_named_whatever_holds_the_deliveries(
    queue: ferrymq.Queue, form: type
) -> None:
    queue.produce_many([b"x"] * 70)
    taken = queue.consume_many(70)
    taken[3].ack()
    taken[68].ack()
    with pytest.raises(ferrymq.LeaseLost) as caught:
        queue.ack_many(form(taken))
    assert caught.value.lost == [taken[3], taken[68]]
    assert len(queue) == 0


def test_acking_what_is_no_delivery_acks_nothing(queue: ferrymq.Queue) -> None:
    queue.produce_many([b"x"] * 3)
    taken = queue.consume_many(3)
    with pytest.raises(ferrymq.InvalidArgument):
        queue.ack_many([*taken, "no token"])  # type: ignore[list-item]
    assert queue.stats().leased == 3
    queue.ack_many(delivery.token for delivery in taken)
    assert len(queue) == 0
