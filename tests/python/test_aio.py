"""The asyncio API: the same verbs awaited, cancellation that loses nothing, any loop and thread."""

from __future__ import annotations

import asyncio
import gc
import inspect
import random
import threading
import warnings
from collections import Counter
from collections.abc import Awaitable, Callable, Coroutine
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import ferrymq
import ferrymq.aio
import ferrymq.testing
import pytest
from ferrymq import _aio_waiting


async def take(queue: ferrymq.aio.Queue) -> ferrymq.aio.Delivery:
    """The next delivery, which must be there."""
    delivery = await queue.consume()
    assert delivery is not None
    return delivery


async def turns(count: int = 10) -> None:
    """Lets everything go on that can."""
    for _ in range(count):
        await asyncio.sleep(0)


def on_aio(
    main: Callable[[ferrymq.aio.Broker], Coroutine[Any, Any, None]],
) -> Callable[[], None]:
    """Runs a test in an event loop of its own, with a broker whose clock stands still."""

    def test() -> None:
        async def run() -> None:
            async with ferrymq.testing.open().aio as broker:
                await main(broker)

        asyncio.run(run())

    test.__name__ = main.__name__
    test.__doc__ = main.__doc__
    return test


@on_aio
async def test_every_verb(broker: ferrymq.aio.Broker) -> None:
    queue = await broker.queue("q", priorities=2, backoff=0)
    assert queue.name == "q"
    id = await queue.produce("text", key="k", headers={"h": 1}, priority=1)
    assert [each.id for each in await queue.peek()] == [id]
    delivery = await take(queue)
    assert isinstance(delivery, ferrymq.Message)
    assert (delivery.text, delivery.key, delivery.headers) == ("text", "k", {"h": 1})
    assert len(delivery.token) == 24
    assert delivery.deadline is not None
    await delivery.extend(60)
    await delivery.ack(durable=True)
    await queue.produce_many([b"a", b"b", b"c", ferrymq.Outgoing(json=4)])
    a, b, c, d = await queue.consume_many(9)
    await a.nack(0, "why")
    await b.reject("never")
    await c.release()
    await queue.extend(d.token, 90)
    await queue.ack(d.token)
    assert await queue.size() == 2
    stats = await queue.stats()
    assert (stats.acked, stats.nacked, stats.rejected, stats.released) == (2, 1, 1, 1)
    dead = await broker.queue("q.dead", create=False)
    assert await dead.redrive() == 1
    assert await queue.purge() == 3
    await queue.alter(capacity=1)
    with pytest.raises(ferrymq.QueueFull):
        await queue.produce_many([b"1", b"2"])
    assert [each.name for each in await broker.queues()] == ["q", "q.dead"]
    assert (await broker.stats()).queues == 2
    assert await queue.delete() == 0
    with pytest.raises(ferrymq.NotFound):
        await queue.size()


@on_aio
async def test_settling_by_token(broker: ferrymq.aio.Broker) -> None:
    queue = await broker.queue("q", backoff=0)
    await queue.produce_many([b"a", b"b", b"c", b"d"])
    a, b, c, d = await queue.consume_many(4)
    await queue.nack(a.token, 0, "why")
    await queue.reject(b, "never")
    await queue.release(c.token)
    await queue.ack_many([d.token])
    with pytest.raises(ferrymq.LeaseLost) as caught:
        await queue.ack_many([a, b.token])
    assert caught.value.lost == [a, b.token]


