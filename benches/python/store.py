"""FerryMQ's store from Python beside its disk and its peers, in one run.

Prints JSON lines: nanoseconds per message, the median of the rounds.

    python benches/python/store.py [--quick] [--directory DIR]

Every round measures everybody once, one after the other, on one file system. `raw` overwrites a
file that was written before and syncs it: what the disk can do for one writer. What each of them
has synced when its call returns stands in its name. Bodies have 100 bytes.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import os
import shutil
import sqlite3
import statistics
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import ferrymq.aio
import honker
import huey.storage
import litequeue
import persistqueue

BODY = b"x" * 100
BATCH = 1000
# About what a message of 100 bytes takes in the log.
FRAME = b"x" * 200
RAW_BYTES = 4 * 1024 * 1024
THREADS = 64

# Does one step, and says how many messages that was.
Step = Callable[[], int]
# Opened in a directory: gives the step.
Case = Callable[[Path], contextlib.AbstractContextManager[Step]]


def one(call: Callable[[], Any]) -> Step:
    def step() -> int:
        call()
        return 1

    return step


@contextlib.contextmanager
def raw(directory: Path) -> Iterator[Step]:
    file = os.open(directory / "raw", os.O_RDWR | os.O_CREAT)
    os.pwrite(file, b"1" * RAW_BYTES, 0)
    os.fsync(file)
    at = 0

    def step() -> int:
        nonlocal at
        os.pwrite(file, FRAME, at)
        os.fdatasync(file)
        at = (at + len(FRAME)) % (RAW_BYTES - len(FRAME))
        return 1

    yield step
    os.close(file)


@contextlib.contextmanager
def ferry(directory: Path) -> Iterator[Step]:
    with ferrymq.open(directory) as broker:
        jobs = broker.queue("bench")
        yield one(lambda: jobs.produce(BODY))


@contextlib.contextmanager
def ferry_batches(directory: Path) -> Iterator[Step]:
    items = [BODY] * BATCH
    with ferrymq.open(directory) as broker:
        jobs = broker.queue("bench")
        yield lambda: len(jobs.produce_many(items))


@contextlib.contextmanager
def ferry_settling(directory: Path) -> Iterator[Step]:
    """Consume and ack, each batch of acks durable; what it takes is produced before."""
    items = [BODY] * BATCH
    with ferrymq.open(directory) as broker:
        jobs = broker.queue("bench")
        for _ in range(200):
            jobs.produce_many(items)

        def step() -> int:
            deliveries = jobs.consume_many(BATCH)
            with broker.transaction() as transaction:
                for delivery in deliveries:
                    transaction.ack(delivery)
            return len(deliveries)

        yield step


@contextlib.contextmanager
def sqlite_full(directory: Path) -> Iterator[Step]:
    with open_sqlite(directory) as database:
        yield one(lambda: put_sqlite(database))


@contextlib.contextmanager
def sqlite_batches(directory: Path) -> Iterator[Step]:
    rows = [(BODY,)] * BATCH
    with open_sqlite(directory) as database:

        def step() -> int:
            with database:
                database.executemany("insert into jobs(body) values (?)", rows)
            return BATCH

        yield step


@contextlib.contextmanager
def open_sqlite(directory: Path) -> Iterator[sqlite3.Connection]:
    database = sqlite3.connect(directory / "jobs.db", check_same_thread=False, timeout=60)
    database.execute("pragma journal_mode=wal")
    database.execute("pragma synchronous=full")
    database.execute("create table if not exists jobs(id integer primary key, body blob)")
    yield database
    database.close()


def put_sqlite(database: sqlite3.Connection) -> None:
    with database:
        database.execute("insert into jobs(body) values (?)", (BODY,))


@contextlib.contextmanager
def sqlite_threads(directory: Path) -> Iterator[Step]:
    """A connection for each thread, as SQLite wants it."""
    local = threading.local()

    def call() -> None:
        if not hasattr(local, "database"):
            local.manager = open_sqlite(directory)
            local.database = local.manager.__enter__()
        put_sqlite(local.database)

    yield one(call)


@contextlib.contextmanager
def persist_queue(directory: Path) -> Iterator[Step]:
    jobs = persistqueue.SQLiteQueue(str(directory), auto_commit=True, multithreading=True)
    yield one(lambda: jobs.put(BODY))
    jobs.close()


@contextlib.contextmanager
def huey_fsync(directory: Path) -> Iterator[Step]:
    jobs = huey.storage.SqliteStorage(filename=str(directory / "huey.db"), fsync=True, timeout=60)
    yield one(lambda: jobs.enqueue(BODY))
    jobs.close()


@contextlib.contextmanager
def lite_queue(directory: Path) -> Iterator[Step]:
    jobs = litequeue.LiteQueue(str(directory / "lite.db"))
    text = BODY.decode()
    yield one(lambda: jobs.put(text))
    jobs.close()


@contextlib.contextmanager
def honker_queue(directory: Path) -> Iterator[Step]:
    jobs = honker.open(str(directory / "honker.db")).queue("bench")
    text = BODY.decode()
    yield one(lambda: jobs.enqueue(text))


def alone(case: Case, directory: Path, seconds: float) -> float:
    """Nanoseconds for one message, in one thread."""
    with case(directory) as step:
        count = 0
        begun = time.perf_counter_ns()
        end = begun + int(seconds * 1e9)
        while time.perf_counter_ns() < end:
            count += step()
        return (time.perf_counter_ns() - begun) / count


def together(case: Case, directory: Path, seconds: float) -> float:
    """The same, in 64 threads."""
    counts: list[int] = []
    with case(directory) as step:
        begun = time.perf_counter_ns()
        end = begun + int(seconds * 1e9)

        def work() -> None:
            count = 0
            while time.perf_counter_ns() < end:
                count += step()
            counts.append(count)

        threads = [threading.Thread(target=work) for _ in range(THREADS)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        return (time.perf_counter_ns() - begun) / sum(counts)


def in_flight(directory: Path, seconds: float) -> float:
    """The same, 64 produces in flight from one event loop."""

    async def run() -> float:
        async with ferrymq.aio.open(directory) as broker:
            jobs = await broker.queue("bench")
            count = 0
            begun = time.perf_counter_ns()
            end = begun + int(seconds * 1e9)

            async def work() -> None:
                nonlocal count
                while time.perf_counter_ns() < end:
                    await jobs.produce(BODY)
                    count += 1

            await asyncio.gather(*(work() for _ in range(THREADS)))
            return (time.perf_counter_ns() - begun) / count

    return asyncio.run(run())


Runner = Callable[[Path, float], float]


def by(runner: Callable[[Case, Path, float], float], case: Case) -> Runner:
    return lambda directory, seconds: runner(case, directory, seconds)


GROUPS: dict[str, dict[str, Runner]] = {
    "store, one producer": {
        "raw: overwrite + fdatasync": by(alone, raw),
        "ferrymq produce, durable": by(alone, ferry),
        "SQLite WAL, synchronous=FULL: insert + commit": by(alone, sqlite_full),
        "persist-queue SQLiteQueue put (synced)": by(alone, persist_queue),
        "huey SqliteStorage enqueue, fsync=True": by(alone, huey_fsync),
        "litequeue put (not synced)": by(alone, lite_queue),
        "honker enqueue (not synced)": by(alone, honker_queue),
    },
    "store, 64 producers": {
        "ferrymq produce, durable, 64 threads": by(together, ferry),
        "ferrymq.aio produce, durable, 64 in flight": in_flight,
        "SQLite WAL, synchronous=FULL, 64 threads": by(together, sqlite_threads),
        "persist-queue SQLiteQueue put (synced), 64 threads": by(together, persist_queue),
        "huey SqliteStorage enqueue, fsync=True, 64 threads": by(together, huey_fsync),
    },
    "store, batches of 1,000": {
        "ferrymq produce_many, each durable": by(alone, ferry_batches),
        "ferrymq consume_many + transaction of acks, durable": by(alone, ferry_settling),
        "SQLite WAL, synchronous=FULL: executemany + commit": by(alone, sqlite_batches),
    },
}


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="little time: does it still run?")
    parser.add_argument("--directory", type=Path, help="the file system to measure")
    given = parser.parse_args()
    rounds, seconds = (1, 0.05) if given.quick else (5, 0.5)
    taken: dict[tuple[str, str], list[float]] = {}
    for _ in range(rounds):
        for case, runners in GROUPS.items():
            for who, runner in runners.items():
                directory = Path(tempfile.mkdtemp(prefix="ferrymq-bench-", dir=given.directory))
                try:
                    taken.setdefault((case, who), []).append(runner(directory, seconds))
                finally:
                    shutil.rmtree(directory)
    for (case, who), values in taken.items():
        row = {
            "home": "Python",
            "case": case,
            "who": who,
            "ns": round(statistics.median(values), 1),
        }
        print(json.dumps(row))


if __name__ == "__main__":
    main()
