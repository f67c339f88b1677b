"""Everything wrong gives one of the library's errors with a sentence, and changes nothing.

One table of calls for both APIs. A wrong arity or an unknown keyword is Python's own TypeError.
"""

from __future__ import annotations

import asyncio
import functools
import inspect
import math
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

import ferrymq
import ferrymq.aio
import ferrymq.testing
import pytest

BAD_BODIES = [None, 1, 1.5, True, object(), ["a"], {"a": 1}, "\ud800", lambda: None, Ellipsis]
BAD_NUMBERS = ["1", 1.5, -1, True, math.nan, 2**70, None, b"1", [], 10**6000]
BAD_DURATIONS = [
    "1",
    -1,
    -0.001,
    True,
    math.nan,
    math.inf,
    -math.inf,
    2**80,
    10**400,
    1e300,
    b"",
    [],
    Decimal(1),
    timedelta(seconds=-1),
    timedelta.max,
]
BAD_TEXTS = [1, b"text", True, "\udfff", object(), ["a"], "x" * 256]
BAD_HEADERS = [
    [],
    "a",
    {1: "a"},
    {"\ud800": 1},
    {"a": "\ud800"},
    {"a": object()},
    {"a": 2**63},
    {"a": -(2**63) - 1},
    {"a": datetime(2026, 1, 1)},
    {"a": {1: 2}},
    {"a": [set()]},
    {"a": "x" * 65536},
    {"a": bytearray(b"")},
]
BAD_NAMES = ["", "x" * 256, "a\x00b", "a\nb", 1, None, b"q", "\ud800"]
BAD_TOKENS = [b"", b"x", b"x" * 25, "x" * 24, None, 1, bytearray(24), object()]

Call = Callable[[Any, Any], Any]


def _with(call: Callable[..., Any], value: Any, broker: Any, queue: Any) -> Any:
    return call(broker, queue, value)


def calls() -> Iterator[tuple[str, Call]]:
    """Every wrong call, on a broker and a queue of either API."""
    outgoing: Any = ferrymq.Outgoing

    def each(name: str, values: list[Any], call: Callable[..., Any]) -> Iterator[Any]:
        for number, value in enumerate(values):
            yield f"{name}-{number}", functools.partial(_with, call, value)

    yield from each("body", BAD_BODIES, lambda b, q, v: q.produce(v))
    yield from each("batch-body", BAD_BODIES, lambda b, q, v: q.produce_many([b"fine", v]))
    yield from each("batch", [None, 1, b"ab", "ab", {}], lambda b, q, v: q.produce_many(v))
    yield from each("outgoing", BAD_BODIES, lambda b, q, v: outgoing(v))
    yield "both", lambda b, q: q.produce(b"x", json=1)
    yield from each(
        "json",
        [object(), math.nan, math.inf, {1, 2}, "\ud800", b"bytes"],
        lambda b, q, v: q.produce(json=v),
    )
    for name in ("delay", "ttl"):
        yield from each(name, BAD_DURATIONS, _producing(name))
    yield from each("timeout", BAD_DURATIONS, lambda b, q, v: q.produce(b"x", timeout=v))
    yield from each("consume-timeout", BAD_DURATIONS, lambda b, q, v: q.consume(v))
    yield from each("many-timeout", BAD_DURATIONS, lambda b, q, v: q.consume_many(1, v))
    bad_priorities = [*(number for number in BAD_NUMBERS if number is not None), 1, 255, 256]
    yield from each("priority", bad_priorities, lambda b, q, v: q.produce(b"x", priority=v))
    for name in ("key", "content_type", "correlation_id", "reply_to", "dedup_id"):
        yield from each(name, BAD_TEXTS, _producing(name))
    yield from each("headers", BAD_HEADERS, lambda b, q, v: q.produce(b"x", headers=v))
    yield from each(
        "durability", ["", "fsync", 1, True], lambda b, q, v: q.produce(b"x", durability=v)
    )
    yield from each("auto_ack", [1, "yes", b""], lambda b, q, v: q.consume(auto_ack=v))
    yield from each("max_messages", [*BAD_NUMBERS, 0, 100_001], lambda b, q, v: q.consume_many(v))
    peeks = [number for number in BAD_NUMBERS if number is not None]
    yield from each("peek", [*peeks, 0], lambda b, q, v: q.peek(v))
    yield from each("redrive", peeks, lambda b, q, v: q.redrive(v))
    for verb in ("ack", "nack", "reject", "release"):
        yield from each(verb, BAD_TOKENS, _settling(verb))
    yield from each("extend", BAD_TOKENS, lambda b, q, v: q.extend(v, 1))
    yield from each("ack_many", [None, 1, [None], [b"x"]], lambda b, q, v: q.ack_many(v))
    yield from each("queue", BAD_NAMES, lambda b, q, v: b.queue(v))
    # An empty name is the default exchange's.
    named = [name for name in BAD_NAMES if name != ""]
    yield from each("exchange", named, lambda b, q, v: b.exchange(v))
    yield from each("kind", ["", "random", "Topic", 1], lambda b, q, v: b.exchange("e", v))
    yield from each("create", [1, "no"], lambda b, q, v: b.queue("new", create=v))
    yield from options(each)
    yield from each("bind", [None, "q", object()], lambda b, q, v: bound(b, v))
    yield from each("target", [None, "q", b""], lambda b, q, v: b.transaction().produce(v, b"x"))
    yield "mandatory-queue", lambda b, q: b.transaction().produce(q, b"x", mandatory=True)
    yield from each("tx-ack", BAD_TOKENS, lambda b, q, v: b.transaction().ack(v))


