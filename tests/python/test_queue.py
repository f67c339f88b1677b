"""The queue's verbs as Python sees them: what goes in comes out, in Python's types.

What the engine promises is in the vectors; here it is about the binding: bodies of every type,
durations, headers, batches, statistics, the handles themselves.
"""

from __future__ import annotations

import array
import queue as stdlib_queue
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta, timezone, tzinfo
from enum import IntEnum, StrEnum

import ferrymq
import ferrymq.testing
import pytest
from conftest import take

TEXT_TYPE = "text/plain; charset=utf-8"


@pytest.mark.parametrize(
    ("body", "expected", "content_type"),
    [
        (b"bytes", b"bytes", None),
        (b"", b"", None),
        (bytearray(b"array"), b"array", None),
        (memoryview(b"memory"), b"memory", None),
        (memoryview(b"every other")[::2], b"eeyohr", None),
        (memoryview(array.array("H", [1, 2])), array.array("H", [1, 2]).tobytes(), None),
        ("grüße 🚢", "grüße 🚢".encode(), TEXT_TYPE),
        ("", b"", TEXT_TYPE),
    ],
)
def test_bodies(
    broker: ferrymq.Broker,
    body: ferrymq.Body,
    expected: bytes,
    content_type: str | None,
) -> None:
    queue = broker.queue("q")
    queue.produce(body)
    with take(queue) as delivery:
        assert delivery.body == expected
        assert type(delivery.body) is bytes
        assert delivery.body is delivery.body
        assert delivery.content_type == content_type


def test_a_body_is_copied(broker: ferrymq.Broker) -> None:
    queue, body = broker.queue("q"), bytearray(b"before")
    queue.produce(body)
    body[:] = b"after!"
    with take(queue) as delivery:
        assert delivery.body == b"before"


def test_str_subclasses_are_text(broker: ferrymq.Broker) -> None:
    class Colour(StrEnum):
        RED = "red"

    queue = broker.queue("q")
    queue.produce(Colour.RED, key=Colour.RED, headers={"c": Colour.RED})
    with take(queue) as delivery:
        assert (delivery.text, delivery.key, delivery.headers) == ("red", "red", {"c": "red"})


@pytest.mark.parametrize("value", [None, True, 0, 1.5, "ü", [1, [2]], {"a": {"b": None}}])
def test_json(broker: ferrymq.Broker, value: object) -> None:
    queue = broker.queue("q")
    queue.produce(json=value)
    with take(queue) as delivery:
        assert delivery.json() == value
        assert delivery.content_type == "application/json"


def test_content_type_is_the_producers_if_given(broker: ferrymq.Broker) -> None:
    queue = broker.queue("q")
    queue.produce("<p>", content_type="text/html")
    queue.produce(json=1, content_type="application/x-number")
    types = [delivery.content_type for delivery in queue.consume_many(2, auto_ack=True)]
    assert types == ["text/html", "application/x-number"]


def test_what_is_no_text_or_json_says_so(broker: ferrymq.Broker) -> None:
    queue = broker.queue("q")
    queue.produce(b"\xff")
    with take(queue) as delivery:
        with pytest.raises(ferrymq.InvalidArgument, match="not UTF-8"):
            _ = delivery.text
        with pytest.raises(ferrymq.InvalidArgument, match="not UTF-8"):
            delivery.json()
    queue.produce("{")
    with take(queue) as delivery, pytest.raises(ferrymq.InvalidArgument, match="no JSON") as caught:
        delivery.json()
    assert isinstance(caught.value.__cause__, ValueError)


def test_headers_keep_their_types(broker: ferrymq.Broker) -> None:
    moment = datetime(2026, 2, 3, 4, 5, 6, 789000, tzinfo=timezone(timedelta(hours=2)))
    headers: dict[str, ferrymq.HeaderValue] = {
        "none": None,
        "flag": True,
        "int": -(2**63),
        "float": 0.1,
        "text": "ü",
        "bytes": b"\x00\xff",
        "when": moment,
        "list": [1, "two", [b"3"]],
        "dict": {"in": {"deep": False}},
    }
    queue = broker.queue("q")
    queue.produce(b"", headers=headers)
    with take(queue) as delivery:
        assert delivery.headers == headers
        assert delivery.headers["flag"] is True
        when = delivery.headers["when"]
        assert isinstance(when, datetime)
        assert when.tzinfo is UTC
        assert delivery.headers is not delivery.headers


def test_headers_take_tuples_and_deep_but_not_endless_nesting(broker: ferrymq.Broker) -> None:
    queue = broker.queue("q")
    queue.produce(b"", headers={"pair": (1, 2)})  # type: ignore[dict-item]
    with take(queue) as delivery:
        assert delivery.headers == {"pair": [1, 2]}
    endless: list[ferrymq.HeaderValue] = []
    endless.append(endless)
    with pytest.raises(ferrymq.InvalidArgument, match="nest deeper"):
        queue.produce(b"", headers={"h": endless})