@on_aio
async def test_routing_and_transactions(broker: ferrymq.aio.Broker) -> None:
    queue, exchange = await broker.queue("q"), await broker.exchange("e", "topic")
    assert exchange.name == "e"
    await exchange.bind(queue, "a.*")
    assert await exchange.produce(b"x", key="a.b") == 1
    with pytest.raises(ferrymq.Unroutable):
        await exchange.produce(b"x", key="b", mandatory=True)
    delivery = await take(queue)
    async with broker.transaction() as transaction:
        await transaction.produce(queue, b"y", key="k")
        await transaction.produce(exchange, b"z", key="a.z")
        await transaction.ack(delivery)
    assert transaction.results[1:] == [1, None]
    with pytest.raises(ZeroDivisionError):
        async with broker.transaction() as transaction:
            await transaction.produce(queue, b"never")
            _ = 1 / 0
    with pytest.raises(ferrymq.InvalidArgument, match="over"):
        await transaction.commit()
    explicit = broker.transaction()
    await explicit.produce(queue, b"never")
    await explicit.rollback()
    assert await queue.size() == 2
    await exchange.unbind(queue, "a.*")
    await exchange.delete()


@on_aio
async def test_the_context_manager(broker: ferrymq.aio.Broker) -> None:
    queue = await broker.queue("q", max_attempts=1)
    await queue.produce_many([b"a", b"b", b"c", b"d"])
    async with await take(queue):
        pass
    with pytest.raises(ValueError, match="boom"):
        async with await take(queue):
            raise ValueError("boom")
    with pytest.raises(asyncio.CancelledError):
        async with await take(queue):
            raise asyncio.CancelledError
    async with await take(queue) as delivery:
        await delivery.reject("no")
    stats = await queue.stats()
    assert (stats.acked, stats.nacked, stats.released, stats.rejected) == (1, 1, 1, 1)


@on_aio
async def test_a_forgotten_delivery_warns(broker: ferrymq.aio.Broker) -> None:
    queue = await broker.queue("q")
    await queue.produce_many([b"a", b"b"])
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        async with await take(queue):
            pass
        await take(queue)
        gc.collect()
    assert [warning.category for warning in caught] == [ResourceWarning]


@on_aio
async def test_waiting_consumers_are_served_in_turn(broker: ferrymq.aio.Broker) -> None:
    queue = await broker.queue("q")
    waiting = [asyncio.create_task(queue.consume(None)) for _ in range(50)]
    await turns()
    assert (await broker.stats()).waiting == 50
    await queue.produce_many([str(number) for number in range(50)])
    deliveries = await asyncio.gather(*waiting)
    assert [each.text for each in deliveries if each] == [str(number) for number in range(50)]
    await queue.ack_many([each for each in deliveries if each])


@on_aio
async def test_cancellation_before_the_answer(broker: ferrymq.aio.Broker) -> None:
    queue = await broker.queue("q", capacity=1, overflow="block")
    waiting = asyncio.create_task(queue.consume(None))
    await turns()
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    assert (await broker.stats()).waiting == 0
    await queue.produce(b"x")
    blocked = asyncio.create_task(queue.produce(b"y"))
    await turns()
    blocked.cancel()
    with pytest.raises(asyncio.CancelledError):
        await blocked
    async with await take(queue) as delivery:
        assert (delivery.body, delivery.attempt) == (b"x", 1)
    assert await queue.size() == 0


@on_aio
async def test_cancellation_after_the_answer_releases(broker: ferrymq.aio.Broker) -> None:
    """The message is on its way to the task when the task is cancelled: it goes back, uncounted."""
    queue = await broker.queue("q")
    for ahead in range(4):
        waiting = asyncio.create_task(queue.consume(None))
        await turns()
        await queue.produce(b"x")
        assert (await queue.stats()).leased == 1
        await turns(ahead)
        cancelled = waiting.cancel()
        if cancelled:
            with pytest.raises(asyncio.CancelledError):
                await waiting
        else:
            delivery = await waiting
            assert delivery is not None
            await delivery.release()
        assert (await queue.stats()).leased == 0
        async with await take(queue) as delivery:
            assert delivery.attempt == 1


@on_aio
async def test_wait_for_and_task_groups(broker: ferrymq.aio.Broker) -> None:
    queue = await broker.queue("q")
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(queue.consume(None), 0.01)
    with pytest.raises(ExceptionGroup):
        async with asyncio.TaskGroup() as group:
            group.create_task(queue.consume(None))
            group.create_task(queue.consume_many(3, None))
            await turns()
            raise RuntimeError("everyone home")
    assert (await broker.stats()).waiting == 0


