"""Watching a broker: the lines of its logger, its numbers for Prometheus, alarms.

Nothing sleeps: a line or a call that must come is waited for, and what must not come would come
before it.
"""

from __future__ import annotations

import asyncio
import logging
import queue
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import Any

import ferrymq
import ferrymq.aio
import ferrymq.testing
import pytest
from conftest import take
from prometheus_client.parser import text_string_to_metric_families

PATIENCE = 20


class Lines(logging.Handler):
    """The lines of the logger, in a queue that can be waited at."""

    def __init__(self) -> None:
        super().__init__()
        self.lines: queue.SimpleQueue[logging.LogRecord] = queue.SimpleQueue()

    def emit(self, record: logging.LogRecord) -> None:
        self.lines.put(record)

    def next(self) -> tuple[str, str]:
        record = self.lines.get(timeout=PATIENCE)
        return record.levelname, record.getMessage()


@pytest.fixture
def lines() -> Iterator[Lines]:
    """What the logger "ferrymq" says, from debugging on."""
    logger, handler = logging.getLogger("ferrymq"), Lines()
    logger.addHandler(handler)
    before = logger.level
    logger.setLevel(logging.DEBUG)
    yield handler
    logger.removeHandler(handler)
    logger.setLevel(before)


def test_a_program_that_wants_no_lines_gets_none() -> None:
    handlers = logging.getLogger("ferrymq").handlers
    assert any(isinstance(handler, logging.NullHandler) for handler in handlers)


def test_life_is_for_debugging(lines: Lines) -> None:
    with ferrymq.open() as broker:
        assert lines.next() == ("DEBUG", "broker opened in memory")
        broker.close()
        assert lines.next() == ("DEBUG", "broker closed")
    assert lines.lines.empty(), "closing twice is closing once"


def test_what_went_wrong_is_a_line_without_a_body(lines: Lines) -> None:
    with ferrymq.testing.open() as hand:
        orders = hand.queue("orders", capacity=3, lease=1)
        orders.produce_many([b"secret"] * 3)
        with pytest.raises(ferrymq.QueueFull):
            orders.produce(b"secret")
        assert lines.next() == ("WARNING", "queue 'orders' was full: 1 produce calls were refused")
        for delivery in orders.consume_many(2):
            delivery.reject(reason="secret")
        late = take(orders)
        hand.clock.advance(1)
        with pytest.raises(ferrymq.LeaseLost):
            late.ack()
    said = {lines.next()[1] for _ in range(3)}
    assert said == {
        "queue 'orders': 2 messages were dead-lettered (rejected)",
        "queue 'orders': 1 leases ended before their deliveries were settled",
        "broker closed",
    }


def test_a_failed_store_is_an_error(lines: Lines) -> None:
    with ferrymq.testing.open("manual") as hand:

        async def declare() -> None:
            task = asyncio.create_task(hand.aio.queue("q"))
            await asyncio.sleep(0)
            hand.disk.sync_fails()
            with pytest.raises(ferrymq.Indeterminate):
                await task

        asyncio.run(declare())
    levels = {lines.next()[0] for _ in range(2)}
    assert levels == {"ERROR", "DEBUG"}


def test_a_flood_is_a_line_with_a_count(lines: Lines) -> None:
    with ferrymq.open() as broker:
        full = broker.queue("full", capacity=1)
        full.produce(b"")
        for _ in range(1000):
            with pytest.raises(ferrymq.QueueFull):
                full.produce(b"")
    refused, said = 0, 0
    while refused < 1000:
        level, line = lines.next()
        if level == "WARNING":
            refused += int(line.removeprefix("queue 'full' was full: ").split()[0])
            said += 1
    assert refused == 1000
    assert said <= 20, "a second is told in a line"


def families(text: str) -> dict[str, Any]:
    return {family.name: family for family in text_string_to_metric_families(text)}


