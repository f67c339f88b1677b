"""The job behind `ferrymq demo`: every file under a directory, through a queue, by worker threads.

Each file's path goes on the queue `files`. Workers take it, measure the file (size, lines, SHA-256,
encoding), and commit result and ack in one transaction, so that no file counts twice. A file that
cannot be decoded is rejected with the reason; one that cannot be read is nacked, tried again, and
dead-lettered in the end; a flaky step fails 1 % of the time, seeded, to show how retry works.

With a store (`--data`) the job outlives its process: killed in the middle and started again, it
goes on where it was. The walk begins anew, but each path has a dedup id, so that no file is put on
the queue twice; results and dead letters stay in their queues until all are there; and that the job
is over is one message less, so that there is no moment at which only a part of it is true.
"""

from __future__ import annotations

import codecs
import contextlib
import errno
import hashlib
import os
import random
import re
import stat
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import ferrymq

CHUNK_BYTES = 1 << 20
BATCH_FILES = 200
MAX_ATTEMPTS = 5
# A file that is in work when the process is killed has used an attempt, too.
MAX_ATTEMPTS_STORED = 10
# Longer than any job: what was put on the queue once is remembered.
RESULTS_LEASE_S = 12 * 3600
REMEMBERED_S = 10 * 366 * 86_400
FLAKY_RATE = 0.01
# Between two looks at the counters while nothing arrives; also how often the bar moves.
REFRESH_S = 0.1

# What PEP 263 says of a source file's first two lines.
COOKIE = re.compile(rb"[ \t\f]*#.*?coding[:=][ \t]*([-\w.]+)")
COMMENT = re.compile(rb"[ \t\f\r]*(#|$)")
BOMS = (
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF32_LE, "utf-32"),  # before UTF-16, whose mark is the beginning of this one
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)


class FlakyError(RuntimeError):
    """The step that fails now and then."""


class UndecodableError(ValueError):
    """The file's bytes are not text in the encoding that they claim."""


@dataclass(frozen=True, slots=True)
class Measured:
    """What a worker found out about one file."""

    path: str
    bytes: int
    lines: int
    sha256: str
    encoding: str


@dataclass(slots=True, kw_only=True)
class Totals:
    """The whole job: `files` were found, `measured` of them measured, the rest dead-lettered.

    lines counts line feeds, and one more for an unfinished last line. digest is the SHA-256 of the
    lines "<sha256>  <path>", sorted by path. dead_lettered counts by x-dead-reason, details by the
    reason that was given. messages are those put on both queues.
    """

    directory: str
    files: int = 0
    measured: int = 0
    bytes: int = 0
    lines: int = 0
    encodings: dict[str, int] = field(default_factory=dict)
    digest: str = ""
    retried: int = 0
    dead_lettered: dict[str, int] = field(default_factory=dict)
    details: dict[str, int] = field(default_factory=dict)
    unread_directories: int = 0
    workers: int
    seed: int
    seconds: float = 0.0
    messages: int = 0
    messages_per_second: float = 0.0

    def as_dict(self) -> dict[str, Any]:
        """The totals as plain values, for JSON."""
        return asdict(self)


Progress = Callable[[int, int, bool], None]
"""Called with the files done, the files found so far, and whether all are found."""


def encoding_of(head: bytes) -> str:
    """A file's encoding by its first bytes: its byte order mark, else its PEP 263 cookie in the
    first two lines, else UTF-8.

    >>> encoding_of(b"# -*- coding: latin-1 -*-")
    'iso8859-1'
    >>> encoding_of(b"plain")
    'utf-8'
    """
    for mark, name in BOMS:
        if head.startswith(mark):
            return name
    first, *more = head.split(b"\n", 2)[:2]
    cookie = COOKIE.match(first)
    if cookie is None and more and COMMENT.match(first):
        cookie = COOKIE.match(more[0])
    if cookie is None:
        return "utf-8"
    name = cookie[1].decode("ascii", "replace")
    with contextlib.suppress(UnicodeError):
        try:
            # Finds out both: whether there is such a codec, and whether it is one for text.
            b" ".decode(name)
        except LookupError:
            raise UndecodableError(f"it declares an unknown encoding, {name!r}") from None
    return codecs.lookup(name).name