@on_aio
async def test_a_cancelled_batch_is_released_whole(broker: ferrymq.aio.Broker) -> None:
    queue = await broker.queue("q")
    waiting = asyncio.create_task(queue.consume_many(10, None))
    await turns()
    await queue.produce_many([b"a", b"b", b"c"])
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    stats = await queue.stats()
    assert (stats.ready, stats.leased) == (3, 0)
    assert [each.attempt for each in await queue.consume_many(3, auto_ack=True)] == [1, 1, 1]


@on_aio
async def test_iteration(broker: ferrymq.aio.Broker) -> None:
    queue = await broker.queue("q")
    bodies = []

    async def consume() -> None:
        async for delivery in queue:
            async with delivery:
                bodies.append(delivery.body)

    task = asyncio.create_task(consume())
    for body in (b"a", b"b", b"c"):
        await queue.produce(body)
        await turns()
    await broker.close()
    await task
    assert bodies == [b"a", b"b", b"c"]


@on_aio
async def test_close_wakes_everyone(broker: ferrymq.aio.Broker) -> None:
    queue = await broker.queue("q")
    waiting = [asyncio.create_task(queue.consume(None)) for _ in range(5)]
    await turns()
    await broker.close()
    assert broker.closed
    outcomes = await asyncio.gather(*waiting, return_exceptions=True)
    assert {type(outcome) for outcome in outcomes} == {ferrymq.Closed}
    with pytest.raises(ferrymq.Closed):
        await queue.produce(b"x")


def test_a_durable_produce_waits_for_its_sync() -> None:
    async def main() -> None:
        with ferrymq.testing.open("manual") as hand:
            broker = hand.aio
            declaring = asyncio.create_task(broker.queue("q"))
            await turns()
            assert not declaring.done()
            hand.disk.sync()
            queue = await declaring
            producing = asyncio.create_task(queue.produce(b"x"))
            await turns()
            assert not producing.done()
            hand.disk.sync()
            assert await producing is not None
            delivery = await take(queue)
            acking = asyncio.create_task(delivery.ack(durable=True))
            await turns()
            hand.disk.sync_fails()
            with pytest.raises(ferrymq.Indeterminate):
                await acking

    asyncio.run(main())


def test_threads_and_loops_share_one_broker() -> None:
    """Two loops and two threads pass messages round through one broker."""
    rounds = 200
    with ferrymq.open() as broker:
        queues = [broker.queue(name) for name in "abcd"]

        def thread(take_from: int) -> None:
            for _ in range(rounds):
                delivery = queues[take_from].consume(20)
                assert delivery is not None
                with delivery:
                    queues[(take_from + 1) % 4].produce(delivery.body)

        async def loop(take_from: int) -> None:
            own = [await broker.aio.queue(name) for name in "abcd"]
            for _ in range(rounds):
                delivery = await own[take_from].consume(20)
                assert delivery is not None
                async with delivery:
                    await own[(take_from + 1) % 4].produce(delivery.body)

        with ThreadPoolExecutor(4) as pool:
            futures = [pool.submit(thread, 0), pool.submit(thread, 2)]
            futures += [pool.submit(asyncio.run, loop(number)) for number in (1, 3)]
            queues[0].produce(b"ball")
            for future in futures:
                future.result(timeout=60)
        assert [len(queue) for queue in queues] == [1, 0, 0, 0]


def test_one_broker_in_loop_after_loop() -> None:
    async def turn(broker: ferrymq.Broker) -> None:
        queue = await broker.aio.queue("q")
        waiting = asyncio.create_task(queue.consume(None))
        await turns()
        await queue.produce(b"x")
        delivery = await waiting
        assert delivery is not None
        await delivery.ack()

    with ferrymq.open() as broker:
        for _ in range(20):
            asyncio.run(turn(broker))
        gc.collect()
        assert len(_aio_waiting._wakers) <= 1


