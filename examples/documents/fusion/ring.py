"""The ring buffer and its three formulas, checked against the engine's own statistics.

Document: "The Fusion of Microservice Architecture and Message Queues", section 3.3.

Enqueue is tail = (tail + 1) % capacity, dequeue is head = (head + 1) % capacity, a query is
value = data[head]. A queue of FerryMQ keeps head, tail, size and capacity; this program keeps a
ring of its own beside it and compares after every step.
"""

import ferrymq

CAPACITY = 5


class Ring:
    """The document's model: an array, and two places in it."""

    def __init__(self, capacity: int) -> None:
        self.data: list[bytes | None] = [None] * capacity
        self.capacity = capacity
        self.head = self.tail = self.size = 0

    def enqueue(self, value: bytes) -> None:
        self.data[self.tail] = value
        self.tail = (self.tail + 1) % self.capacity
        self.size += 1

    def dequeue(self) -> bytes | None:
        value = self.query()
        self.head = (self.head + 1) % self.capacity
        self.size -= 1
        return value

    def query(self) -> bytes | None:
        return self.data[self.head]


def compare(ring: Ring, queue: ferrymq.Queue) -> None:
    stats = queue.stats()
    assert (stats.head, stats.tail, stats.size, stats.capacity) == (
        ring.head,
        ring.tail,
        ring.size,
        ring.capacity,
    )
    assert (ring.head + ring.size) % ring.capacity == ring.tail
    if ring.size:
        assert queue.peek()[0].body == ring.query()


def main() -> None:
    ring, checked = Ring(CAPACITY), 0
    with ferrymq.open() as broker:
        queue = broker.queue("ring", capacity=CAPACITY)
        # Three in, two out: it runs full, runs around its end, and is emptied.
        plan = ["in", "in", "in", "out", "out"] * 5 + ["out"] * CAPACITY
        for number, step in enumerate(plan):
            if step == "in" and ring.size < CAPACITY:
                value = b"%d" % number
                ring.enqueue(value)
                queue.produce(value)
            elif step == "in":
                # The printed formulas do not say what a full ring does: tail would run over head.
                try:
                    queue.produce(b"too many")
                except ferrymq.QueueFull:
                    pass
                else:
                    raise AssertionError("a full ring took another value")
            elif ring.size:
                expected = ring.dequeue()
                with queue.consume() as delivery:
                    assert delivery.body == expected
            compare(ring, queue)
            checked += 1
        stats = queue.stats()
        print(f"{checked} steps, {stats.produced} in, {stats.acked} out: the formulas hold")
        print(f"head {stats.head}, tail {stats.tail}, size {stats.size}, capacity {stats.capacity}")


if __name__ == "__main__":
    main()