def measure(path: str) -> Measured:
    """Read one file, piece by piece. Raises OSError and UndecodableError."""
    if not stat.S_ISREG(os.stat(path).st_mode):
        # A pipe would block, a device might never end.
        raise OSError(errno.EINVAL, "not a regular file", path)
    digest = hashlib.sha256()
    size = lines = 0
    last = ""
    with open(path, "rb") as file:
        chunk = file.read(CHUNK_BYTES)
        encoding = encoding_of(chunk)
        try:
            decoder = codecs.getincrementaldecoder(encoding)()
            while True:
                digest.update(chunk)
                text = decoder.decode(chunk, not chunk)
                size += len(chunk)
                lines += text.count("\n")
                last = text[-1:] or last
                if not chunk:
                    break
                chunk = file.read(CHUNK_BYTES)
        except UnicodeError as error:
            raise UndecodableError(_why(encoding, error, size)) from None
    lines += last not in ("", "\n")
    return Measured(path, size, lines, digest.hexdigest(), encoding)


def _why(encoding: str, error: Exception, before: int) -> str:
    if isinstance(error, UnicodeDecodeError):
        byte = error.object[error.start]
        return f"not {encoding}: byte 0x{byte:02x} at offset about {before + error.start}"
    return f"not {encoding}: {error}"


def paths_under(directory: str, unread: list[OSError]) -> Iterator[str]:
    """Every entry below a directory that is no directory, links not followed, in a fixed order."""
    for folder, folders, names in os.walk(directory, onerror=unread.append):
        folders.sort()
        for name in sorted(names):
            yield os.path.join(folder, name)


