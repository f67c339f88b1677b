"""A delivery's life in Python: the context manager, auto-ack, and being forgotten."""

from __future__ import annotations

import asyncio
import concurrent.futures
import gc
import warnings
from collections.abc import Callable

import ferrymq
import ferrymq.testing
import pytest
from conftest import take


def test_the_end_of_the_block_acks(broker: ferrymq.Broker) -> None:
    queue = broker.queue("q")
    queue.produce(b"x")
    with take(queue) as delivery:
        assert delivery.body == b"x"
    assert queue.stats().acked == 1


def test_an_exception_nacks_with_its_text(broker: ferrymq.Broker) -> None:
    queue = broker.queue("q", max_attempts=1)
    queue.produce(b"x")
    with pytest.raises(ValueError, match="boom"), take(queue):
        raise ValueError("boom \ud800")
    (dead,) = broker.queue("q.dead", create=False).peek()
    assert str(dead.headers["x-dead-detail"]).rstrip("\ufffd") == "ValueError: boom "


def test_an_exception_without_a_text_nacks_with_its_type(broker: ferrymq.Broker) -> None:
    class Mute(Exception):
        def __str__(self) -> str:
            raise RuntimeError("not even that")

    for error, detail in ((KeyError(), "KeyError"), (Mute(), "Mute")):
        queue = broker.queue("q", max_attempts=1)
        queue.produce(b"x")
        with pytest.raises(type(error)), take(queue):
            raise error
        dead = take(broker.queue("q.dead", create=False))
        assert dead.headers["x-dead-detail"] == detail
        dead.ack()


def test_a_very_long_reason_is_cut(broker: ferrymq.Broker) -> None:
    queue = broker.queue("q", max_attempts=1)
    queue.produce(b"x")
    with pytest.raises(ValueError, match="ü"), take(queue):
        raise ValueError("ü" * 10_000)
    (dead,) = broker.queue("q.dead", create=False).peek()
    assert 1000 <= len(str(dead.headers["x-dead-detail"]).encode()) <= 1024


@pytest.mark.parametrize(
    "error",
    [KeyboardInterrupt, SystemExit, asyncio.CancelledError, GeneratorExit],
)
def test_what_is_no_failure_releases(broker: ferrymq.Broker, error: type[BaseException]) -> None:
    queue = broker.queue("q")
    queue.produce(b"x")
    with pytest.raises(error), take(queue):
        raise error
    assert queue.stats().released == 1
    with take(queue) as again:
        assert (again.attempt, again.redelivered) == (1, True)


def test_a_cancelled_future_is_a_failure(broker: ferrymq.Broker) -> None:
    # concurrent.futures' CancelledError is an Exception: something the block waited for was
    # cancelled, not the block itself.
    queue = broker.queue("q")
    queue.produce(b"x")
    with pytest.raises(concurrent.futures.CancelledError), take(queue):
        raise concurrent.futures.CancelledError
    assert queue.stats().nacked == 1


SETTLE: list[Callable[[ferrymq.Delivery], None]] = [
    lambda delivery: delivery.ack(),
    lambda delivery: delivery.nack(),
    lambda delivery: delivery.nack(5, "why"),
    lambda delivery: delivery.reject("why"),
    lambda delivery: delivery.release(),
]


@pytest.mark.parametrize("settle", SETTLE)
def test_a_block_that_settled_is_left_alone(
    broker: ferrymq.Broker, settle: Callable[[ferrymq.Delivery], None]
) -> None:
    queue = broker.queue("q")
    queue.produce(b"x")
    with take(queue) as delivery:
        settle(delivery)
    stats = queue.stats()
    assert stats.acked + stats.nacked + stats.rejected + stats.released == 1


def test_a_lost_lease_is_told_at_the_end_of_the_block(hand: ferrymq.testing.Broker) -> None:
    queue = hand.queue("q", lease=1)
    queue.produce(b"x")
    twelve_hours = 12 * 3600
    with pytest.raises(ferrymq.LeaseLost), take(queue):
        hand.clock.advance(twelve_hours)
    with pytest.raises(ValueError, match="the block's own"), take(queue):
        hand.clock.advance(twelve_hours)
        raise ValueError("the block's own")


