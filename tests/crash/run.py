"""Kills a process that works on a store, at random moments, and looks whether its promises hold.

    python tests/crash/run.py --cycles 1000 --seed 7

Each cycle starts tests/crash/worker.py, kills it with SIGKILL after a moment that follows from the
seed (some while they open the store; one in ten ends in order instead), opens the store again and
holds what is there against what the process had said (tests/crash/ledger.py). Ends with 1 when a
promise was broken; the store is kept then. `--lie` breaks one on purpose, to hear it ring.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path

import ferrymq
from ledger import Broken, Found, Ledger

WORKER = Path(__file__).with_name("worker.py")
QUEUES = ("work", "quick", "done", "work.dead")
LIES = ("none", "confirm-early", "lose-ack", "lose-tail")
# Longest life of a worker after its store is open, and the share of those that die while it opens.
LIFE_S = 0.12
EARLY = 0.15
ORDERLY = 0.1
# Starting Python and opening the store takes less, or something hangs.
OPENS_WITHIN_S = 60.0


class Cycle:
    """One process, from its start to its end."""

    def __init__(self, directory: Path, number: int, seed: int, lie: str) -> None:
        self.lines: list[str] = []
        self.is_open = threading.Event()
        self.process = subprocess.Popen(
            [sys.executable, str(WORKER), str(directory), str(number), str(seed), lie],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        self.reader = threading.Thread(target=self.read)
        self.reader.start()

    def read(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            # The last line may be cut off: nobody was told what it says.
            if line.endswith("\n"):
                self.lines.append(line)
                if line == "open\n":
                    self.is_open.set()
        self.is_open.set()

    def live(self, rng: random.Random) -> str:
        """Lets it live as long as the seed says; gives how it ended."""
        assert self.process.stdin is not None
        early = rng.random() < EARLY
        span = rng.uniform(0, LIFE_S)
        orderly = not early and rng.random() < ORDERLY
        if not early and not self.is_open.wait(OPENS_WITHIN_S):
            self.process.kill()
            raise Broken(f"the store was not open after {OPENS_WITHIN_S} s")
        # Not a wait for anything: this is the moment at which it is killed.
        time.sleep(span)
        if orderly:
            self.process.stdin.close()
        else:
            self.process.send_signal(signal.SIGKILL)
        status = self.process.wait(OPENS_WITHIN_S)
        self.reader.join()
        self.process.stdin.close()
        if status not in (0, -signal.SIGKILL):
            raise Broken(f"the process ended by itself with {status}")
        if orderly:
            return "closed"
        return "killed" if self.is_there() else "killed while opening"

    def is_there(self) -> bool:
        return "open\n" in self.lines


def look(directory: Path) -> list[Found]:
    """Opens the store and gives all that is in it, in the order of each queue."""
    found = []
    with ferrymq.open(directory) as broker:
        for name in QUEUES:
            try:
                queue = broker.queue(name, create=False)
            except ferrymq.NotFound:
                continue
            stats = queue.stats()
            messages = queue.peek(max(stats.size, 1))
            if len(messages) != stats.size or stats.leased or stats.delayed or stats.held:
                raise Broken(f"{name} shows {len(messages)} messages and counts {stats}")
            found += [Found(name, each.text, each.id, each.attempt) for each in messages]
    return found


def lose_tail(directory: Path) -> None:
    """A disk that lost what was written last, and says nothing: a lie to be noticed."""
    for path in directory.glob("*.seg"):
        data = bytearray(path.read_bytes())
        # The last sector holds a copy of the header.
        end = len(data) - 512
        while end > 512 and not any(data[end - 4096 : end]):
            end -= 4096
        start = max(512, end - 3 * 4096)
        data[start : len(data) - 512] = bytes(len(data) - 512 - start)
        path.write_bytes(data)


def run(options: argparse.Namespace, directory: Path, show: Callable[[str], None]) -> Ledger:
    """All cycles. Raises Broken."""
    ledger = Ledger()
    ends: dict[str, int] = {}
    rng = random.Random(options.seed)
    began = time.monotonic()
    for number in range(options.cycles):
        cycle = Cycle(directory, number, options.seed, options.lie)
        end = cycle.live(rng)
        ends[end] = ends.get(end, 0) + 1
        # What to look at when a promise was broken.
        directory.with_name("said").write_text("".join(cycle.lines))
        for line in cycle.lines:
            ledger.hear(line)
        if options.lie == "lose-tail":
            lose_tail(directory)
        if directory.exists():
            ledger.check(look(directory), was_closed=end == "closed")
        show(f"{number + 1}/{options.cycles} cycles, {ledger.confirmed} confirmed")
    took = time.monotonic() - began
    rows = [
        ("cycles", f"{options.cycles:,}"),
        *((f"  {end}", f"{count:,}") for end, count in sorted(ends.items())),
        ("produces confirmed", f"{ledger.confirmed:,}"),
        ("acks confirmed", f"{ledger.acked:,}"),
        ("messages handed over", f"{ledger.handed:,}"),
        ("seed", str(options.seed)),
        ("seconds", f"{took:.1f}"),
    ]
    show("")
    width = max(len(name) for name, _ in rows)
    for name, value in rows:
        print(f"{name:<{width}}  {value:>10}")
    return ledger


def progress(text: str) -> None:
    """Redraws one line on standard error where somebody watches."""
    if sys.stderr.isatty():
        sys.stderr.write(f"\r{text}\x1b[K")
        sys.stderr.flush()


def main() -> int:
    """The command; gives the exit status."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--cycles", type=int, default=50, help="how many (%(default)s)")
    parser.add_argument("--seed", type=int, default=1, help="of moments and steps (%(default)s)")
    parser.add_argument("--lie", choices=LIES, default="none", help="break a promise on purpose")
    options = parser.parse_args()
    above = Path(tempfile.mkdtemp(prefix="ferrymq-crash-"))
    try:
        run(options, above / "store", progress)
    except Broken as error:
        kept = f"the store, and what was said, are kept in {above}"
        print(f"\nbroken: {error}\n{kept}", file=sys.stderr)
        if options.lie != "none":
            shutil.rmtree(above)
        return 1
    shutil.rmtree(above)
    return 0


if __name__ == "__main__":
    with contextlib.suppress(BrokenPipeError):
        sys.exit(main())
    os._exit(1)
