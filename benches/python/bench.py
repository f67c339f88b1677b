"""FerryMQ in Python beside its peers, in one run.

Prints JSON lines: nanoseconds per message, the median of the rounds.

    python benches/python/bench.py [--quick]

Every round measures everybody once, one after the other, so that a busy machine slows all of them
alike. Peers do less (nothing is leased, settled or counted by message); kombu's memory transport is
the one that acks. Bodies have 100 bytes.
"""

import argparse
import asyncio
import json
import queue
import statistics
import threading
import time
from collections.abc import Callable

import ferrymq.aio
import kombu

BODY = b"x" * 100
BATCH = 1000
PAUSE_SECONDS = 0.001

Case = Callable[[int], None]


def measured(case: Case, messages: int) -> float:
    start = time.perf_counter_ns()
    case(messages)
    return (time.perf_counter_ns() - start) / messages


def one_at_a_time() -> dict[str, Case]:
    ferry = ferrymq.open().queue("bench")
    plain: queue.Queue[bytes] = queue.Queue()
    simple: queue.SimpleQueue[bytes] = queue.SimpleQueue()

    def run_ferrymq(messages: int) -> None:
        for _ in range(messages):
            ferry.produce(BODY)
            ferry.consume().ack()

    def run_ferrymq_body(messages: int) -> None:
        for _ in range(messages):
            ferry.produce(BODY)
            delivery = ferry.consume()
            delivery.body  # noqa: B018 - reading it is what is measured
            delivery.ack()

    def run_queue(messages: int) -> None:
        for _ in range(messages):
            plain.put(BODY)
            plain.get()
            plain.task_done()

    def run_simple(messages: int) -> None:
        for _ in range(messages):
            simple.put(BODY)
            simple.get()

    return {
        "ferrymq produce + consume + ack": run_ferrymq,
        "ferrymq, body read as well": run_ferrymq_body,
        "queue.Queue put + get + task_done": run_queue,
        "queue.SimpleQueue put + get (no ack)": run_simple,
    }