def test_a_loop_that_was_closed_while_a_call_waited() -> None:
    """What arrives for it goes back, uncounted, and to the next in line."""
    with ferrymq.open() as broker:
        queue = broker.queue("q")
        loop = asyncio.new_event_loop()
        task = loop.create_task(_consume(broker))
        loop.run_until_complete(turns())
        assert broker.stats().waiting == 1
        loop.close()
        queue.produce(b"x")
        delivery = queue.consume()
        assert delivery is not None
        assert delivery.attempt == 1
        delivery.ack()
        assert broker.stats().waiting == 0
        # Its loop is gone, so it can only be dropped; asyncio would say so through its logger.
        task._log_destroy_pending = False  # type: ignore[attr-defined]


async def _consume(broker: ferrymq.Broker) -> None:
    queue = await broker.aio.queue("q")
    await queue.consume(None)


def test_a_wake_up_from_a_foreign_thread() -> None:
    async def main() -> None:
        with ferrymq.open() as broker:
            queue = await broker.aio.queue("q")
            waiting = asyncio.create_task(queue.consume(None))
            await turns()
            thread = threading.Thread(target=broker.queue("q").produce, args=(b"x",))
            thread.start()
            delivery = await asyncio.wait_for(waiting, 20)
            assert delivery is not None
            await delivery.ack()
            thread.join()
            # Its timer's thread, which is no Python thread, wakes a loop too.
            assert await queue.consume(0.01) is None

    asyncio.run(main())


def test_both_apis_have_the_same_verbs() -> None:
    """What one has the other has, with the same arguments in the same order."""
    only_sync = {("Queue", "__len__"), ("Queue", "__contains__"), ("Queue", "__bool__")}
    only_aio = {("Queue", "size"), ("Broker", "sync")}
    for name in ("Broker", "Queue", "Exchange", "Transaction", "Delivery"):
        sync, aio = getattr(ferrymq, name), getattr(ferrymq.aio, name)
        ours = {verb for verb in dir(sync) if not verb.startswith("_")} - {"aio"}
        theirs = {verb for verb in dir(aio) if not verb.startswith("_")}
        assert ours - theirs == {verb for of, verb in only_sync if of == name and verb in ours}
        assert theirs - ours == {verb for of, verb in only_aio if of == name}
        for verb in sorted(ours & theirs):
            member = getattr(aio, verb)
            if callable(member) and callable(getattr(sync, verb)):
                arguments = list(inspect.signature(getattr(sync, verb)).parameters)
                assert list(inspect.signature(member).parameters) == arguments, (name, verb)


def test_awaitables_are_coroutines() -> None:
    async def main() -> None:
        async with ferrymq.aio.open() as broker:
            call: Awaitable[Any] = broker.queue("q")
            assert inspect.iscoroutine(call)
            await call

    asyncio.run(main())


def test_cancellation_under_load_loses_nothing() -> None:
    """Threads produce, two loops consume and cancel: each message is acked exactly once."""
    count, producers = 6_000, 3
    acked: Counter[bytes] = Counter()
    lock = threading.Lock()

    with ferrymq.open() as broker:
        queue = broker.queue("q", max_attempts=None, capacity=200, overflow="block")

        def produce(first: int) -> None:
            for number in range(first, count, producers):
                queue.produce(str(number))

        async def settle(delivery: ferrymq.aio.Delivery | None) -> None:
            if delivery is None:
                return
            body = delivery.body
            await delivery.ack()
            with lock:
                acked[body] += 1
                if len(acked) == count:
                    broker.close()

        async def consume(own: ferrymq.aio.Queue) -> None:
            async for delivery in own:
                await settle(delivery)

        async def cancel(own: ferrymq.aio.Queue, chance: random.Random) -> None:
            while True:
                task = asyncio.create_task(own.consume(None))
                await turns(chance.randrange(6))
                task.cancel()
                try:
                    await settle(await task)
                except asyncio.CancelledError:
                    continue
                except ferrymq.Closed:
                    return

        async def loop(seed: int) -> None:
            own = await broker.aio.queue("q")
            await asyncio.gather(consume(own), cancel(own, random.Random(seed)))

        with ThreadPoolExecutor(producers + 2) as pool:
            futures = [pool.submit(produce, first) for first in range(producers)]
            futures += [pool.submit(asyncio.run, loop(seed)) for seed in (1, 2)]
            for future in futures:
                future.result(timeout=60)
    assert len(acked) == count
    assert set(acked.values()) == {1}


