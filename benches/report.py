"""Writes the benchmark page: tables and charts from what the benchmark programs measured.

    python benches/report.py --criterion DIR --memory FILE --python FILE --node FILE \
        --package FILE --store FILE --python-store FILE --out docs

`cargo xtask bench` runs the programs and calls this. Charts are SVG, drawn without dates, so that
equal figures give equal files.
"""

import argparse
import json
import os
import platform
from pathlib import Path

import matplotlib

matplotlib.use("svg")
matplotlib.rcParams["svg.hashsalt"] = "ferrymq"
matplotlib.rcParams["svg.fonttype"] = "none"
import matplotlib.pyplot as plt  # noqa: E402 - the backend is chosen first
from rows import Row, Target, find  # noqa: E402
from store_rows import store_rows, store_targets  # noqa: E402

OURS, PEER = "#1f6f8b", "#b8b8b8"

CORE_NAMES = {
    "ferrymq_engine": "ferrymq engine, produce + consume + ack",
    "ferrymq_engine_commands": "ferrymq engine, the same as command values",
    "ferrymq_driver": "ferrymq driver (lock, clock), produce + consume + ack",
    "crossbeam_segqueue": "crossbeam SegQueue push + pop (no ack)",
    "flume": "flume send + recv (no ack)",
    "std_mpsc": "std mpsc send + recv (no ack)",
}
CORE_CASES = {"one_at_a_time": ("one at a time", 1), "batches_of_1000": ("batches of 1,000", 1000)}

ROUTING = "routing by topic, 10 bindings take each key"
FAN_OUT = "fan-out of 1 KB, each queue"
TOGETHER = "two threads, each message"
TRANSACTIONS = "transactions, each ack with its produce"
# Criterion's group and function, the case, the name, and how many messages one pass of it is.
GROWING = [
    ("two_threads", "ferrymq_one_queue", TOGETHER, "ferrymq driver, both on one queue", 2),
    ("two_threads", "ferrymq_two_queues", TOGETHER, "ferrymq driver, on two queues", 2),
    ("two_threads", "ferrymq_two_brokers", TOGETHER, "ferrymq driver, on two brokers", 2),
    ("two_threads", "crossbeam_segqueue", TOGETHER, "crossbeam SegQueue, both on one (no ack)", 2),
    ("two_threads", "flume", TOGETHER, "flume, both on one (no ack)", 2),
    *(
        ("transactions", f"{function}_{count}", TRANSACTIONS, f"{who}, {count} at once", count)
        for count in (1, 10)
        for function, who in (
            ("ferrymq", "ferrymq driver, in a transaction"),
            ("ferrymq_apart", "ferrymq driver, without one"),
        )
    ),
    *(
        ("topic_routing", f"{function}/{count}", ROUTING, f"{who}, {count:,} bindings", 1)
        for count in (10, 100, 1_000, 10_000, 100_000)
        for function, who in (
            ("ferrymq_index", "ferrymq, by its index"),
            ("every_binding", "a look at every pattern"),
        )
    ),
    *(
        ("fan_out", f"{function}/{count}", FAN_OUT, f"{who}, {count:,} queues", count)
        for count in (10, 1_000)
        for function, who in (
            ("ferrymq_engine", "ferrymq engine, publish"),
            ("arc_to_vectors", "a counted reference pushed to a vector"),
        )
    ),
]


def core_rows(criterion: Path) -> list[Row]:
    measured = [
        (group, function, case, who, messages)
        for group, (case, messages) in CORE_CASES.items()
        for function, who in CORE_NAMES.items()
    ]
    rows = []
    for group, function, case, who, messages in measured + GROWING:
        estimates = criterion / group / function / "new" / "estimates.json"
        if estimates.exists():
            median = json.loads(estimates.read_text())["median"]["point_estimate"]
            rows.append(Row("Rust", case, who, median / messages))
    return rows


def python_rows(file: Path) -> list[Row]:
    lines = (json.loads(line) for line in file.read_text().splitlines() if line.strip())
    return [Row(line["home"], line["case"], line["who"], line["ns"]) for line in lines]


def node_rows(file: Path) -> list[Row]:
    results = json.loads(file.read_text())["results"]
    talks = ("ferrymq, subscribe", "ferrymq, request")
    return [
        Row(
            "Node",
            "handlers and requests"
            if r["name"].startswith(talks)
            else "one at a time, and batches",
            f"{r['name']}: {r['what']}",
            r["median"],
        )
        for r in results
    ]


