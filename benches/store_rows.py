"""What the page of benchmarks says of the store: its rows and its numbers to reach."""

from __future__ import annotations

import json
from pathlib import Path

from rows import Row, Target, find

ONE, BATCHES = "store, one message a produce", "store, batches of 1,000"
# What the Rust program calls it, the case, the name.
RUST = [
    ("raw", ONE, "raw: overwrite + fdatasync"),
    ("one producer", ONE, "ferrymq produce, durable"),
    ("64 producers", ONE, "ferrymq produce, durable, 64 threads"),
    ("1000 in flight", ONE, "ferrymq produce, durable, 1,000 in flight from one thread"),
    ("one producer, written", ONE, "ferrymq produce, written (not synced)"),
    ("consume and ack one by one", ONE, "ferrymq consume + ack, written (not synced)"),
    ("batches, durable", BATCHES, "ferrymq produce_many, each durable"),
    (
        "consume and ack in batches, durable",
        BATCHES,
        "ferrymq consume_many + transaction of acks, durable",
    ),
    ("batches, written", BATCHES, "ferrymq produce_many, written (not synced)"),
]
SYNCED_PEERS = ("SQLite", "persist-queue", "huey")


def store_rows(rust: Path) -> list[Row]:
    rates = json.loads(rust.read_text())
    return [Row("Rust", case, who, 1e9 / rates[name]) for name, case, who in RUST]


def store_targets(rows: list[Row], rust: Path) -> list[Target]:
    opening = json.loads(rust.read_text())
    return [
        *_of_syncs(rows),
        *_beside_peers(rows),
        Target(
            f"opening a store of {opening['opening, messages']:,} waiting messages",
            "under 0.5 s",
            f"{opening['opening, seconds']:.3f} s",
            opening["opening, seconds"] < 0.5,
        ),
    ]


def _of_syncs(rows: list[Row]) -> list[Target]:
    def times(what: str, slow: float, quick: float, bound: float) -> Target:
        ratio = slow / quick
        return Target(what, f"at least {bound:g} times", f"{ratio:.3g} times", ratio >= bound)

    def a_second(what: str, ns: float, bound: float) -> Target:
        rate = 1e9 / ns
        return Target(
            what, f"at least {bound:,.0f} a second", f"{rate:,.0f} a second", rate >= bound
        )

    raw = find(rows, "Rust", ONE, "raw")
    one = find(rows, "Rust", ONE, "ferrymq produce, durable")
    python = find(rows, "Python", "store, one producer", "ferrymq")
    threads = find(rows, "Python", "store, 64", "ferrymq produce")
    flight = find(rows, "Python", "store, 64", "ferrymq.aio")
    each = "beside one producer, durable"
    return [
        times("durable produce beside the raw disk, Rust", raw, one, 0.85),
        times(
            "durable produce beside the raw disk, Python",
            find(rows, "Python", "store, one producer", "raw"),
            python,
            0.85,
        ),
        times(f"64 Rust threads {each}", one, find(rows, "Rust", ONE, RUST[2][2]), 12),
        times(f"64 Python threads {each}", python, threads, 5),
        times(f"64 in flight from one asyncio loop {each}", python, flight, 30),
        times(f"1,000 in flight from Rust {each}", one, find(rows, "Rust", ONE, RUST[3][2]), 30),
        a_second("Rust, batches, each durable", find(rows, "Rust", BATCHES, RUST[6][2]), 400_000),
        a_second(
            "Rust, consume + ack in batches, durable",
            find(rows, "Rust", BATCHES, RUST[7][2]),
            400_000,
        ),
        a_second(
            "Python, batches, each durable",
            find(rows, "Python", BATCHES, "ferrymq produce_many"),
            250_000,
        ),
        a_second(
            "Python, consume + ack in batches, durable",
            find(rows, "Python", BATCHES, "ferrymq consume_many"),
            250_000,
        ),
        a_second("Rust, batches, written", find(rows, "Rust", BATCHES, RUST[8][2]), 1_000_000),
    ]


def _beside_peers(rows: list[Row]) -> list[Target]:
    """Beside the quickest of the peers that sync."""

    def quickest(case: str) -> Row:
        peers = [row for row in rows if row.home == "Python" and row.case.startswith(case)]
        return min(
            (row for row in peers if row.who.startswith(SYNCED_PEERS)), key=lambda row: row.ns
        )

    def beside(what: str, own: float, peer: Row, bound: float) -> Target:
        ratio = peer.ns / own
        reached = f"{ratio:.3g} times ({peer.who.split(':')[0].split(',')[0]})"
        return Target(what, f"at least {bound:g} times", reached, ratio >= bound)

    return [
        beside(
            "64 Python threads beside the quickest peer that syncs, with 64",
            find(rows, "Python", "store, 64", "ferrymq produce"),
            quickest("store, 64"),
            10,
        ),
        beside(
            "Python batches beside the quickest peer that syncs",
            find(rows, "Python", BATCHES, "ferrymq produce_many"),
            quickest("store, one producer"),
            50,
        ),
    ]