def test_metrics_are_what_prometheus_reads(hand: ferrymq.testing.Broker) -> None:
    name = 'a "b" \\c, {d="e"} \u2028 \u00fc'
    orders = hand.queue(name, capacity=10)
    orders.produce_many([b"12345"] * 3)
    take(orders).nack()
    take(orders).ack()
    hand.queue("empty")
    hand.clock.advance(1.25)
    text = hand.metrics()
    for line in text.removesuffix("\n").split("\n"):
        assert line.startswith(("# HELP ferrymq_", "# TYPE ferrymq_", "ferrymq_")), line
    read = families(text)
    of_queue = {
        family.name: sample.value
        for family in read.values()
        for sample in family.samples
        if sample.labels.get("queue") == name
    }
    stats = orders.stats()
    for counter in ("produced", "acked", "nacked", "dead_lettered", "redelivered", "dropped"):
        family = read[f"ferrymq_queue_{counter}"]
        assert family.type == "counter"
        assert {sample.name for sample in family.samples} == {f"ferrymq_queue_{counter}_total"}
        assert of_queue[family.name] == getattr(stats, counter)
    for gauge in ("ready", "delayed", "leased", "held", "capacity"):
        assert read[f"ferrymq_queue_{gauge}"].type == "gauge"
        assert of_queue[f"ferrymq_queue_{gauge}"] == getattr(stats, gauge)
    assert of_queue["ferrymq_queue_body_bytes"] == stats.bytes == 10
    assert of_queue["ferrymq_queue_oldest_age_seconds"] == stats.oldest_age == 1.25
    assert [sample.labels for sample in read["ferrymq_queue_capacity"].samples] == [{"queue": name}]
    assert read["ferrymq_queues"].samples[0].value == 2
    assert read["ferrymq_memory_limit_bytes"].samples[0].value == hand.stats().memory_limit
    assert all(family.documentation for family in read.values())


def test_metrics_through_asyncio_and_of_a_closed_broker() -> None:
    async def main() -> str:
        async with ferrymq.aio.open() as broker:
            await broker.queue("q")
            return await broker.metrics()

    assert "ferrymq_queue_ready" in families(asyncio.run(main()))
    with ferrymq.open() as broker:
        pass
    with pytest.raises(ferrymq.Closed):
        broker.metrics()


class Calls:
    """An alarm's callback whose calls can be waited for."""

    def __init__(self) -> None:
        self.calls: queue.SimpleQueue[ferrymq.Alert] = queue.SimpleQueue()

    def __call__(self, alert: ferrymq.Alert) -> None:
        self.calls.put(alert)

    def next(self) -> ferrymq.Alert:
        return self.calls.get(timeout=PATIENCE)


def test_an_alarm_calls_once_until_its_condition_was_false(hand: ferrymq.testing.Broker) -> None:
    calls, jobs = Calls(), hand.queue("jobs")
    alarm = hand.alarm(calls, queue="jobs", above=1)
    jobs.produce_many([b""] * 2)
    hand.clock.advance(1)
    assert calls.next() == ferrymq.Alert(queue="jobs", condition="above", value=2, limit=1)
    jobs.produce(b"")
    hand.clock.advance(1)
    jobs.purge()
    hand.clock.advance(1)
    jobs.produce_many([b""] * 4)
    hand.clock.advance(1)
    assert calls.next().value == 4, "not the three: it had not been false in between"
    alarm.cancel()
    alarm.cancel()
    after = Calls()
    hand.alarm(after, above=0)
    jobs.purge()
    hand.clock.advance(1)
    jobs.produce_many([b""] * 9)
    hand.clock.advance(1)
    assert after.next().value == 9
    assert calls.calls.empty()


def test_age_and_dead_letters(hand: ferrymq.testing.Broker) -> None:
    calls, jobs = Calls(), hand.queue("jobs")
    hand.alarm(calls, older_than=timedelta(seconds=2), queue="jobs")
    hand.alarm(calls, dead_letters=True, queue="jobs")
    jobs.produce(b"old")
    hand.clock.advance(2.5)
    assert calls.next() == ferrymq.Alert(queue="jobs", condition="older_than", value=2.5, limit=2)
    take(jobs).reject()
    hand.clock.advance(0.5)
    assert calls.next() == ferrymq.Alert(queue="jobs", condition="dead_letters", value=1, limit=0)