def targets(rows: list[Row], waiting: dict[str, float], package: int) -> list[Target]:
    def at_most(what: str, value: float, bound: float, unit: str) -> Target:
        return Target(what, f"at most {bound:g} {unit}", f"{value:.3g} {unit}", value <= bound)

    def times(what: str, peer: float, own: float, bound: float) -> Target:
        ratio = peer / own
        return Target(what, f"at least {bound:g} times", f"{ratio:.1f} times", ratio >= bound)

    def a_second(what: str, ns: float) -> Target:
        wanted = "at least 1 million a second"
        return Target(what, wanted, f"{1000 / ns:.1f} million a second", ns <= 1000)

    engine = 1000 / find(rows, "Rust", "one at a time", "ferrymq engine")
    queue = find(rows, "Python", "one at a time", "queue.Queue")
    one = find(rows, "Python", "one at a time", "ferrymq produce")
    batch = find(rows, "Python", "batches", "ferrymq")
    batch_queue = find(rows, "Python", "batches", "queue.Queue")
    wake = find(rows, "Python", "wake-up", "ferrymq") / 1000
    asked = find(rows, "Python", "request", "ferrymq")
    hops = find(rows, "Python", "request", "queue.Queue")
    routing = find(rows, "Rust", ROUTING, "ferrymq, by its index, 100,000") / 1000
    node_one = find(rows, "Node", "", "ferrymq, one at a time") / 1000
    node_batch = find(rows, "Node", "", "ferrymq, batches") / 1000
    million = Target(
        "core, one thread, produce + consume + ack",
        "at least 6 million a second",
        f"{engine:.1f} million a second",
        engine >= 6,
    )
    return [
        million,
        times("Python, one at a time, beside queue.Queue", queue, one, 5),
        times("Python, batches of 1,000, beside queue.Queue", batch_queue, batch, 10),
        at_most("Python, wake-up of a blocked consumer (median)", wake, 100, "us"),
        at_most("Python, request and reply, beside two queue.Queue hops", asked / hops, 3, "times"),
        at_most("Node, one at a time", node_one, 2.5, "us"),
        at_most("Node, batches of 1,000", node_batch, 0.7, "us"),
        at_most(
            "memory beside the body, a waiting message",
            waiting["overhead_bytes_per_message"],
            100,
            "bytes",
        ),
        at_most(
            "memory beside the body, a delayed message, random due times",
            waiting["delayed_overhead_bytes_per_message"],
            120,
            "bytes",
        ),
        a_second("1 million delayed messages: taken in", waiting["delayed_insert_ns"]),
        a_second("1 million delayed messages: ready and out", waiting["delayed_expiry_ns"]),
        at_most(
            "1 million messages over 10 priorities, beside one",
            waiting["ten_priorities_ns"] / waiting["one_priority_ns"],
            10,
            "times",
        ),
        at_most("routing by topic, 100,000 bindings, 10 take the key", routing, 5, "us"),
        at_most(
            "memory of 1 KB published to 1,000 queues, each of them, the body counted in",
            waiting["fan_out_1000_bytes_a_queue"],
            128,
            "bytes",
        ),
        at_most("WebAssembly with its glue, gzipped", package / 1000, 100, "KB"),
    ]


def chart(rows: list[Row], title: str, file: Path) -> None:
    """Bars, one for each who; logarithmic: a bare channel and kombu are far apart."""
    rows = sorted(rows, key=lambda row: row.ns, reverse=True)
    figure, axes = plt.subplots(figsize=(9, 0.9 + 0.42 * len(rows)), layout="constrained")
    colours = [OURS if row.ours else PEER for row in rows]
    bars = axes.barh([row.who for row in rows], [row.ns for row in rows], color=colours)
    axes.bar_label(bars, [shown(row.ns) for row in rows], padding=4)
    axes.set_xscale("log")
    axes.set_xlim(right=max(row.ns for row in rows) * 4)
    axes.set_xlabel("time for one message (logarithmic; shorter is better)")
    axes.set_title(title, loc="left")
    axes.spines[["top", "right"]].set_visible(False)
    figure.savefig(file, metadata={"Date": None, "Creator": None})
    plt.close(figure)


def shown(ns: float) -> str:
    return f"{ns / 1000:.2f} us" if ns >= 1000 else f"{ns:.0f} ns"


def table(rows: list[Row]) -> list[str]:
    lines = ["| who | one message | messages a second |", "|---|---:|---:|"]
    for row in rows:
        who = f"**{row.who}**" if row.ours else row.who
        lines.append(f"| {who} | {shown(row.ns)} | {1e9 / row.ns:,.0f} |")
    return lines