def _producing(name: str) -> Callable[..., Any]:
    return lambda broker, queue, value: queue.produce(b"x", **{name: value})


def _settling(verb: str) -> Callable[..., Any]:
    return lambda broker, queue, value: getattr(queue, verb)(value)


def options(each: Any) -> Iterator[Any]:
    bad: dict[str, list[Any]] = {
        "capacity": [0, *(number for number in BAD_NUMBERS if number is not None)],
        "capacity_bytes": [0, -1, "1", 2**63],
        "overflow": ["", "drop", None, 1],
        "lease": [*BAD_DURATIONS, 0, None, 12 * 3600 + 1],
        "max_attempts": [0, -1, 2**32, True, "1"],
        "backoff": [*BAD_DURATIONS, None, {"initial": 1}, ferrymq.Backoff(factor=0.5)],
        "dead_letter": [True, 1, "", "q2", ("a",), ("a", "b", "c"), ("a", 1), b"x"],
        "ttl": BAD_DURATIONS,
        "priorities": [0, 256, None, 1.5, True],
        "ordered_keys": [1, None, "yes"],
        "durability": ["", "sync", 1],
        "colour": ["red"],
        "dedup_window": [*BAD_DURATIONS, 0],
        "expires": [*BAD_DURATIONS, 0],
        "exclusive": [1, None, "yes"],
        "auto_delete": [1, None, "yes"],
    }
    backoffs = [
        ferrymq.Backoff(initial=-1),
        ferrymq.Backoff(initial=5, max=1),
        ferrymq.Backoff(factor=math.nan),
        ferrymq.Backoff(factor="2"),  # type: ignore[arg-type]
        ferrymq.Backoff(jitter=1.1),
        ferrymq.Backoff(jitter=True),
        ferrymq.Backoff(max=None),  # type: ignore[arg-type]
    ]
    bad["backoff"] += backoffs
    for name, values in bad.items():
        yield from each(name, values, lambda b, q, v, n=name: b.queue("q2", **{n: v}))
        if name not in ("priorities", "ordered_keys", "exclusive"):
            later = [value for value in values if value != "q2"]
            yield from each(f"alter-{name}", later, lambda b, q, v, n=name: q.alter(**{n: v}))
    yield "both-orders", lambda b, q: b.queue("q2", priorities=2, ordered_keys=True)