# Consumers and subscriptions.


async def until_so(condition: Callable[[], bool]) -> None:
    """Let everything else go on until something is so."""
    while not condition():  # noqa: ASYNC110 - it is about the broker's state, which sets no event
        await asyncio.sleep(0)


def on_a_loop(test: Callable[[], Coroutine[Any, Any, None]]) -> None:
    async def limited() -> None:
        async with asyncio.timeout(20):
            await test()

    asyncio.run(limited())


def test_a_consumer_pushes() -> None:
    async def test() -> None:
        async with ferrymq.aio.open() as broker:
            queue = await broker.queue("q")
            await queue.produce_many([str(n) for n in range(10)])
            seen = []
            async with queue.consumer(prefetch=3) as consumer:
                assert consumer.queue == "q"
                assert (await queue.stats()).leased == 3
                async for delivery in consumer:
                    async with delivery:
                        seen.append(delivery.text)
                    if len(seen) == 4:
                        break
            assert seen == ["0", "1", "2", "3"]
            assert (await queue.stats()).ready == 6
            assert [each async for each in consumer] == []
            with pytest.raises(ferrymq.Closed):
                await consumer.consume()

    on_a_loop(test)


def test_a_consumers_wait_can_be_cancelled_and_loses_nothing() -> None:
    async def test() -> None:
        with ferrymq.open() as sync:
            broker = sync.aio
            queue = await broker.queue("q")
            consumer = queue.consumer()
            waiting = asyncio.create_task(anext(consumer))
            await until_so(lambda: sync.stats().waiting == 1)
            # Cancelled with its answer on the way.
            await queue.produce("x")
            waiting.cancel()
            with pytest.raises(asyncio.CancelledError):
                await waiting
            delivery = await anext(consumer)
            assert (delivery.text, delivery.attempt) == ("x", 1)
            await delivery.ack()
            assert await consumer.consume(0.01) is None

    on_a_loop(test)


def test_closing_ends_who_waits_in_another_task() -> None:
    async def test() -> None:
        with ferrymq.open() as sync:
            broker = sync.aio
            consumer = (await broker.queue("q")).consumer()

            async def iterate() -> list[str]:
                return [delivery.text async for delivery in consumer]

            waiting = [asyncio.create_task(iterate()) for _ in range(2)]
            await until_so(lambda: sync.stats().waiting == 2)
            await consumer.close()
            assert await asyncio.gather(*waiting) == [[], []]

    on_a_loop(test)


def test_a_subscription_acks_nacks_and_leaves_alone(caplog: pytest.LogCaptureFixture) -> None:
    async def test() -> None:
        with ferrymq.open() as sync:
            broker = sync.aio
            plain = sync.queue("q", backoff=0, max_attempts=1)
            queue = await broker.queue("q")
            await queue.produce_many(["await", "plain", "raise", "reject"])

            async def handler(delivery: ferrymq.aio.Delivery) -> None:
                await asyncio.sleep(0)
                if delivery.text == "raise":
                    raise ValueError("not today")
                if delivery.text == "reject":
                    await delivery.reject("mine")

            async with queue.subscribe(handler) as subscription:
                assert subscription.queue == "q"
                await until_so(lambda: len(plain) == 0)
            stats = await queue.stats()
            assert (stats.acked, stats.nacked, stats.rejected) == (2, 1, 1)
            dead = await (await broker.queue("q.dead")).consume_many(2, auto_ack=True)
            details = [each.headers["x-dead-detail"] for each in dead]
            assert details == ["ValueError: not today", "mine"]

    on_a_loop(test)
    assert [str(record.exc_info[1]) for record in caplog.records if record.exc_info] == [
        "not today"
    ]