def batches() -> dict[str, Case]:
    ferry = ferrymq.open().queue("bench")
    items = [BODY] * BATCH

    def run_ferrymq(messages: int) -> None:
        for _ in range(messages // BATCH):
            ferry.produce_many(items)
            ferry.ack_many(ferry.consume_many(BATCH))

    return {
        "ferrymq produce_many + consume_many + ack_many": run_ferrymq,
        "queue.Queue put + get + task_done": one_at_a_time()["queue.Queue put + get + task_done"],
    }


def with_asyncio() -> dict[str, Case]:
    async def ferry(messages: int) -> None:
        async with ferrymq.aio.open() as broker:
            jobs = await broker.queue("bench")
            for _ in range(messages):
                await jobs.produce(BODY)
                delivery = await jobs.consume()
                await delivery.ack()

    async def plain(messages: int) -> None:
        jobs: asyncio.Queue[bytes] = asyncio.Queue()
        for _ in range(messages):
            await jobs.put(BODY)
            await jobs.get()
            jobs.task_done()

    return {
        "ferrymq.aio produce + consume + ack": lambda messages: asyncio.run(ferry(messages)),
        "asyncio.Queue put + get + task_done": lambda messages: asyncio.run(plain(messages)),
    }


def kombu_memory(messages: int) -> None:
    with kombu.Connection("memory://") as connection:
        jobs = connection.SimpleQueue("bench")
        for _ in range(messages):
            jobs.put(BODY, serializer="raw")
            jobs.get(block=False).ack()
        jobs.close()


def compared(cases: dict[str, Case], messages: int, rounds: int) -> dict[str, float]:
    """The median of the rounds of each; one round warms up and does not count."""
    taken: dict[str, list[float]] = {who: [] for who in cases}
    for _ in range(rounds + 1):
        for who, case in cases.items():
            taken[who].append(measured(case, messages))
    return {who: statistics.median(values[1:]) for who, values in taken.items()}


def wake_up(produce: Callable[[], object], consume: Callable[[], object], times: int) -> float:
    """From a produce here to the end of the blocking consume in another thread: median, ns.

    A pause before each produce lets the consumer fall asleep: without it some rounds would find a
    consumer that had not blocked yet, and the figure would be of something else.
    """
    sent = 0
    taken: list[int] = []
    answered = threading.Semaphore(0)

    def serve() -> None:
        for _ in range(times):
            consume()
            taken.append(time.perf_counter_ns() - sent)
            answered.release()

    server = threading.Thread(target=serve)
    server.start()
    for _ in range(times):
        time.sleep(PAUSE_SECONDS)
        sent = time.perf_counter_ns()
        produce()
        answered.acquire()
    server.join()
    return statistics.median(taken)


def wake_ups(times: int) -> dict[str, float]:
    ferry = ferrymq.open().queue("bench")
    plain: queue.Queue[bytes] = queue.Queue()
    return {
        "ferrymq": wake_up(
            lambda: ferry.produce(BODY),
            lambda: ferry.consume(timeout=None, auto_ack=True),
            times,
        ),
        "queue.Queue": wake_up(lambda: plain.put(BODY), plain.get, times),
    }


def two_threads() -> dict[str, Case]:
    """Two threads that produce, consume and ack, on one queue and on two."""
    broker = ferrymq.open()
    first, second = broker.queue("first"), broker.queue("second")
    plain: queue.Queue[bytes] = queue.Queue()

    def work(own: ferrymq.Queue, messages: int) -> None:
        for _ in range(messages):
            own.produce(BODY)
            own.consume(timeout=None).ack()

    def work_plain(messages: int) -> None:
        for _ in range(messages):
            plain.put(BODY)
            plain.get()
            plain.task_done()

    def both(one: Case, other: Case) -> Case:
        def run(messages: int) -> None:
            half = (messages // 2,)
            threads = [threading.Thread(target=case, args=half) for case in (one, other)]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()

        return run

    def on_first(messages: int) -> None:
        work(first, messages)

    def on_second(messages: int) -> None:
        work(second, messages)

    return {
        "ferrymq, both on one queue": both(on_first, on_first),
        "ferrymq, on two queues": both(on_first, on_second),
        "queue.Queue, both on one": both(work_plain, work_plain),
    }


def round_trip(ask: Callable[[], object], serve: Callable[[], object]) -> Case:
    """A request and its reply between this thread and one that answers."""

    def run(messages: int) -> None:
        def answer() -> None:
            for _ in range(messages):
                serve()

        server = threading.Thread(target=answer)
        server.start()
        for _ in range(messages):
            ask()
        server.join()

    return run


def requests() -> dict[str, Case]:
    ferry = ferrymq.open().queue("bench")
    there: queue.Queue[bytes] = queue.Queue()
    back: queue.Queue[bytes] = queue.Queue()

    def serve() -> None:
        request = ferry.consume(timeout=None)
        request.reply(BODY)
        request.ack()

    def hop_and_back() -> bytes:
        there.put(BODY)
        return back.get()

    return {
        "ferrymq request + reply + ack": round_trip(lambda: ferry.request(BODY), serve),
        "queue.Queue, one hop there and one back": round_trip(
            hop_and_back, lambda: back.put(there.get())
        ),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="few messages: does it still run?")
    quick = parser.parse_args().quick
    rounds, messages = (3, 2000) if quick else (25, 20_000)
    groups = {
        "one at a time": compared(one_at_a_time(), messages, rounds),
        "batches of 1,000": compared(batches(), messages, rounds),
        "asyncio, one at a time": compared(with_asyncio(), messages, rounds),
    }
    kombu_taken = compared({"kombu memory transport": kombu_memory}, messages // 20, 3)
    groups["one at a time"] |= kombu_taken
    groups["wake-up of a blocked consumer"] = wake_ups(100 if quick else 2000)
    groups["two threads"] = compared(two_threads(), messages, 3 if quick else 9)
    groups["request and reply"] = compared(requests(), messages // 4, 3 if quick else 9)
    for case, taken in groups.items():
        for who, nanoseconds in taken.items():
            row = {"home": "Python", "case": case, "who": who, "ns": round(nanoseconds, 1)}
            print(json.dumps(row))


if __name__ == "__main__":
    main()