def test_a_callback_that_raises_is_logged_and_touches_no_other(
    hand: ferrymq.testing.Broker, lines: Lines
) -> None:
    def broken(alert: ferrymq.Alert) -> None:
        raise RuntimeError(alert.queue)

    calls, jobs = Calls(), hand.queue("jobs")
    hand.alarm(broken, above=0)
    hand.alarm(calls, above=0)
    jobs.produce(b"")
    hand.clock.advance(1)
    assert calls.next().queue == "jobs"
    level, line = lines.next()
    assert level == "ERROR"
    assert "alarm on queue 'jobs' (above) failed" in line


def test_a_callback_may_use_and_close_the_broker(broker: ferrymq.Broker) -> None:
    seen, jobs = threading.Event(), broker.queue("jobs")

    def close(alert: ferrymq.Alert) -> None:
        assert len(broker.queue(alert.queue)) == 1
        broker.close()
        seen.set()

    broker.alarm(close, above=0)
    jobs.produce(b"")
    assert seen.wait(PATIENCE)
    assert broker.closed


ENDS = """
import logging, sys, time
import ferrymq

class Slow(logging.Handler):
    def emit(self, record):
        print("begun", flush=True)
        # Without the GIL when the interpreter begins to end.
        time.sleep(0.2)
        print("told", flush=True)

logging.getLogger("ferrymq").addHandler(Slow())
full = ferrymq.open().queue("full", capacity=1)
full.produce(b"")
try:
    full.produce(b"")
except ferrymq.QueueFull:
    pass
{waits}
"""


@pytest.mark.parametrize("waits", ["", "time.sleep(0.1)"], ids=["at once", "in the middle"])
def test_an_interpreter_that_ends_while_a_line_is_told(waits: str) -> None:
    for _ in range(5):
        ran = subprocess.run(
            [sys.executable, "-c", ENDS.format(waits=waits)],
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert (ran.returncode, ran.stderr) == (0, "")
        assert ran.stdout in ("", "begun\ntold\n")


def test_alarms_that_cannot_be(hand: ferrymq.testing.Broker) -> None:
    refuse: Any = hand.alarm
    attempts: list[Callable[[], Any]] = [
        lambda: refuse(print),
        lambda: refuse("print", above=1),
        lambda: refuse(print, above=-1),
        lambda: refuse(print, above=1.5),
        lambda: refuse(print, older_than="1"),
        lambda: refuse(print, dead_letters=1),
        lambda: refuse(print, queue=7, above=1),
    ]
    for bad in attempts:
        with pytest.raises(ferrymq.InvalidArgument):
            bad()
    hand.close()
    with pytest.raises(ferrymq.Closed):
        hand.alarm(print, above=1)


def test_alarms_are_bounded(hand: ferrymq.testing.Broker) -> None:
    for _ in range(1000):
        hand.alarm(print, above=10)
    with pytest.raises(ferrymq.InvalidArgument, match="1000 alarms"):
        hand.alarm(print, above=10)


def test_alarms_of_asyncio_run_in_their_loop(lines: Lines) -> None:
    async def main() -> None:
        loop = asyncio.get_running_loop()
        with ferrymq.testing.open() as hand:
            plain: asyncio.Future[Any] = loop.create_future()
            later: asyncio.Future[Any] = loop.create_future()

            def callback(alert: ferrymq.Alert) -> None:
                plain.set_result((alert.value, asyncio.get_running_loop() is loop))

            async def coroutine(alert: ferrymq.Alert) -> None:
                await asyncio.sleep(0)
                later.set_result((alert.value, asyncio.get_running_loop() is loop))
                raise RuntimeError("after all")

            jobs = await hand.aio.queue("jobs")
            hand.aio.alarm(callback, above=0)
            hand.aio.alarm(coroutine, above=0)
            await jobs.produce(b"")
            hand.clock.advance(1)
            async with asyncio.timeout(PATIENCE):
                assert await plain == (1, True)
                assert await later == (1, True)

    asyncio.run(main())
    said = [lines.next()[1] for _ in range(2)]
    assert any("alarm on queue 'jobs' (above) failed" in line for line in said)