def bound(broker: Any, queue: Any) -> Any:
    if isinstance(broker, ferrymq.Broker):
        return broker.exchange("e").bind(queue)

    async def later() -> None:
        await (await broker.exchange("e")).bind(queue)

    return later()


CALLS = list(calls())
IDS = [name for name, _ in CALLS]


@pytest.mark.parametrize("call", [call for _, call in CALLS], ids=IDS)
def test_wrong_values(call: Call) -> None:
    with ferrymq.testing.open() as broker:
        queue = broker.queue("q")
        with pytest.raises(ferrymq.InvalidArgument) as caught:
            call(broker, queue)
        assert isinstance(caught.value, ValueError)
        assert caught.value.code == "InvalidArgument"
        assert len(str(caught.value)) > 20
        assert broker.stats().messages == 0
        assert {each.name for each in broker.queues()} == {"q"}


def test_wrong_values_through_asyncio() -> None:
    async def main() -> None:
        async with ferrymq.testing.open().aio as broker:
            queue = await broker.queue("q")
            for name, call in CALLS:
                with pytest.raises(ferrymq.InvalidArgument):
                    result = call(broker, queue)
                    if inspect.isawaitable(result):
                        await result
                    pytest.fail(name)
            assert (await broker.stats()).messages == 0

    asyncio.run(main())


@pytest.mark.parametrize(
    "call",
    [
        lambda b, q: q.produce(b"x", b"y"),
        lambda b, q: q.produce(b"x", colour="red"),
        lambda b, q: b.exchange("e").produce(b"x", timeout=1),
        lambda b, q: b.transaction().produce(q, b"x", timeout=1),
        lambda b, q: vars(ferrymq)["Outgoing"](b"x", mandatory=True),
        lambda b, q: q.consume_many(),
        lambda b, q: q.consume(0, True),
        lambda b, q: b.queue(),
        lambda b, q: type(q)(),
        lambda b, q: vars(ferrymq)["Delivery"](),
        lambda b, q: type(b)(),
        lambda b, q: vars(ferrymq)["Message"](b"x"),
        lambda b, q: setattr(q, "name", "other"),
    ],
)
def test_wrong_calls(broker: ferrymq.Broker, call: Call) -> None:
    """They are TypeErrors, as for every function."""
    with pytest.raises((TypeError, AttributeError)):
        call(broker, broker.queue("q"))


def test_an_unknown_option_names_the_known_ones(broker: ferrymq.Broker) -> None:
    with pytest.raises(ferrymq.InvalidArgument, match=r'"prefetch".*capacity, .*ordered_keys'):
        broker.queue("q", prefetch=1)  # type: ignore[call-arg]


@pytest.mark.parametrize(
    "arguments",
    [
        {"path": 1},
        {"path": ["data"]},
        {"path": ""},
        {"path": "da\0ta"},
        {"path": "no-such-directory/data", "lease": 0},
        {"lease": 0},
        {"lease": "1"},
        {"lease": 12 * 3600 + 1},
        {"memory_limit": 0},
        {"memory_limit": -1},
        {"memory_limit": 1.5},
        {"durability": "fsync"},
        {"durability": 1},
    ],
)
def test_open_refuses(arguments: dict[str, Any]) -> None:
    for open in (ferrymq.open, ferrymq.aio.open):
        with pytest.raises(ferrymq.InvalidArgument):
            open(**arguments)


def test_testing_open_refuses() -> None:
    wrong: list[dict[str, Any]] = [{"storage": "disk"}, {"storage": 1}, {"seed": -1}, {"seed": "a"}]
    for arguments in wrong:
        with pytest.raises(ferrymq.InvalidArgument):
            ferrymq.testing.open(**arguments)
    with ferrymq.testing.open() as broker:
        broker.clock.advance_to(5)
        with pytest.raises(ferrymq.InvalidArgument, match="run back"):
            broker.clock.advance_to(4)


