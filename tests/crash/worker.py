"""The process that is killed: threads that produce and consume on one store, and tell of each step.

    python tests/crash/worker.py DIR CYCLE SEED LIE

What it is about to do and what it was told goes to standard output, a line each, written at once:
that is a pipe whose other end outlives it. `?` stands before a step, `!` behind one that was
confirmed. It ends when standard input does, or when it is killed.
"""

from __future__ import annotations

import os
import random
import sys
import threading
from collections.abc import Callable
from typing import Unpack

import ferrymq

# Who fills a queue waits: looking through all of it must not take long.
CAPACITY = 200
BATCH = 5
# A call that finds nothing asks again; closing the broker ends it at once.
WAIT_S = 0.2


def say(*words: object) -> None:
    """A line to whoever watches: one call, so that it is whole or absent."""
    os.write(1, (" ".join(str(word) for word in words) + "\n").encode())


class Worker:
    """One life of the store."""

    def __init__(self, broker: ferrymq.Broker, cycle: int, seed: int, lie: str) -> None:
        self.broker = broker
        self.cycle = cycle
        self.seed = seed
        self.lie = lie
        self.work = self.queue("work", dedup_window=3600)
        self.quick = self.queue("quick", durability="written")
        self.done = self.queue("done")
        self.dead = self.queue("work.dead", dead_letter=False)

    def queue(self, name: str, **more: Unpack[ferrymq.QueueOptions]) -> ferrymq.Queue:
        options: ferrymq.QueueOptions = {
            "capacity": CAPACITY,
            "overflow": "block",
            "max_attempts": None,
            "backoff": 0,
            **more,
        }
        return self.broker.queue(name, **options)

    def run(self) -> None:
        """All threads, until standard input ends."""
        steps: list[Callable[[random.Random, str, int], None]] = [
            self.produce,
            self.produce,
            self.produce_batch,
            self.produce_quick,
            self.consume,
            self.consume,
            self.consume_quick,
            self.clear,
        ]
        threads = [
            threading.Thread(target=self.repeat, args=(step, number), daemon=True)
            for number, step in enumerate(steps)
        ]
        for thread in threads:
            thread.start()
        say("open")
        sys.stdin.read()
        self.broker.close()
        for thread in threads:
            thread.join()

    def repeat(self, step: Callable[[random.Random, str, int], None], number: int) -> None:
        rng = random.Random(f"{self.seed}.{self.cycle}.{number}")
        count = 0
        try:
            while True:
                step(rng, f"{self.cycle}.{number}.{count}", count)
                count += 1
        except ferrymq.Closed:
            return

    def produce(self, rng: random.Random, body: str, count: int) -> None:
        say("produce?", "work", body)
        if self.lie == "confirm-early" and count % 5 == 0:
            say("produce!", body, 0)
        number = self.work.produce(body, dedup_id=body)
        say("produce!", body, number)
        if rng.random() < 0.1:
            # Whoever did not hear the answer asks again.
            again = self.work.produce(body, dedup_id=body)
            say("again", body, again)

    def produce_batch(self, rng: random.Random, body: str, count: int) -> None:
        bodies = [f"{body}.{nth}" for nth in range(rng.randint(2, BATCH))]
        say("batch?", *bodies)
        numbers = self.work.produce_many(bodies)
        say("batch!", *(f"{own}={number}" for own, number in zip(bodies, numbers, strict=True)))

    def produce_quick(self, rng: random.Random, body: str, count: int) -> None:
        say("produce?", "quick", body)
        number = self.quick.produce(body)
        say("produce!", body, number)

    def take(self, queue: ferrymq.Queue) -> ferrymq.Delivery | None:
        delivery = queue.consume(WAIT_S)
        if delivery is not None:
            say("handed", queue.name, delivery.text, delivery.id, delivery.attempt)
        return delivery

    def consume(self, rng: random.Random, body: str, count: int) -> None:
        delivery = self.take(self.work)
        if delivery is None:
            return
        what = rng.choices(
            ["ack-durable", "ack", "nack", "reject", "release", "move"], [40, 20, 12, 8, 10, 10]
        )[0]
        text = delivery.text
        if what == "ack-durable":
            self.ack(delivery, durable=True)
        elif what == "ack":
            self.ack(delivery, durable=False)
        elif what == "nack":
            delivery.nack(0)
        elif what == "reject":
            say("reject?", text)
            delivery.reject("as the test wants")
            say("reject!", text)
        elif what == "release":
            say("release?", text)
            delivery.release()
            say("release!", text)
        else:
            say("move?", text, body)
            try:
                with self.broker.transaction() as tx:
                    tx.produce(self.done, body)
                    tx.ack(delivery)
            except ferrymq.QueueFull:
                say("unmoved", text, body)
                delivery.nack(0)
                return
            say("move!", text, body)

    def ack(self, delivery: ferrymq.Delivery, *, durable: bool) -> None:
        text = delivery.text
        say("ack?", text)
        if self.lie == "lose-ack" and durable:
            delivery.release()
        else:
            delivery.ack(durable=durable)
        say("ack!", text)

    def consume_quick(self, rng: random.Random, body: str, count: int) -> None:
        delivery = self.take(self.quick)
        if delivery is not None:
            self.ack(delivery, durable=rng.random() < 0.5)

    def clear(self, rng: random.Random, body: str, count: int) -> None:
        for queue in (self.done, self.dead):
            deliveries = queue.consume_many(CAPACITY, WAIT_S / 4)
            for each in deliveries:
                say("handed", queue.name, each.text, each.id, each.attempt)
            for each in deliveries:
                self.ack(each, durable=each is deliveries[-1])


def main() -> None:
    """Open, work, be killed."""
    directory, cycle, seed, lie = sys.argv[1:]
    with ferrymq.open(directory) as broker:
        Worker(broker, int(cycle), int(seed), lie).run()


if __name__ == "__main__":
    main()
