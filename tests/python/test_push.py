"""Consumers and subscriptions: threads, hard handlers, ends of all kinds."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import ferrymq
import ferrymq.testing
import pytest
from conftest import take

LONG = 20.0


def until(condition: Callable[[], bool]) -> None:
    """Wait until something is so; fails when it never is."""
    for _ in range(200_000):
        if condition():
            return
        threading.Event().wait(0.0001)
    raise AssertionError("it never came to be")


# Consumers.


def test_iterating_a_queue_pushes(broker: ferrymq.Broker) -> None:
    queue = broker.queue("q")
    queue.produce_many([str(n) for n in range(250)])
    seen = []
    for delivery in queue:
        seen.append(delivery.text)
        delivery.ack()
        if len(seen) == 120:
            break
    assert seen == [str(n) for n in range(120)]
    # What the loop had reserved went back with it.
    del delivery
    assert queue.stats().ready == 130
    assert [each.text for each in queue.consume_many(2, auto_ack=True)] == ["120", "121"]


def test_a_consumer_is_a_context_manager(broker: ferrymq.Broker) -> None:
    queue = broker.queue("q")
    queue.produce_many([b"a", b"b"])
    with queue.consumer(prefetch=2) as consumer:
        assert consumer.queue == "q"
        assert queue.stats().leased == 2
        delivery = consumer.consume()
        assert delivery is not None
        delivery.ack()
    assert queue.stats().ready == 1
    assert list(consumer) == []
    with pytest.raises(ferrymq.Closed):
        consumer.consume()
    consumer.close()


def test_a_dropped_consumer_gives_back(broker: ferrymq.Broker) -> None:
    queue = broker.queue("q")
    queue.produce_many([b"a", b"b"])
    consumer = queue.consumer()
    assert queue.stats().ready == 0
    del consumer
    assert queue.stats().ready == 2


def test_a_consumer_waits_and_times_out(broker: ferrymq.Broker) -> None:
    queue = broker.queue("q")
    consumer = queue.consumer()
    assert consumer.consume(0.01) is None
    assert consumer.consume_many(5, 0.01) == []
    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(consumer.consume, None)
        until(lambda: broker.stats().waiting == 1)
        queue.produce(b"x")
        delivery = waiting.result(LONG)
        assert delivery is not None
        delivery.ack()


def test_closing_ends_who_waits_in_another_thread(broker: ferrymq.Broker) -> None:
    consumer = broker.queue("q").consumer()
    with ThreadPoolExecutor(2) as pool:
        iterating = pool.submit(list, consumer)
        waiting = pool.submit(consumer.consume, None)
        until(lambda: broker.stats().waiting == 2)
        consumer.close()
        assert iterating.result(LONG) == []
        with pytest.raises(ferrymq.Closed):
            waiting.result(LONG)


def test_deleting_the_queue_ends_who_waits(broker: ferrymq.Broker) -> None:
    queue = broker.queue("q")
    consumer = queue.consumer()
    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(next, consumer)
        until(lambda: broker.stats().waiting == 1)
        queue.delete()
        with pytest.raises(ferrymq.NotFound):
            waiting.result(LONG)
    with pytest.raises(ferrymq.NotFound):
        consumer.consume()


def test_a_consumer_dropped_while_it_waits_in_another_thread(broker: ferrymq.Broker) -> None:
    """The thread that waits holds it: it goes on until it is done, then the consumer is gone."""
    queue = broker.queue("q")
    consumer = queue.consumer()
    taken: list[bytes] = []

    def wait_for_one(own: ferrymq.Consumer) -> None:
        with next(own) as delivery:
            taken.append(delivery.body)

    thread = threading.Thread(target=wait_for_one, args=(consumer,))
    thread.start()
    until(lambda: broker.stats().waiting == 1)
    del consumer
    queue.produce(b"x")
    thread.join(LONG)
    assert taken == [b"x"]
    queue.produce(b"y")
    assert queue.stats().ready == 1


def test_threads_share_a_consumer(broker: ferrymq.Broker) -> None:
    queue = broker.queue("q")
    consumer = queue.consumer(prefetch=3)
    seen: Counter[str] = Counter()

    def work() -> None:
        for delivery in consumer:
            with delivery:
                seen[delivery.text] += 1
            if len(seen) == 2000:
                consumer.close()

    with ThreadPoolExecutor(4) as pool:
        workers = [pool.submit(work) for _ in range(4)]
        for n in range(0, 2000, 100):
            queue.produce_many([str(n + i) for i in range(100)])
        for worker in workers:
            worker.result(LONG)
    assert set(seen.values()) == {1}
    assert len(seen) == 2000
    assert queue.stats().size == 0


@pytest.mark.parametrize("prefetch", [0, -1, 65_536, 1.5, "7", True])
def test_prefetch_out_of_range(broker: ferrymq.Broker, prefetch: Any) -> None:
    with pytest.raises(ferrymq.InvalidArgument, match="prefetch"):
        broker.queue("q").consumer(prefetch=prefetch)


def test_ctrl_c_ends_an_iteration_in_the_main_thread(broker: ferrymq.Broker) -> None:
    queue = broker.queue("q")
    queue.produce(b"x")
    main = threading.main_thread()

    def interrupt() -> None:
        until(lambda: broker.stats().waiting == 1)
        assert main.ident is not None
        signal.pthread_kill(main.ident, signal.SIGINT)

    consumer = queue.consumer()
    with ThreadPoolExecutor(1) as pool:
        pool.submit(interrupt)
        with pytest.raises(KeyboardInterrupt):
            for delivery in consumer:
                delivery.ack()
    assert broker.stats().waiting == 0
    # It can go on.
    queue.produce(b"y")
    next(consumer).ack()


# Subscriptions.


class Gate:
    """A handler that says when it has begun, and ends when it may."""

    def __init__(self) -> None:
        self.begun = threading.Semaphore(0)
        self.go = threading.Semaphore(0)

    def __call__(self, delivery: ferrymq.Delivery) -> None:
        self.begun.release()
        assert self.go.acquire(timeout=LONG)

    def until_begun(self, count: int = 1) -> None:
        for _ in range(count):
            assert self.begun.acquire(timeout=LONG)

    def let_go(self, count: int = 1) -> None:
        self.go.release(count)


def test_returning_acks(broker: ferrymq.Broker) -> None:
    queue = broker.queue("q")
    seen: list[str] = []
    done = threading.Event()

    def handler(delivery: ferrymq.Delivery) -> None:
        seen.append(delivery.text)
        if len(seen) == 100:
            done.set()

    queue.produce_many([str(n) for n in range(50)])
    with queue.subscribe(handler) as subscription:
        queue.produce_many([str(n) for n in range(50, 100)])
        assert done.wait(LONG)
        assert subscription.queue == "q"
    assert seen == [str(n) for n in range(100)]
    assert (queue.stats().acked, queue.stats().size) == (100, 0)


def test_raising_nacks_with_the_exception_as_reason_and_is_logged(
    broker: ferrymq.Broker, caplog: pytest.LogCaptureFixture
) -> None:
    queue = broker.queue("q", backoff=0, max_attempts=2)
    queue.produce(b"x")

    def handler(delivery: ferrymq.Delivery) -> None:
        raise ValueError(f"not on attempt {delivery.attempt}")

    with queue.subscribe(handler):
        dead = take(broker.queue("q.dead"), LONG)
    assert dead.headers["x-dead-detail"] == "ValueError: not on attempt 2"
    dead.ack()
    raised = [record for record in caplog.records if record.exc_info]
    assert [str(record.exc_info[1]) for record in raised if record.exc_info] == [
        "not on attempt 1",
        "not on attempt 2",
    ]
    assert raised[0].name.startswith("ferrymq")


def test_what_a_handler_settled_is_left_alone(
    broker: ferrymq.Broker, caplog: pytest.LogCaptureFixture
) -> None:
    queue = broker.queue("q", dead_letter=False)
    queue.produce_many([b"ack", b"reject", b"nack", b"raise"])

    def handler(delivery: ferrymq.Delivery) -> None:
        if delivery.body == b"raise":
            delivery.ack()
            raise ValueError("after the ack")
        getattr(delivery, delivery.text)()

    with queue.subscribe(handler):
        until(lambda: queue.stats().leased == 0 and queue.stats().ready == 0)
    stats = queue.stats()
    assert (stats.acked, stats.rejected, stats.nacked) == (2, 1, 1)
    # No settlement was refused. Other lines are the engine's, an earlier test's perhaps.
    assert not [line for line in caplog.messages if " of message " in line]


def test_concurrency_is_how_many_run_at_once(broker: ferrymq.Broker) -> None:
    queue = broker.queue("q")
    queue.produce_many([b"x"] * 5)
    gate = Gate()
    subscription = queue.subscribe(gate, concurrency=3)
    gate.until_begun(3)
    assert not gate.begun.acquire(blocking=False)
    # What it does not work on is anybody's.
    assert (queue.stats().leased, queue.stats().ready) == (3, 2)
    gate.let_go(5)
    gate.until_begun(2)
    assert subscription.stop(LONG)
    assert queue.stats().acked == 5


def test_stop_finishes_what_runs_and_gives_back_the_rest(broker: ferrymq.Broker) -> None:
    queue = broker.queue("q")
    queue.produce_many([b"a", b"b", b"c"])
    gate = Gate()
    subscription = queue.subscribe(gate)
    gate.until_begun()
    assert not subscription.stop(0)
    assert "running" in repr(subscription)
    assert queue.stats().ready == 2
    gate.let_go()
    assert subscription.stop(LONG)
    assert subscription.wait(0)
    assert "ended" in repr(subscription)
    assert (queue.stats().acked, queue.stats().ready) == (1, 2)
    again = take(queue)
    assert again.attempt == 1
    again.release()


def test_a_handler_that_blocks_for_ever_does_not_block_stop(hand: ferrymq.testing.Broker) -> None:
    """Its message stays its own: the lease is renewed until 12 hours are over."""
    queue = hand.queue("q", lease=1)
    queue.produce(b"x")
    gate = Gate()
    subscription = queue.subscribe(gate)
    gate.until_begun()
    assert not subscription.stop(0.01)
    hand.clock.advance(12 * 3600 - 0.001)
    assert queue.consume() is None
    hand.clock.advance(0.001)
    again = take(queue)
    assert again.attempt == 2
    again.ack()
    gate.let_go()
    assert subscription.stop(LONG)


def test_a_handler_ten_leases_long_keeps_its_message(hand: ferrymq.testing.Broker) -> None:
    queue = hand.queue("q", lease=1, max_attempts=1)
    queue.produce(b"x")
    gate = Gate()
    with queue.subscribe(gate) as subscription:
        gate.until_begun()
        hand.clock.advance(10)
        assert queue.consume() is None
        gate.let_go()
        until(lambda: queue.stats().acked == 1)
        assert subscription.stop(LONG)


def test_a_handler_closes_the_broker_from_inside() -> None:
    broker = ferrymq.open()
    queue = broker.queue("q")
    queue.produce(b"x")
    subscription = queue.subscribe(lambda _: broker.close(), concurrency=2)
    assert subscription.wait(LONG)
    assert broker.closed
    assert subscription.stop(LONG)


def test_a_handler_stops_its_own_subscription(broker: ferrymq.Broker) -> None:
    queue = broker.queue("q")
    queue.produce_many([b"a", b"b"])
    answers: list[bool] = []
    ready = threading.Event()

    def handler(delivery: ferrymq.Delivery) -> None:
        assert ready.wait(LONG)
        answers.append(subscription.stop())
        with pytest.raises(ferrymq.InvalidArgument):
            subscription.wait()

    subscription = queue.subscribe(handler)
    ready.set()
    assert subscription.wait(LONG)
    assert answers == [False]
    assert (queue.stats().acked, queue.stats().ready) == (1, 1)


def test_two_handlers_stop_each_other(broker: ferrymq.Broker) -> None:
    queue = broker.queue("q")
    queue.produce_many([b"a", b"b"])
    both = threading.Barrier(3)

    def handler(delivery: ferrymq.Delivery) -> None:
        both.wait(LONG)
        subscription.stop()

    subscription = queue.subscribe(handler, concurrency=2)
    both.wait(LONG)
    assert subscription.wait(LONG)
    assert queue.stats().acked == 2


def test_closing_the_broker_ends_it() -> None:
    broker = ferrymq.open()
    queue = broker.queue("q")
    gate = Gate()
    subscription = queue.subscribe(gate, concurrency=2)
    queue.produce(b"x")
    gate.until_begun()
    broker.close()
    assert not subscription.wait(0)
    gate.let_go()
    assert subscription.wait(LONG)


def test_deleting_the_queue_ends_it(
    broker: ferrymq.Broker, caplog: pytest.LogCaptureFixture
) -> None:
    queue = broker.queue("q")
    subscription = queue.subscribe(print, concurrency=2)
    until(lambda: broker.stats().waiting == 2)
    queue.delete()
    assert subscription.wait(LONG)
    assert "the queue was deleted" in caplog.text


def test_an_exit_in_a_handler_releases_and_ends_its_thread(broker: ferrymq.Broker) -> None:
    queue = broker.queue("q")
    queue.produce_many([b"a", b"b"])

    def handler(delivery: ferrymq.Delivery) -> None:
        sys.exit(1)

    assert queue.subscribe(handler).wait(LONG)
    stats = queue.stats()
    assert (stats.released, stats.ready) == (1, 2)


def test_subscriptions_share_a_queue(broker: ferrymq.Broker) -> None:
    queue = broker.queue("q", dispatch="least_loaded")
    seen: Counter[str] = Counter()
    lock = threading.Lock()
    done = threading.Event()

    def handler(delivery: ferrymq.Delivery) -> None:
        with lock:
            seen[delivery.text] += 1
            if len(seen) == 1000:
                done.set()

    subscriptions = [queue.subscribe(handler, concurrency=2) for _ in range(3)]
    for n in range(0, 1000, 50):
        queue.produce_many([str(n + i) for i in range(50)])
    assert done.wait(LONG)
    for subscription in subscriptions:
        assert subscription.stop(LONG)
    assert set(seen.values()) == {1}
    assert queue.stats().size == 0


async def coroutine(delivery: ferrymq.Delivery) -> None:
    pass


@pytest.mark.parametrize(
    ("handler", "options", "says"),
    [
        (None, {}, "handler is NoneType"),
        ("print", {}, "handler is str"),
        (coroutine, {}, "coroutine function"),
        (print, {"concurrency": 0}, "concurrency is 0"),
        (print, {"concurrency": 1001}, "concurrency is 1001"),
        (print, {"concurrency": "2"}, "concurrency"),
    ],
)
def test_wrong_subscriptions(
    broker: ferrymq.Broker, handler: Any, options: dict[str, Any], says: str
) -> None:
    queue = broker.queue("q")
    queue.produce(b"x")
    with pytest.raises(ferrymq.InvalidArgument, match=says):
        queue.subscribe(handler, **options)
    assert queue.stats().ready == 1


@pytest.mark.parametrize("timeout", [-1, float("nan"), float("inf"), "1", True])
def test_wrong_timeouts(broker: ferrymq.Broker, timeout: Any) -> None:
    with broker.queue("q").subscribe(print) as subscription:
        for call in (subscription.stop, subscription.wait):
            with pytest.raises(ferrymq.InvalidArgument, match="timeout"):
                call(timeout)


def test_after_close_nothing_is_subscribed() -> None:
    broker = ferrymq.open()
    queue = broker.queue("q")
    broker.close()
    with pytest.raises(ferrymq.Closed):
        queue.subscribe(print)
    with pytest.raises(ferrymq.Closed):
        queue.consumer()


def test_threads_that_cannot_be_started_leave_nothing_behind(
    broker: ferrymq.Broker, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Scarce(threading.Thread):
        left = 2

        def start(self) -> None:
            Scarce.left -= 1
            if Scarce.left < 0:
                raise RuntimeError("can't start new thread")
            super().start()

    monkeypatch.setattr(threading, "Thread", Scarce)
    queue = broker.queue("q")
    with pytest.raises(ferrymq.Unavailable, match="thread 3 of 5"):
        queue.subscribe(print, concurrency=5)
    queue.produce(b"x")
    assert queue.stats().ready == 1


def run(program: str, *, status: int = 0) -> str:
    """What a program of its own prints."""
    done = subprocess.run(
        [sys.executable, "-W", "ignore::DeprecationWarning", "-c", program],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == status, done.stderr
    assert done.stderr == ""
    return done.stdout


def test_the_interpreters_exit_ends_what_waits_and_lets_finish_what_runs() -> None:
    program = """