def test_a_tzinfo_that_changes_the_headers_does_no_harm(broker: ferrymq.Broker) -> None:
    headers: dict[str, ferrymq.HeaderValue] = {}

    class Meddling(tzinfo):
        def utcoffset(self, when: datetime | None, /) -> timedelta:
            headers[f"n{len(headers)}"] = 1
            return timedelta(0)

        def tzname(self, when: datetime | None, /) -> str:
            return "meddling"

        def dst(self, when: datetime | None, /) -> timedelta:
            return timedelta(0)

    zone = Meddling()
    headers.update(a=datetime(2026, 1, 1, tzinfo=zone), b=datetime(2026, 1, 2, tzinfo=zone))
    broker.queue("q").produce(b"", headers=headers)


def test_message_fields(hand: ferrymq.testing.Broker) -> None:
    queue = hand.queue("q", priorities=3)
    hand.clock.advance_to(1.5)
    id = queue.produce(b"x", key="k", priority=2, correlation_id="c", reply_to="r")
    (peeked,) = queue.peek()
    assert (peeked.attempt, peeked.redelivered) == (0, False)
    assert not isinstance(peeked, ferrymq.Delivery)
    with take(queue) as delivery:
        assert delivery.id == id
        assert (delivery.key, delivery.priority, delivery.attempt) == ("k", 2, 1)
        assert (delivery.correlation_id, delivery.reply_to) == ("c", "r")
        assert delivery.produced_at == datetime(1970, 1, 1, 0, 0, 1, 500000, tzinfo=UTC)
        assert delivery.queue == "q"
        assert delivery.deadline == delivery.produced_at + timedelta(seconds=30)
        copy = ferrymq.Message(delivery)
        assert (type(copy), copy.body, copy.id) == (ferrymq.Message, b"x", id)


@pytest.mark.parametrize("delay", [2, 2.0, timedelta(seconds=2)])
def test_durations(hand: ferrymq.testing.Broker, delay: ferrymq.Duration) -> None:
    queue = hand.queue("q")
    queue.produce(b"x", delay=delay)
    hand.clock.advance(1.999)
    assert queue.consume() is None
    hand.clock.advance(0.001)
    take(queue).ack()


def test_the_least_duration_is_a_millisecond(hand: ferrymq.testing.Broker) -> None:
    queue = hand.queue("q")
    queue.produce(b"x", delay=1e-9)
    assert queue.consume() is None
    hand.clock.advance(0.001)
    take(queue).ack()


def test_batches(broker: ferrymq.Broker) -> None:
    queue = broker.queue("q", priorities=2)

    def items() -> Iterator[ferrymq.Body | ferrymq.Outgoing]:
        yield b"one"
        yield "two"
        yield ferrymq.Outgoing(json=[3], priority=1, key="k")

    ids = queue.produce_many(items())
    assert ids == sorted(ids)
    assert len(set(ids)) == 3
    deliveries = queue.consume_many(10)
    assert [delivery.body for delivery in deliveries] == [b"[3]", b"one", b"two"]
    assert deliveries[0].key == "k"
    queue.ack_many(deliveries)
    assert queue.consume_many(10) == []
    assert queue.produce_many([]) == []
    queue.ack_many([])


def test_an_outgoing_can_be_sent_again(broker: ferrymq.Broker) -> None:
    queue, outgoing = broker.queue("q"), ferrymq.Outgoing("x", headers={"a": 1})
    queue.produce_many([outgoing, outgoing])
    assert [each.headers for each in queue.consume_many(9, auto_ack=True)] == [{"a": 1}] * 2


def test_an_iterator_that_raises_sends_nothing(broker: ferrymq.Broker) -> None:
    queue = broker.queue("q")

    def items() -> Iterator[bytes]:
        yield b"one"
        raise RuntimeError("no more")

    with pytest.raises(RuntimeError, match="no more"):
        queue.produce_many(items())
    assert len(queue) == 0


def test_ack_many_lists_the_lost(broker: ferrymq.Broker) -> None:
    queue = broker.queue("q")
    queue.produce_many([b"a", b"b", b"c"])
    a, b, c = queue.consume_many(3)
    b.ack()
    with pytest.raises(ferrymq.LeaseLost) as caught:
        queue.ack_many([a, b, c.token])
    assert caught.value.lost == [b]
    assert len(queue) == 0
    with pytest.raises(ferrymq.LeaseLost) as caught:
        queue.ack_many([c.token])
    assert caught.value.lost == [c.token]


def test_settling_by_token(broker: ferrymq.Broker) -> None:
    queue = broker.queue("q", backoff=0, lease=60)
    queue.produce_many([b"a", b"b", b"c", b"d", b"e"])
    a, b, c, d, e = queue.consume_many(5)
    queue.ack(a.token, durable=True)
    queue.nack(b.token, 0, "why")
    queue.reject(c.token, "never")
    queue.release(d.token)
    queue.extend(e.token, 5)
    queue.extend(e, 120)
    assert e.deadline is not None
    assert e.deadline - e.produced_at > timedelta(seconds=100)
    queue.ack(e)
    stats = queue.stats()
    assert (stats.acked, stats.nacked, stats.rejected, stats.released) == (2, 1, 1, 1)
    for delivery in (a, b, c, d):
        with pytest.raises(ferrymq.LeaseLost):
            delivery.ack()


