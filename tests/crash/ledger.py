"""What must be true of a store after its process was killed, by what the process said.

Each message has a body of its own. The ledger keeps where it may be: in a queue, or nowhere. A step
that was begun adds a place, its confirmation takes away the other; being handed over is proof of
where it is. After a crash every message is looked for, and counts as where it was found.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

# What the process says, and who hears it; `open` says nothing of messages.
HEARS = {
    "produce?": "hear_produce",
    "produce!": "produced",
    "again": "hear_again",
    "batch?": "hear_batch",
    "batch!": "hear_batched",
    "handed": "hand_over",
    "ack?": "hear_ack",
    "ack!": "hear_acked",
    "reject?": "hear_reject",
    "reject!": "hear_rejected",
    "release?": "hear_release",
    "release!": "hear_released",
    "move?": "hear_move",
    "move!": "hear_moved",
    "unmoved": "hear_unmoved",
}


class Broken(Exception):
    """A promise was broken; the text says which."""


@dataclass(slots=True)
class Item:
    """A message as far as it is known. `None` among its places: it may be gone, or never was."""

    places: set[str | None]
    number: int | None = None
    # It was handed over and counted so many times, at least and at most.
    low: int = 0
    high: int = 0
    # The step that was begun and not confirmed.
    begun: str = ""


@dataclass(frozen=True, slots=True)
class Found:
    """A message as the reopened store shows it."""

    queue: str
    body: str
    number: int
    attempt: int


@dataclass(slots=True)
class Ledger:
    """Everything that was said, over all lives of the store."""

    items: dict[str, Item] = field(default_factory=dict)
    # Bodies that must never be seen again.
    gone: set[str] = field(default_factory=set)
    owners: dict[int, str] = field(default_factory=dict)
    # Bodies that were seen, or confirmed.
    proved: set[str] = field(default_factory=set)
    batches: list[list[str]] = field(default_factory=list)
    moves: list[tuple[str, str]] = field(default_factory=list)
    confirmed: int = 0
    acked: int = 0
    handed: int = 0

    def hear(self, line: str) -> None:
        """Takes in a line of the process. Raises Broken."""
        verb, *words = line.split()
        if verb != "open":
            getattr(self, HEARS[verb])(*words)

    def hear_produce(self, queue: str, body: str) -> None:
        self.begin_produce(body, queue)

    def hear_again(self, body: str, number: str) -> None:
        self.is_number_of(int(number), body)

    def hear_batch(self, *bodies: str) -> None:
        for body in bodies:
            self.begin_produce(body, "work")
        self.batches.append(list(bodies))

    def hear_batched(self, *words: str) -> None:
        for word in words:
            body, number = word.split("=")
            self.produced(body, number)

    def hear_ack(self, body: str) -> None:
        self.begin(body, "ack", None)

    def hear_acked(self, body: str) -> None:
        self.acked += 1
        self.end(body, "ack", None)

    def hear_reject(self, body: str) -> None:
        self.begin(body, "reject", "work.dead")

    def hear_rejected(self, body: str) -> None:
        self.end(body, "reject", "work.dead")

    def hear_release(self, body: str) -> None:
        self.begin(body, "release", "work")

    def hear_released(self, body: str) -> None:
        self.end(body, "release", "work")

    def hear_move(self, source: str, target: str) -> None:
        self.begin(source, "move", None)
        self.begin_produce(target, "done")
        self.moves.append((source, target))

    def hear_moved(self, source: str, target: str) -> None:
        self.end(source, "move", None)
        self.born(target)

    def hear_unmoved(self, source: str, target: str) -> None:
        # Nothing happened, as a whole.
        self.end(source, "move", "work")
        self.moves.remove((source, target))
        self.forget(target)

    def begin_produce(self, body: str, queue: str) -> None:
        self.items[body] = Item({None, queue}, begun="produce")

    def produced(self, body: str, number: str) -> None:
        self.confirmed += 1
        if int(number):
            self.is_number_of(int(number), body)
        self.born(body)

    def born(self, body: str) -> None:
        item = self.items.get(body)
        # Otherwise somebody had it before its producer heard of it.
        if item is not None and item.begun == "produce":
            item.begun = ""
            item.places.discard(None)
            self.proved.add(body)

    def is_number_of(self, number: int, body: str) -> None:
        owner = self.owners.setdefault(number, body)
        if owner != body:
            raise Broken(f"the id {number} was given to {owner} and to {body}")

    def begin(self, body: str, step: str, place: str | None) -> None:
        item = self.items[body]
        item.begun = step
        item.places.add(place)

    def end(self, body: str, step: str, place: str | None) -> None:
        item = self.items.get(body)
        # Otherwise it was handed to the next before this was said.
        if item is None or item.begun != step:
            return
        item.begun = ""
        item.places = {place}
        if step == "release":
            item.low = item.high = max(item.high - 1, 0)
        if step == "reject":
            item.low = item.high = 0
            item.number = None
        if place is None:
            self.forget(body)

    def hand_over(self, queue: str, body: str, id_: str, attempt: str) -> None:
        self.handed += 1
        number = int(id_)
        if body in self.gone:
            raise Broken(f"{body} was handed over from {queue} after it was settled for good")
        item = self.items.get(body)
        if item is None or queue not in item.places:
            raise Broken(f"{body} was handed over from {queue}, where it cannot be")
        self.is_number_of(number, body if queue != "work.dead" else f"{body} (dead)")
        self.count(item, body, queue, int(attempt))
        item.places = {queue}
        item.begun = ""
        self.proved.add(body)

    def count(self, item: Item, body: str, queue: str, attempt: int) -> None:
        low, high = item.low + 1, item.high + 1
        if item.begun in ("release", "reject"):
            # It came back, or moved, before whoever did that said so.
            low = max(item.low, 1) if item.begun == "release" else 1
        if not low <= attempt <= high:
            raise Broken(f"{body} of {queue} has attempt {attempt}, not {low} to {high}")
        item.low = item.high = attempt

    def forget(self, body: str) -> None:
        self.items.pop(body, None)
        self.gone.add(body)

    def check(self, found: Iterable[Found], *, was_closed: bool) -> None:
        """Holds what the reopened store shows against what was said. Raises Broken.

        was_closed: the process ended in order, which takes back what it had in hand, uncounted.
        """
        if was_closed:
            for item in self.items.values():
                item.low = max(item.low - 1, 0)
        there: dict[str, Found] = {}
        last: dict[str, int] = {}
        producers: dict[tuple[str, str], int] = {}
        for message in found:
            if message.body in there:
                raise Broken(f"{message.body} is there twice")
            there[message.body] = message
            if message.number <= last.get(message.queue, 0):
                raise Broken(f"{message.body} of {message.queue} is out of its order")
            last[message.queue] = message.number
            self.check_order(message, producers)
            self.check_place(message)
        for body, item in list(self.items.items()):
            self.settle(body, item, there.get(body))
        self.check_units(there)

    def check_order(self, message: Found, producers: dict[tuple[str, str], int]) -> None:
        cycle, thread, count, *_ = message.body.split(".")
        if message.queue not in ("work", "quick"):
            return
        key = (message.queue, f"{cycle}.{thread}")
        if int(count) < producers.get(key, 0):
            raise Broken(f"{message.body} stands behind a later one of its producer")
        producers[key] = int(count)

    def check_place(self, message: Found) -> None:
        if message.body in self.gone:
            raise Broken(f"{message.body} was settled for good, and is in {message.queue} again")
        item = self.items.get(message.body)
        if item is None:
            raise Broken(f"{message.body} in {message.queue} was never produced")
        if message.queue not in item.places:
            raise Broken(f"{message.body} is in {message.queue}, not in {_named(item.places)}")
        dead = " (dead)" if message.queue == "work.dead" else ""
        self.is_number_of(message.number, message.body + dead)
        low, high = item.low, item.high + 1
        if item.begun == "release":
            low -= 1
        if item.begun == "reject":
            low = 0
        if not low <= message.attempt <= high:
            raise Broken(
                f"{message.body} of {message.queue} counts {message.attempt} attempts, "
                f"not {low} to {high}"
            )

    def settle(self, body: str, item: Item, found: Found | None) -> None:
        """From here on it is where it was found."""
        if found is None:
            if None not in item.places:
                raise Broken(f"{body} is lost: it must be in {_named(item.places)}")
            self.forget(body)
            return
        self.proved.add(body)
        item.places = {found.queue}
        item.begun = ""
        item.low = item.high = found.attempt

    def check_units(self, there: dict[str, Found]) -> None:
        """What was one step is there, or was once, as a whole or not at all."""
        for batch in self.batches:
            seen = [body in self.proved for body in batch]
            if any(seen) != all(seen):
                raise Broken(f"a part of the batch {' '.join(batch)} is there")
        for source, target in self.moves:
            was_moved = target in self.proved
            if was_moved and source in there:
                raise Broken(f"{source} is there, and {target}, which took its place, too")
            if not was_moved and source not in there:
                raise Broken(f"{source} is gone, and {target}, which took its place, is not there")
        self.batches.clear()
        self.moves.clear()


def _named(places: set[str | None]) -> str:
    return " or ".join(sorted(place or "no queue" for place in places))