import ferrymq, threading
broker = ferrymq.open()
idle = broker.queue("idle").subscribe(print, concurrency=4)
queue = broker.queue("q")
begun, go = threading.Event(), threading.Event()
def handler(delivery):
    begun.set()
    go.wait(20)
    print(delivery.text, flush=True)
queue.produce("finished")
queue.produce("never begun")
queue.subscribe(handler)
begun.wait(20)
timer = threading.Timer(0.05, go.set)
timer.daemon = True
timer.start()
"""
    assert run(program) == "finished\n"


def test_the_interpreters_exit_does_not_wait_for_ever() -> None:
    program = """
import ferrymq, threading
import ferrymq._subscription
ferrymq._subscription._EXIT_SECONDS = 0.1
queue = ferrymq.open().queue("q")
begun = threading.Event()
def handler(delivery):
    begun.set()
    threading.Event().wait()
queue.produce("x")
queue.subscribe(handler)
begun.wait(20)
print("out", flush=True)
"""
    assert run(program) == "out\n"


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork here")
def test_a_forked_child_has_no_subscription() -> None:
    program = """
import ferrymq, os, sys
broker = ferrymq.open()
queue = broker.queue("q")
consumer = queue.consumer()
subscription = queue.subscribe(print)
child = os.fork()
if child == 0:
    refused = 0
    for call in (subscription.stop, consumer.consume, consumer.close, lambda: next(consumer),
                 lambda: queue.subscribe(print), lambda: queue.consumer()):
        try:
            call()
        except ferrymq.ForkError:
            refused += 1
    del consumer
    sys.exit(0 if refused == 6 else 1)
_, status = os.waitpid(child, 0)
print(os.waitstatus_to_exitcode(status), subscription.stop(20))
"""
    assert run(program) == "0 True\n"