def test_statistics_and_len(hand: ferrymq.testing.Broker) -> None:
    queue = hand.queue("q", capacity=4)
    assert queue
    assert len(queue) == 0
    queue.produce_many([b"1", b"22", b"333"])
    queue.consume(auto_ack=True)
    hand.clock.advance(2.5)
    stats = queue.stats()
    assert stats.name == "q"
    assert (stats.ready, stats.bytes, stats.size, stats.capacity) == (2, 5, 2, 4)
    assert (stats.head, stats.tail, stats.acked) == (1, 3, 1)
    assert stats.oldest_age == 2.5
    assert len(queue) == 2
    assert hand.queues() == [stats]
    whole = hand.stats()
    assert (whole.queues, whole.messages, whole.waiting) == (1, 2, 0)
    assert whole.memory <= whole.memory_limit == 4 << 30


def test_administration(broker: ferrymq.Broker) -> None:
    queue = broker.queue("q", capacity=1)
    queue.produce(b"a")
    with pytest.raises(ferrymq.QueueFull) as full:
        queue.produce(b"b")
    assert isinstance(full.value, stdlib_queue.Full)
    assert (full.value.code, full.value.retryable) == ("QueueFull", True)
    queue.alter(capacity=None, ttl=timedelta(hours=1), backoff=ferrymq.Backoff(initial=0.5))
    queue.produce(b"b")
    assert queue.purge() == 2
    with pytest.raises(ferrymq.QueueConflict, match="capacity"):
        broker.queue("q", capacity=2)
    assert broker.queue("q", create=False).name == "q"
    queue.produce(b"c")
    assert queue.delete() == 1
    for call in (queue.purge, queue.stats, queue.consume, lambda: len(queue)):
        with pytest.raises(ferrymq.NotFound):
            call()
    with pytest.raises(ferrymq.NotFound):
        broker.queue("q", create=False)


def test_every_option_is_taken(broker: ferrymq.Broker) -> None:
    broker.exchange("graveyard")
    broker.queue(
        "all",
        capacity=10,
        capacity_bytes=1000,
        overflow="drop_oldest",
        lease=timedelta(minutes=1),
        max_attempts=None,
        backoff=timedelta(seconds=3),
        dead_letter=("graveyard", "all"),
        ttl=None,
        priorities=4,
        ordered_keys=False,
        dedup_window=timedelta(hours=1),
        expires=60,
        exclusive=True,
        auto_delete=True,
        durability="written",
    )
    broker.queue("off", dead_letter=False, max_attempts=1)
    broker.queue("default", dead_letter=None, durability=None)


def test_redrive(broker: ferrymq.Broker) -> None:
    queue = broker.queue("q")
    queue.produce_many([b"a", b"b"])
    for delivery in queue.consume_many(2):
        delivery.reject("not today")
    dead = broker.queue("q.dead", create=False)
    (first,) = dead.peek()
    assert first.headers["x-dead-reason"] == "rejected"
    assert first.headers["x-dead-detail"] == "not today"
    assert isinstance(first.headers["x-dead-at"], datetime)
    assert dead.redrive(1) == 1
    assert dead.redrive() == 1
    assert len(queue) == 2


def test_iteration_ends_with_the_broker(broker: ferrymq.Broker) -> None:
    queue = broker.queue("q")
    queue.produce_many([b"a", b"b", b"last"])
    bodies = []
    for delivery in queue:
        with delivery:
            bodies.append(delivery.body)
        if delivery.body == b"last":
            broker.close()
    assert bodies == [b"a", b"b", b"last"]


def test_a_queue_is_not_searched(broker: ferrymq.Broker) -> None:
    with pytest.raises(TypeError, match="peek"):
        _ = b"x" in broker.queue("q")


class Numbers(IntEnum):
    TWO = 2


def test_index_types_are_numbers(broker: ferrymq.Broker) -> None:
    class Index:
        def __index__(self) -> int:
            return 1

    queue = broker.queue("q", priorities=Numbers.TWO)
    queue.produce(b"x", priority=Index())  # type: ignore[arg-type]
    with take(queue) as delivery:
        assert delivery.priority == 1


def test_representations(broker: ferrymq.Broker) -> None:
    queue = broker.queue("q")
    queue.produce(b"abc")
    with take(queue) as delivery:
        text = f"{broker!r} {queue!r} {delivery!r} {broker.exchange('e')!r} {broker.aio!r}"
    assert text == (
        '<Broker in memory> <Queue "q"> <Delivery 1 of queue "q", attempt 1, 3 bytes>'
        ' <Exchange "e"> <aio <Broker in memory>>'
    )