class Job:
    """One run over one directory."""

    def __init__(
        self,
        broker: ferrymq.Broker,
        directory: Path,
        workers: int,
        seed: int,
        *,
        stored: bool = False,
    ) -> None:
        # A job that goes on may be started from another directory.
        self.directory = os.path.abspath(directory) if stored else os.fspath(directory)
        self.totals = Totals(directory=self.directory, workers=workers, seed=seed)
        self.broker = broker
        self.stored = stored
        self.begin()
        self.unread: list[OSError] = []
        # Results that were taken and are acked when the job is over.
        self.kept: list[ferrymq.Delivery] = []
        self.all_found = False
        self.failure: BaseException | None = None

    def begin(self) -> None:
        """Go on with the job that the store holds, or begin one. Raises InvalidArgument."""
        self.job = self.broker.queue("job", max_attempts=None)
        held = self.job.peek()
        if not held:
            # What is left is of a job that is over, or that was not begun.
            for name in ("files", "files.dead", "results"):
                with contextlib.suppress(ferrymq.NotFound):
                    self.broker.queue(name, create=False).delete()
        elif held[0].body != os.fsencode(self.directory):
            raise ferrymq.InvalidArgument(
                f"the store holds a job over {os.fsdecode(held[0].body)!r} that is not over; "
                "finish that one, or give another --data"
            )
        attempts = MAX_ATTEMPTS_STORED if self.stored else MAX_ATTEMPTS
        self.files = self.broker.queue(
            "files",
            capacity=10_000,
            overflow="block",
            lease=600,
            max_attempts=attempts,
            backoff=ferrymq.Backoff(initial=0.02, factor=2, max=0.5),
            dead_letter="files.dead",
            dedup_window=REMEMBERED_S if self.stored else None,
        )
        # They are kept until all are there: acked one by one they would be lost with the process.
        self.results = self.broker.queue("results", max_attempts=None, lease=RESULTS_LEASE_S)
        # Declared here, so that it has no bound: dead letters are counted at the end.
        self.dead = self.broker.queue("files.dead", max_attempts=None, dead_letter=False)
        if not held:
            self.job.produce(os.fsencode(self.directory))

    def run(self, progress: Progress) -> Totals:
        """Run to the end. The broker is closed afterwards: that is how the workers learn of it."""
        started = time.perf_counter()
        threads = [threading.Thread(target=self.feed, name="feed")]
        threads += [
            threading.Thread(target=self.work, name=f"worker-{number}")
            for number in range(self.totals.workers)
        ]
        for thread in threads:
            thread.start()
        try:
            measured = self.collect(progress)
            self.sum_up(measured, time.perf_counter() - started)
            self.finish()
        finally:
            self.broker.close()
            for thread in threads:
                thread.join()
        return self.totals

    def feed(self) -> None:
        """Put every path on the queue; where it is full, wait for the workers."""
        try:
            batch: list[bytes] = []
            for path in paths_under(self.directory, self.unread):
                batch.append(os.fsencode(path))
                if len(batch) == BATCH_FILES:
                    self.send(batch)
                    batch = []
            self.send(batch)
            self.all_found = True
        except ferrymq.Closed:
            return
        except BaseException as error:
            self.failure = error

    def send(self, batch: list[bytes]) -> None:
        if not batch:
            return
        if not self.stored:
            self.files.produce_many(batch)
            return
        # What a life before has put there is dropped.
        named = [(path, hashlib.sha256(path).hexdigest()) for path in batch]
        self.files.produce_many([ferrymq.Outgoing(path, dedup_id=name) for path, name in named])

    def work(self) -> None:
        """Take paths until the broker is closed."""
        for delivery in self.files:
            try:
                with delivery:
                    self.handle(delivery)
            except ferrymq.Closed:
                return
            except Exception:
                # The with block has nacked it with the exception as reason: it comes back, or is
                # dead-lettered. A worker goes on.
                continue

    def handle(self, delivery: ferrymq.Delivery) -> None:
        path = os.fsdecode(delivery.body)
        self.flaky_step(path, delivery.attempt)
        try:
            measured = measure(path)
        except UndecodableError as error:
            delivery.reject(str(error))
            return
        result = asdict(measured) | {"path": os.fsencode(path).hex()}
        with self.broker.transaction() as tx:
            tx.produce(self.results, json=result)
            tx.ack(delivery)

    def flaky_step(self, path: str, attempt: int) -> None:
        """Fails for the same files in every run with the same seed, whatever the threads do."""
        name = os.path.relpath(path, self.directory)
        chance = random.Random(b"%d:%s:%d" % (self.totals.seed, os.fsencode(name), attempt))
        if chance.random() < FLAKY_RATE:
            raise FlakyError("the flaky step failed, as it does 1 % of the time")

    def collect(self, progress: Progress) -> list[Measured]:
        """Take results until every file has one or is dead. None is acked: `finish` does that."""
        measured: dict[str, Measured] = {}
        while True:
            if self.failure is not None:
                raise self.failure
            deliveries = self.results.consume_many(1000, REFRESH_S)
            self.kept += deliveries
            for delivery in deliveries:
                fields = delivery.json()
                fields["path"] = os.fsdecode(bytes.fromhex(fields["path"]))
                measured[fields["path"]] = Measured(**fields)
            all_found, found = self.all_found, self.files.stats().produced
            done = len(measured) + len(self.dead)
            progress(done, found, all_found)
            if all_found and done == found:
                return list(measured.values())

    def finish(self) -> None:
        """The job is over: with this one ack. What else is in the store is left of it."""
        for delivery in self.job.consume_many(1):
            delivery.ack(durable=True)
        self.results.ack_many(self.kept)

    def sum_up(self, measured: list[Measured], elapsed: float) -> None:
        totals = self.totals
        totals.files = self.files.stats().produced
        totals.measured = len(measured)
        totals.bytes = sum(each.bytes for each in measured)
        totals.lines = sum(each.lines for each in measured)
        totals.encodings = _counted(each.encoding for each in measured)
        totals.digest = digest_of(self.directory, measured)
        totals.retried = self.files.stats().redelivered
        reasons: Counter[str] = Counter()
        details: Counter[str] = Counter()
        for letter in self.dead.peek(max(len(self.dead), 1)):
            headers = letter.headers
            reasons[str(headers["x-dead-reason"])] += 1
            details[_kind_of(str(headers.get("x-dead-detail", "")))] += 1
        totals.dead_lettered = dict(reasons.most_common())
        totals.details = dict(details.most_common())
        totals.unread_directories = len(self.unread)
        totals.seconds = elapsed
        totals.messages = self.files.stats().produced + self.results.stats().produced
        totals.messages_per_second = totals.messages / elapsed