def test_a_subscriptions_handler_may_be_a_plain_function() -> None:
    async def test() -> None:
        with ferrymq.open() as sync:
            broker = sync.aio
            plain = sync.queue("q")
            queue = await broker.queue("q")
            seen: list[str] = []
            queue.subscribe(lambda delivery: seen.append(delivery.text))
            await queue.produce("x")
            await until_so(lambda: len(plain) == 0)
            assert seen == ["x"]

    on_a_loop(test)


def test_a_subscription_runs_so_many_at_once_and_stops_gracefully() -> None:
    async def test() -> None:
        async with ferrymq.aio.open() as broker:
            queue = await broker.queue("q")
            await queue.produce_many(["x"] * 5)
            go, running = asyncio.Event(), 0

            async def handler(delivery: ferrymq.aio.Delivery) -> None:
                nonlocal running
                running += 1
                await go.wait()

            subscription = queue.subscribe(handler, concurrency=3)
            await until_so(lambda: running == 3)
            assert not await subscription.stop(0.01)
            assert (await queue.stats()).ready == 2
            assert "running" in repr(subscription)
            go.set()
            assert await subscription.stop()
            assert await subscription.wait(0)
            assert "ended" in repr(subscription)
            stats = await queue.stats()
            assert (stats.acked, stats.ready) == (3, 2)

    on_a_loop(test)


def test_an_asyncio_handler_stops_closes_and_is_renewed() -> None:
    async def test() -> None:
        with ferrymq.testing.open() as hand:
            queue = await hand.aio.queue("q", lease=1, max_attempts=1)
            begun, go = asyncio.Event(), asyncio.Event()

            async def handler(delivery: ferrymq.aio.Delivery) -> None:
                begun.set()
                await go.wait()
                assert not await subscription.stop()
                with pytest.raises(ferrymq.InvalidArgument):
                    await subscription.wait()
                if delivery.text == "close":
                    await hand.aio.close()

            subscription = queue.subscribe(handler, concurrency=2)
            await queue.produce("long")
            await begun.wait()
            hand.clock.advance(10)
            assert await queue.consume() is None
            go.set()
            assert await subscription.wait(10)
            assert (await queue.stats()).acked == 1
            await queue.produce("close")
            subscription = queue.subscribe(handler)
            assert await subscription.wait(10)
            assert hand.closed

    on_a_loop(test)


def test_a_cancelled_handler_releases() -> None:
    with ferrymq.open() as broker:
        queue = broker.queue("q")
        queue.produce("x")

        async def main() -> None:
            begun = asyncio.Event()

            async def handler(delivery: ferrymq.aio.Delivery) -> None:
                begun.set()
                await asyncio.Event().wait()

            (await broker.aio.queue("q")).subscribe(handler)
            await begun.wait()
            # The end of asyncio.run cancels what still runs.

        asyncio.run(main())
        stats = queue.stats()
        assert (stats.released, stats.ready) == (1, 1)
        queue.produce("y")
        # Nobody is subscribed any more.
        assert queue.stats().ready == 2


def test_wrong_subscriptions_of_asyncio() -> None:
    async def test() -> None:
        async with ferrymq.aio.open() as broker:
            queue = await broker.queue("q")
            wrong: list[tuple[Any, dict[str, Any]]] = [
                (None, {}),
                (print, {"concurrency": 0}),
                (print, {"concurrency": "1"}),
            ]
            for handler, options in wrong:
                with pytest.raises(ferrymq.InvalidArgument):
                    queue.subscribe(handler, **options)
            for prefetch in (0, 65_536):
                with pytest.raises(ferrymq.InvalidArgument):
                    queue.consumer(prefetch=prefetch)
            subscription = queue.subscribe(print)
            with pytest.raises(ferrymq.InvalidArgument):
                await subscription.stop(-1)
        with pytest.raises(ferrymq.Closed):
            queue.subscribe(print)
        assert [each async for each in queue] == []

    on_a_loop(test)