def test_too_large(broker: ferrymq.Broker) -> None:
    queue, limit = broker.queue("q"), 16 << 20
    for body in (
        bytes(limit + 1),
        bytearray(limit + 1),
        memoryview(bytes(limit + 1)),
        "x" * (limit + 1),
    ):
        with pytest.raises(ferrymq.MessageTooLarge, match="16777216"):
            queue.produce(body)
    with pytest.raises(ferrymq.MessageTooLarge):
        queue.produce(json="x" * limit)
    assert len(queue) == 0


def test_a_batch_has_an_end(broker: ferrymq.Broker) -> None:
    def endless() -> Iterator[bytes]:
        while True:
            yield b""

    with pytest.raises(ferrymq.InvalidArgument, match="100000 messages"):
        broker.queue("q").produce_many(endless())
    assert broker.stats().messages == 0


def test_a_released_memoryview(broker: ferrymq.Broker) -> None:
    view = memoryview(b"gone")
    view.release()
    with pytest.raises(ferrymq.InvalidArgument):
        broker.queue("q").produce(view)


def test_a_value_whose_repr_fails(broker: ferrymq.Broker) -> None:
    class Rude:
        def __repr__(self) -> str:
            raise RuntimeError("no")

    with pytest.raises(ferrymq.InvalidArgument, match="Rude"):
        broker.queue("q").produce(Rude())  # type: ignore[arg-type]


def test_handles_of_another_broker(broker: ferrymq.Broker) -> None:
    with ferrymq.open() as other:
        mine, theirs = broker.queue("q"), other.queue("q")
        theirs.produce(b"x")
        delivery = theirs.consume()
        assert delivery is not None
        calls: list[Callable[[], Any]] = [
            lambda: broker.exchange("e").bind(theirs),
            lambda: broker.transaction().produce(theirs, b"x"),
            lambda: broker.transaction().produce(other.exchange("e"), b"x"),
            lambda: broker.transaction().ack(delivery),
            lambda: mine.ack(delivery),
            lambda: mine.ack_many([delivery]),
        ]
        for call in calls:
            with pytest.raises(ferrymq.InvalidArgument, match="another broker"):
                call()
        delivery.ack()


def test_after_close() -> None:
    with ferrymq.open() as broker:
        queue, exchange = broker.queue("q"), broker.exchange("e")
        queue.produce_many([b"a", b"b"])
        delivery, transaction = queue.consume(), broker.transaction()
        assert delivery is not None
        transaction.produce(queue, b"x")
    assert broker.closed
    calls: list[Callable[[], Any]] = [
        lambda: queue.produce(b"x"),
        lambda: queue.produce_many([b"x"]),
        queue.consume,
        lambda: queue.consume(None),
        lambda: queue.consume_many(2),
        queue.peek,
        queue.stats,
        queue.purge,
        queue.delete,
        lambda: queue.alter(lease=1),
        lambda: len(queue),
        lambda: exchange.produce(b"x"),
        lambda: exchange.bind(queue),
        exchange.delete,
        delivery.ack,
        delivery.release,
        lambda: delivery.extend(1),
        transaction.commit,
        lambda: broker.queue("q"),
        lambda: broker.exchange("e"),
        broker.queues,
        broker.stats,
    ]
    for call in calls:
        with pytest.raises(ferrymq.Closed):
            call()
    assert [delivery for delivery in queue] == []  # noqa: C416 - list() would ask for the length
    broker.close()
    assert delivery.body == b"a"


def test_every_error_is_public() -> None:
    names = """QueueFull QueueConflict NotFound LeaseLost Closed InvalidArgument MessageTooLarge
    Unroutable Unavailable StoreLocked StoreCorrupt StoreFailed Indeterminate ForkError"""
    for name in names.split():
        error = getattr(ferrymq, name)
        assert issubclass(error, ferrymq.FerryError)
        assert (error.code, error.__module__, error.__name__) == (name, "ferrymq", name)
        assert error.__doc__
