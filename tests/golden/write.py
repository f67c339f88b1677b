"""Writes the golden stores of this format version: what programs of this version leave on disk.

    python tests/golden/write.py

For each store `tests/golden/NAME.store.json` has the files, sector by sector as far as they are not
zeros. `tests/golden/NAME.json` says what has to be found in it, as steps of a scenario
(tests/README.md has the format); every home opens the store and runs them. Stores of a version that
was released are never written anew: the next version gets files of its own.
"""

from __future__ import annotations

import json
import tempfile
from pathlib import Path

import ferrymq
import ferrymq.testing

GOLDEN = Path(__file__).parent
SECTOR = 512


def fill(broker: ferrymq.testing.Broker) -> None:
    """One of everything that a log can say."""
    jobs = broker.queue(
        "jobs",
        capacity=10,
        priorities=3,
        max_attempts=3,
        backoff=ferrymq.Backoff(initial=1, factor=2, max=60, jitter=0),
        dedup_window=3600,
        lease=30,
    )
    jobs.produce(
        "first",
        priority=1,
        key="k",
        headers={"n": -1, "f": 0.5, "deep": {"list": [True, None, b"\x00\xff"]}},
        content_type="text/plain",
        correlation_id="c",
        reply_to="answers",
        dedup_id="once",
    )
    jobs.produce(b"\x00\x01", priority=2)
    jobs.produce("delayed", delay=60)
    jobs.produce("expires", ttl=120)
    broker.clock.advance_to(1)
    # Acked, nacked, rejected, and one in hand at the end.
    jobs.produce("acked", priority=2)
    take(jobs).nack(5, "not now")
    take(jobs).ack()
    jobs.produce("rejected", priority=2)
    take(jobs).reject("broken")
    jobs.produce("released", priority=2)
    take(jobs).release()
    ordered = broker.queue("ordered", ordered_keys=True, durability="written", dead_letter=False)
    ordered.produce_many([ferrymq.Outgoing(f"{n}", key=f"{n % 2}") for n in range(4)])
    broker.queue("gone").produce("gone")
    broker.queue("gone").delete()
    events = broker.exchange("events", "topic", alternate="rest")
    rest = broker.exchange("rest", "fanout")
    direct = broker.exchange("direct", "direct")
    by_headers = broker.exchange("by-headers", "headers")
    events.bind(jobs, "order.*")
    events.bind(direct, "direct.#")
    events.bind(ordered, "unbound")
    events.unbind(ordered, "unbound")
    rest.bind(ordered)
    direct.bind(ordered, "direct.key")
    by_headers.bind(jobs, headers={"kind": "a"}, match="any")
    events.produce("routed", key="order.new", headers={"way": "topic"})
    with broker.transaction() as tx:
        tx.produce(ordered, "in a transaction")
        tx.ack(take(ordered))
    ordered.alter(capacity=100)
    # In hand at the end: the highest priority is the released one.
    take(jobs)


def take(queue: ferrymq.Queue) -> ferrymq.Delivery:
    delivery = queue.consume()
    assert delivery is not None
    return delivery


def pack(directory: Path) -> dict[str, object]:
    """The segments, sector by sector in hexadecimal digits, without zeros at the ends."""
    files = {}
    for path in sorted(directory.glob("*.seg")):
        data = path.read_bytes()
        sectors = {}
        for at in range(0, len(data), SECTOR):
            sector = data[at : at + SECTOR].rstrip(b"\0")
            if sector:
                sectors[str(at)] = sector.hex()
        files[path.name] = {"len": len(data), "sectors": sectors}
    return {"files": files}


def main() -> None:
    """Writes all of them."""
    for name in ("killed", "closed"):
        with tempfile.TemporaryDirectory() as above:
            directory = Path(above) / "store"
            broker = ferrymq.testing.open("store", directory)
            fill(broker)
            if name == "killed":
                broker.disk.kill()
            else:
                broker.close()
            packed = json.dumps(pack(directory), indent=1) + "\n"
            (GOLDEN / f"{name}.store.json").write_text(packed)


if __name__ == "__main__":
    main()
