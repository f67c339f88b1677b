"""The event bus, in threads and through asyncio. tests/vectors/bus has what all homes promise."""

from __future__ import annotations

import asyncio
import logging
import queue
import threading
from collections.abc import Callable
from typing import Any

import ferrymq
import ferrymq.aio
import ferrymq.testing
import pytest

PATIENCE = 20


class Seen:
    """A handler whose events can be waited for."""

    def __init__(self) -> None:
        self.events: queue.SimpleQueue[tuple[str | None, str]] = queue.SimpleQueue()

    def __call__(self, event: ferrymq.Delivery) -> None:
        self.events.put((event.key, event.text))

    def next(self) -> tuple[str | None, str]:
        return self.events.get(timeout=PATIENCE)


def test_who_publishes_does_not_know_who_listens(broker: ferrymq.Broker) -> None:
    bus, orders, everything = broker.bus(), Seen(), Seen()
    assert bus.publish("order.new", "unheard") == 0
    with bus.subscribe("order.*", orders), bus.subscribe("#", everything):
        assert bus.publish("order.new", "7") == 2
        assert bus.publish("invoice.new", "8") == 1
        assert orders.next() == ("order.new", "7")
        assert everything.next() == ("order.new", "7")
        assert everything.next() == ("invoice.new", "8")
    assert bus.publish("order.new", "unheard again") == 0
    assert orders.events.empty()


def test_a_handler_that_raises_touches_no_other(
    hand: ferrymq.testing.Broker, caplog: pytest.LogCaptureFixture
) -> None:
    bus, seen, attempts = hand.bus(), Seen(), Seen()

    def broken(event: ferrymq.Delivery) -> None:
        attempts(event)
        if event.attempt == 1:
            raise RuntimeError("not today")

    with bus.subscribe("t", broken, name="broken"), bus.subscribe("t", seen, name="well"):
        with caplog.at_level(logging.ERROR, "ferrymq"):
            assert bus.publish("t", "1") == 2
            assert seen.next() == ("t", "1")
            assert attempts.next() == ("t", "1")
            own, other = hand.queue("ferrymq.bus.broken"), hand.queue("ferrymq.bus.well")
            while own.stats().delayed == 0:
                threading.Event().wait(0.001)
        assert "not today" in caplog.text
        hand.clock.advance(60)
        # The event comes back to the one that failed on it, and to nobody else.
        assert attempts.next() == ("t", "1")
        while len(own) + len(other):
            threading.Event().wait(0.001)
        assert (own.stats().nacked, other.stats().nacked) == (1, 0)
    assert seen.events.empty()


def test_a_durable_subscription_keeps_its_events(broker: ferrymq.Broker) -> None:
    bus, seen = broker.bus(), Seen()
    with bus.subscribe("t.#", seen, name="audit"):
        bus.publish("t.1", "there")
        assert seen.next() == ("t.1", "there")
    bus.publish("t.2", "away")
    with bus.subscribe("t.#", seen, "audit", concurrency=2):
        assert seen.next() == ("t.2", "away")
    assert [stats.name for stats in broker.queues()] == ["ferrymq.bus.audit"]


def test_a_transient_one_leaves_nothing(broker: ferrymq.Broker) -> None:
    bus = broker.bus()
    subscription = bus.subscribe("#", Seen())
    (stats,) = broker.queues()
    assert stats.name.startswith("ferrymq.bus.transient.")
    assert subscription.stop(timeout=PATIENCE)
    assert broker.queues() == []
    # Stopping again does nothing.
    subscription.stop()


def test_a_handler_may_stop_it_and_close_the_broker(broker: ferrymq.Broker) -> None:
    bus, stopped = broker.bus(), threading.Event()
    subscriptions: list[ferrymq.BusSubscription] = []

    def stop(event: ferrymq.Delivery) -> None:
        event.ack()
        subscriptions[0].stop()
        broker.close()
        stopped.set()

    subscriptions.append(bus.subscribe("t", stop, name="once"))
    bus.publish("t", "1")
    assert stopped.wait(PATIENCE)
    assert broker.closed


def test_what_cannot_be_is_refused_and_leaves_nothing(broker: ferrymq.Broker) -> None:
    bus: Any = broker.bus()
    attempts: list[Callable[[], Any]] = [
        lambda: bus.publish("x" * 256, "1"),
        lambda: bus.publish(7, "1"),
        lambda: bus.publish("t"),
        lambda: bus.subscribe("x" * 256, print),
        lambda: bus.subscribe(7, print),
        lambda: bus.subscribe("t", "print"),
        lambda: bus.subscribe("t", print, name=""),
        lambda: bus.subscribe("t", print, name=7),
        lambda: bus.subscribe("t", print, name="x" * 256),
        lambda: bus.subscribe("t", print, concurrency=0),
    ]
    for bad in attempts:
        with pytest.raises(ferrymq.InvalidArgument):
            bad()
    assert broker.queues() == []
    with pytest.raises(TypeError):
        bus.publish("t", "1", mandatory=True)


def test_through_asyncio() -> None:
    async def main() -> None:
        async with ferrymq.aio.open() as broker:
            bus = await broker.bus()
            seen: asyncio.Queue[tuple[str | None, str]] = asyncio.Queue()

            async def handler(event: ferrymq.aio.Delivery) -> None:
                await seen.put((event.key, event.text))

            async with await bus.subscribe("order.*", handler):
                assert await bus.publish("order.new", "7") == 1
                assert await bus.publish("invoice.new", "8") == 0
                async with asyncio.timeout(PATIENCE):
                    assert await seen.get() == ("order.new", "7")
            assert await broker.queues() == []
            audit = await bus.subscribe("#", handler, name="audit")
            await audit.stop()
            await bus.publish("t", "away")
            async with await bus.subscribe("#", handler, "audit"):
                async with asyncio.timeout(PATIENCE):
                    assert await seen.get() == ("t", "away")
            # One bus, whichever side publishes.
            assert broker.sync.bus().publish("t", "by a thread") == 1

    asyncio.run(main())


def test_asyncio_refuses_as_threads_do() -> None:
    async def main() -> None:
        async with ferrymq.aio.open() as broker:
            bus: Any = await broker.bus()
            for pattern, handler, name in (
                ("x" * 256, print, None),
                ("t", "print", None),
                ("t", print, ""),
            ):
                with pytest.raises(ferrymq.InvalidArgument):
                    await bus.subscribe(pattern, handler, name)
            assert await broker.queues() == []

    asyncio.run(main())