def _counted(names: Iterator[str]) -> dict[str, int]:
    return dict(Counter(names).most_common())


def _kind_of(detail: str) -> str:
    """A reason without what differs from file to file."""
    return re.split(r": byte | \[Errno|: \[Errno|, '", detail, maxsplit=1)[0] or "no reason"


def digest_of(directory: str, measured: list[Measured]) -> str:
    """One digest for all files: of the lines "<sha256>  <path>", sorted by path."""
    digest = hashlib.sha256()
    for each in sorted(measured, key=lambda each: each.path):
        name = os.fsencode(os.path.relpath(each.path, directory))
        digest.update(each.sha256.encode() + b"  " + name + b"\n")
    return digest.hexdigest()


def run(
    directory: Path,
    *,
    workers: int,
    seed: int,
    data: Path | None = None,
    progress: Progress | None = None,
) -> Totals:
    """Run the job over a directory and return its totals.

    data: a store, in which a job that was killed goes on. Raises NotADirectoryError, and
    InvalidArgument if the store holds another job, or lies below the directory.
    """
    if not directory.is_dir():
        raise NotADirectoryError(errno.ENOTDIR, "no such directory", os.fspath(directory))
    if data is not None and data.resolve().is_relative_to(directory.resolve()):
        raise ferrymq.InvalidArgument(
            f"the store {os.fspath(data)!r} lies below the directory that is measured, and changes "
            "meanwhile; give another --data"
        )
    with ferrymq.open(data) as broker:
        job = Job(broker, directory, workers, seed, stored=data is not None)
        return job.run(progress or (lambda done, found, all_found: None))


def bar(done: int, found: int, all_found: bool, width: int = 30) -> str:
    """The progress bar.

    >>> bar(5, 10, True, width=10)
    '[#####.....] 5/10 files'
    """
    full = width * done // found if found else 0
    more = "" if all_found else "+"
    return f"[{'#' * full}{'.' * (width - full)}] {done}/{found}{more} files"


def show_progress(done: int, found: int, all_found: bool) -> None:
    """Draw the bar on standard error, over the last one."""
    sys.stderr.write(f"\r{bar(done, found, all_found)} \x1b[K")
    sys.stderr.flush()


def table(totals: Totals) -> str:
    """The totals as a table for people."""
    rows = [
        ("directory", os.fsencode(totals.directory).decode(errors="backslashreplace")),
        ("files", f"{totals.files:,}"),
        ("  measured", f"{totals.measured:,}"),
        ("bytes", f"{totals.bytes:,}"),
        ("lines", f"{totals.lines:,}"),
        ("encodings", _named(totals.encodings)),
        ("digest", totals.digest[:16] + "..."),
        ("retried", f"{totals.retried:,}"),
        ("dead-lettered", f"{sum(totals.dead_lettered.values()):,}"),
    ]
    rows += [(f"  {reason}", f"{count:,}") for reason, count in totals.dead_lettered.items()]
    rows += [(f"    {detail}", f"{count:,}") for detail, count in list(totals.details.items())[:8]]
    if totals.unread_directories:
        rows.append(("unreadable directories", f"{totals.unread_directories:,}"))
    rows += [
        ("workers", str(totals.workers)),
        ("seconds", f"{totals.seconds:.2f}"),
        ("messages", f"{totals.messages:,}"),
        ("messages per second", f"{totals.messages_per_second:,.0f}"),
    ]
    width = max(len(name) for name, _ in rows)
    return "\n".join(f"{name:<{width}}  {value}" for name, value in rows)


def _named(counts: dict[str, int]) -> str:
    return ", ".join(f"{name} {count:,}" for name, count in counts.items()) or "-"