def test_a_block_renews_its_lease(hand: ferrymq.testing.Broker) -> None:
    queue = hand.queue("q", lease=1)
    queue.produce(b"x")
    with take(queue):
        hand.clock.advance(10)
        assert queue.consume() is None
    assert queue.stats().acked == 1


def test_a_block_that_is_never_left_is_not_renewed_for_ever(hand: ferrymq.testing.Broker) -> None:
    """An object that is dropped inside its block: a generator that nobody goes on with, say."""
    queue = hand.queue("q", lease=1)
    queue.produce(b"x")
    delivery = take(queue)
    delivery.__enter__()
    with pytest.warns(ResourceWarning, match="dropped unsettled"):
        del delivery
    hand.clock.advance(1)
    take(queue).ack()


def test_extend(hand: ferrymq.testing.Broker) -> None:
    queue = hand.queue("q", lease=1)
    queue.produce(b"x")
    with take(queue) as delivery:
        hand.clock.advance(0.9)
        delivery.extend(10)
        assert delivery.deadline is not None
        assert delivery.deadline.timestamp() == pytest.approx(10.9)
        hand.clock.advance(9.9)


def test_auto_ack_leaves_nothing_to_settle(broker: ferrymq.Broker) -> None:
    queue = broker.queue("q")
    queue.produce(b"x")
    delivery = queue.consume(auto_ack=True)
    assert delivery is not None
    with delivery:
        assert (delivery.token, delivery.deadline) == (b"", None)
    for settle in SETTLE:
        with pytest.raises(ferrymq.LeaseLost, match="auto_ack"):
            settle(delivery)
    assert len(queue) == 0


def forgotten(make: Callable[[], object]) -> list[str]:
    """The ResourceWarnings of dropping what `make` returns."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        held = make()
        assert caught == []
        del held
        gc.collect()
    assert all(warning.category is ResourceWarning for warning in caught)
    return [str(warning.message) for warning in caught]


def test_a_forgotten_delivery_warns_and_does_nothing_else(hand: ferrymq.testing.Broker) -> None:
    queue = hand.queue("q")
    id = queue.produce(b"x")
    (message,) = forgotten(queue.consume)
    assert f"message {id} of queue q" in message
    assert queue.stats().leased == 1
    assert queue.consume() is None


def test_who_need_not_be_warned(hand: ferrymq.testing.Broker) -> None:
    queue = hand.queue("q", lease=1)
    queue.produce_many([b"x"] * 8)

    def settled() -> object:
        with take(queue) as delivery:
            return delivery

    def by_token() -> object:
        delivery = take(queue)
        queue.ack(delivery)
        return delivery

    def by_batch() -> object:
        deliveries = queue.consume_many(2)
        queue.ack_many(deliveries)
        return deliveries

    def by_transaction() -> object:
        delivery = take(queue)
        with hand.transaction() as transaction:
            transaction.ack(delivery)
        return delivery

    def late() -> object:
        delivery = take(queue)
        hand.clock.advance(1)
        return delivery

    # Who has the token may settle without the object.
    for make in (settled, by_token, by_batch, by_transaction, late, lambda: take(queue).token):
        assert forgotten(make) == []
    assert forgotten(lambda: queue.consume(auto_ack=True)) == []
    assert forgotten(lambda: [queue.peek(9), ferrymq.Message(queue.peek()[0])]) == []
    last = queue.consume()
    hand.close()
    assert forgotten(lambda held=last: held) == []  # type: ignore[misc]


def test_an_aborted_transaction_leaves_its_deliveries_open(broker: ferrymq.Broker) -> None:
    queue = broker.queue("q", capacity=1)
    queue.produce(b"x")
    delivery = take(queue)
    with pytest.raises(ferrymq.QueueFull), broker.transaction() as transaction:
        transaction.produce(queue, b"y")
        transaction.ack(delivery)
        transaction.produce(queue, b"z")
    delivery.ack()


def test_a_warning_does_not_replace_an_exception_on_its_way(broker: ferrymq.Broker) -> None:
    queue = broker.queue("q")
    queue.produce(b"x")

    def forget() -> None:
        held = [queue.consume()]
        raise KeyError(len(held))

    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        with pytest.raises(KeyError) as error:
            forget()
        del error
        gc.collect()
    assert [warning.category for warning in caught] == [ResourceWarning]