INTRODUCTION = """# Benchmarks

Written by `cargo xtask bench`; run it to measure your machine. Everything on this page was measured
in one run, in release builds, with 100-byte messages. Where a heading does not say **store**,
everything is in memory and **nothing is synced to a disk**, neither ours nor a peer's. Peers do
less: a channel has no leases, no acks by message, no statistics. They say what is the least that a
queue can cost in that language. Figures are medians of rounds in which everybody had a turn;
compare ratios, not absolute times: the machine is shared.

Where a heading says **store**, all use one disk in turn, and each line says what it has synced when
its call returns. "Raw" overwrites a file that was written before and syncs it: what the disk can do
for one writer.
"""

NOTES = """
Two threads that produce and consume on one queue take each other's messages: who finds none waits
for one, so the figure holds some wake-ups. All queues of a broker share its one lock; the row of
two brokers shows what that costs. A transaction of one pair pays for its plan, one of many shares
it.

The wake-up is the time from `produce` in one thread to the return of the blocking `consume` in
another; the producer then waits. A request and its reply go between two threads; beside them stand
a hop through one queue.Queue and one back through another. The memory figure counts every
allocation of 1,000,000 waiting messages and takes off their bodies. Delayed messages fall due at
random within an hour while the clock moves 100 ms at a time; they and the messages of ten
priorities leave in another order than they came in, so that nearly each is read from memory that no
cache holds. A delayed message takes {delayed_insert_ns:.0f} ns to come in and
{delayed_expiry_ns:.0f} ns to become ready and leave ({delayed_together_ns:.0f} ns when the whole
million falls due at once); in a backlog of a million a message of ten priorities takes
{ten_priorities_ns:.0f} ns from produce to ack, one of a single priority {one_priority_ns:.0f} ns.
Routing is asked for keys far from each other in turn, so that none finds its bindings still in the
cache. The memory of a fan-out counts every allocation of 500 publishes: a body that were copied for
each queue would alone be 1,024 bytes in each. The size counts the WebAssembly module without a
store and its glue as they are shipped; with the whole public API a page loads {everything:.1f} KB.
The module with a store and its glue, which only who opens one loads, have {with_store:.1f} KB.
"""


def page(
    rows: list[Row],
    reached: list[Target],
    charts: dict[tuple[str, str], str],
    figures: dict[str, float],
) -> str:
    machine = f"{platform.machine()}, {platform.system()}, Python {platform.python_version()}"
    lines = [INTRODUCTION, f"Machine: {machine}, {os.cpu_count()} cores, shared.", ""]
    lines += ["## Numbers to reach", "", "| what | wanted | reached | |", "|---|---|---|---|"]
    for target in reached:
        met = "yes" if target.met else "**no**"
        lines.append(f"| {target.what} | {target.wanted} | {target.reached} | {met} |")
    for (home, case), name in charts.items():
        own = [row for row in rows if (row.home, row.case) == (home, case)]
        title = f"{home}: {case}"
        lines += ["", f"## {title}", "", f"![{title}]({name})", "", *table(own)]
    return "\n".join(lines) + "\n" + NOTES.format(**figures)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    named = ("criterion", "memory", "python", "node", "package", "store", "python-store", "out")
    for name in named:
        parser.add_argument(f"--{name}", type=Path, required=True)
    given = parser.parse_args()
    rows = core_rows(given.criterion) + python_rows(given.python) + node_rows(given.node)
    rows += store_rows(given.store) + python_rows(given.python_store)
    waiting = json.loads(given.memory.read_text())
    package = json.loads(given.package.read_text())
    reached = targets(rows, waiting, package["module_and_glue"])
    reached += store_targets(rows, given.store)
    given.out.mkdir(parents=True, exist_ok=True)
    charts = {}
    for home, case in dict.fromkeys((row.home, row.case) for row in rows):
        name = f"benchmarks-{home}-{case}".lower().replace(",", "").replace(" ", "-") + ".svg"
        own = [row for row in rows if (row.home, row.case) == (home, case)]
        chart(own, f"{home}: {case}", given.out / name)
        charts[home, case] = name
    figures = waiting | {
        "everything": package["everything"] / 1000,
        "with_store": package["store_module_and_glue"] / 1000,
    }
    (given.out / "benchmarks.md").write_text(page(rows, reached, charts, figures))
    for target in reached:
        met = "met   " if target.met else "MISSED"
        print(f"{met} {target.what}: {target.reached} ({target.wanted})")


if __name__ == "__main__":
    main()
