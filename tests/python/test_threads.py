"""One handle, many threads; waits that end; signals, forks and the interpreter's end.

Nothing here sleeps to wait for another thread: a thread that must be waiting is asked for through
the broker's own count of waiting calls.
"""

from __future__ import annotations

import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from statistics import median

import ferrymq
import ferrymq.testing
import pytest
from conftest import take


def until_waiting(broker: ferrymq.Broker, calls: int) -> None:
    """Returns once so many calls wait."""
    limit = time.monotonic() + 20
    while broker.stats().waiting != calls:
        assert time.monotonic() < limit, broker.stats()
        threading.Event().wait(0.001)


def test_stress() -> None:
    """Eight threads produce, consume, give back and ack: every message is acked exactly once."""
    count, threads = 2_000, 8
    acked: Counter[bytes] = Counter()
    lock = threading.Lock()
    with ferrymq.open() as broker:
        queue = broker.queue("q", max_attempts=None, backoff=0)

        def produce(worker: int) -> None:
            for number in range(0, count, 4):
                body = f"{worker}/{number}"
                queue.produce(body)
                queue.produce_many([f"{worker}/{number + more}" for more in (1, 2, 3)])

        def consume(worker: int) -> None:
            for turn, delivery in enumerate(queue):
                if turn % 7 == worker % 7 and delivery.attempt < 3:
                    delivery.nack(0)
                elif turn % 11 == worker % 11 and not delivery.redelivered:
                    delivery.release()
                else:
                    body = delivery.body
                    delivery.ack()
                    with lock:
                        acked[body] += 1
                        if acked.total() == count * threads // 2:
                            broker.close()

        with ThreadPoolExecutor(threads) as pool:
            consumers = [pool.submit(consume, worker) for worker in range(threads // 2)]
            producers = [pool.submit(produce, worker) for worker in range(threads // 2)]
            for future in producers + consumers:
                future.result(timeout=60)
    assert set(acked.values()) == {1}
    assert len(acked) == count * threads // 2


def test_a_waiting_consumer_wakes(broker: ferrymq.Broker) -> None:
    queue = broker.queue("q")
    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(queue.consume, None)
        until_waiting(broker, 1)
        queue.produce(b"x")
        delivery = waiting.result(timeout=20)
        assert delivery is not None
        delivery.ack()


def test_a_waiting_consumer_wakes_quickly(broker: ferrymq.Broker) -> None:
    """Loose on purpose, for busy machines; the benchmark holds it to 100 us."""
    queue, back = broker.queue("q"), broker.queue("back")

    def consume() -> None:
        for delivery in queue:
            delivery.ack()
            back.produce(repr(time.perf_counter()))

    taken = []
    with ThreadPoolExecutor(1) as pool:
        future = pool.submit(consume)
        for _ in range(100):
            until_waiting(broker, 1)
            start = time.perf_counter()
            queue.produce(b"x")
            with take(back, 20) as answer:
                taken.append(float(answer.text) - start)
        broker.close()
        future.result(timeout=20)
    assert median(taken) < 0.005


def test_timeouts_end(broker: ferrymq.Broker) -> None:
    queue = broker.queue("q", capacity=1, overflow="block")
    start = time.monotonic()
    assert queue.consume(0.05) is None
    assert queue.consume_many(5, 0.05) == []
    queue.produce(b"x")
    with pytest.raises(ferrymq.QueueFull):
        queue.produce(b"y", timeout=0.05)
    with pytest.raises(ferrymq.QueueFull):
        queue.produce_many([b"y"], timeout=0.05)
    # The engine counts whole milliseconds: each of the four may end one early.
    assert 0.196 <= time.monotonic() - start < 10


def test_a_blocked_producer_goes_on(broker: ferrymq.Broker) -> None:
    queue = broker.queue("q", capacity=1, overflow="block")
    queue.produce(b"first")
    with ThreadPoolExecutor(1) as pool:
        blocked = pool.submit(queue.produce, b"second")
        until_waiting(broker, 1)
        take(queue).ack()
        assert blocked.result(timeout=20) is not None
    take(queue).ack()


def test_close_wakes_everyone() -> None:
    calls: list[Callable[[ferrymq.Queue], object]] = [
        lambda queue: queue.consume(None),
        lambda queue: queue.consume(3600),
        lambda queue: queue.consume_many(5, None),
        lambda queue: queue.produce(b"x"),
        lambda queue: queue.produce_many([b"x"]),
    ]
    with ferrymq.open() as broker, ThreadPoolExecutor(len(calls)) as pool:
        empty = broker.queue("empty")
        full = broker.queue("full", capacity=1, overflow="block")
        full.produce(b"full")
        futures: list[Future[object]] = [pool.submit(call, empty) for call in calls[:3]]
        futures += [pool.submit(call, full) for call in calls[3:]]
        until_waiting(broker, len(calls))
        broker.close()
        for future in futures:
            with pytest.raises(ferrymq.Closed):
                future.result(timeout=20)


def test_the_clock_of_a_test_wakes_threads(hand: ferrymq.testing.Broker) -> None:
    queue = hand.queue("q")
    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(queue.consume, 3600)
        until_waiting(hand, 1)
        hand.clock.advance(3600)
        assert waiting.result(timeout=20) is None


def test_a_durable_produce_waits_for_its_sync() -> None:
    with ferrymq.testing.open("manual") as broker, ThreadPoolExecutor(1) as pool:
        declared = pool.submit(broker.queue, "q")
        until_waiting(broker, 1)
        broker.disk.sync()
        queue = declared.result(timeout=20)
        produced = pool.submit(queue.produce, b"x")
        until_waiting(broker, 1)
        assert queue.consume() is None
        broker.disk.sync()
        assert produced.result(timeout=20) is not None
        failing = pool.submit(queue.produce, b"y")
        until_waiting(broker, 1)
        broker.disk.sync_fails()
        with pytest.raises(ferrymq.Indeterminate):
            failing.result(timeout=20)
        with pytest.raises(ferrymq.StoreFailed):
            queue.produce(b"z")
        broker.disk.power_cut()
        with pytest.raises(ferrymq.Closed):
            queue.consume()
        broker.disk.reopen()
        with take(broker.queue("q", create=False)) as delivery:
            assert delivery.body == b"x"


def run(code: str, *, interrupt: bool = False) -> subprocess.CompletedProcess[str]:
    """Runs a program; with `interrupt`, sends it Ctrl-C once it says that it is ready."""
    command = [sys.executable, "-X", "dev", "-W", "error", "-c", code]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        try:
            if interrupt:
                assert process.stdout.readline() == "ready\n"
                process.send_signal(signal.SIGINT)
            out, err = process.communicate(timeout=30)
        finally:
            process.kill()
    return subprocess.CompletedProcess(command, process.returncode, out, err)


WAITING = """
import threading, ferrymq
broker = ferrymq.open()
queue = broker.queue("q", capacity=1, overflow="block")

def tell():
    while broker.stats().waiting == 0:
        threading.Event().wait(0.001)
    print("ready", flush=True)

threading.Thread(target=tell).start()
"""


@pytest.mark.parametrize(
    "call", ["queue.consume(None)", "queue.consume_many(2, 3600)", "next(iter(queue))"]
)
def test_ctrl_c_ends_a_wait_and_loses_nothing(call: str) -> None:
    done = run(
        WAITING
        + f"""
try:
    {call}
except KeyboardInterrupt:
    queue.produce(b"x")
    print(broker.stats().waiting, queue.consume(auto_ack=True).body)
""",
        interrupt=True,
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "0 b'x'\n", "")


def test_ctrl_c_ends_a_blocked_produce() -> None:
    done = run(
        WAITING
        + """
queue.produce(b"x")
try:
    queue.produce(b"y")
except KeyboardInterrupt:
    print(len(queue), broker.stats().waiting)
""",
        interrupt=True,
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "1 0\n", "")


def test_the_interpreter_ends_while_daemon_threads_wait() -> None:
    done = run(
        """
import threading, time, ferrymq
broker = ferrymq.open()
queue = broker.queue("q")

def consume(timeout):
    while True:
        queue.consume(timeout)

for timeout in (None, 0.0005, 0.001, 0.002):
    threading.Thread(target=consume, args=(timeout,), daemon=True).start()
while broker.stats().waiting < 3:
    pass
print("end")
"""
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "end\n", "")


def test_open_handles_at_the_interpreters_end() -> None:
    done = run(
        """
import ferrymq
broker = ferrymq.open()
queue = broker.queue("q")
queue.produce_many([b"x"] * 10)
queue.consume(auto_ack=True)
delivery = queue.consume()
delivery.ack()
"""
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_a_forked_child_gets_fork_error_and_may_open_its_own() -> None:
    done = run(
        """
import os, ferrymq
broker = ferrymq.open()
queue, exchange = broker.queue("q"), broker.exchange("e")
queue.produce_many([b"x", b"y"])
delivery, transaction = queue.consume(), broker.transaction()
child = os.fork()
if child == 0:
    refused = 0
    calls = [queue.consume, queue.stats, delivery.ack, broker.close, broker.stats,
             lambda: queue.produce(b"z"), lambda: exchange.produce(b"z"), transaction.commit]
    for call in calls:
        try:
            call()
        except ferrymq.ForkError as error:
            refused += "parent" in str(error)
    del queue, exchange, delivery, transaction, broker, call, calls
    with ferrymq.open() as own:
        q = own.queue("q")
        q.produce(b"mine")
        with q.consume() as d:
            ok = d.body == b"mine" and q.consume(0.01) is None
    os._exit(0 if refused == 8 and ok else 1)
_, status = os.waitpid(child, 0)
delivery.ack()
print(os.waitstatus_to_exitcode(status), queue.consume(auto_ack=True).body)
"""
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "0 b'y'\n", "")
