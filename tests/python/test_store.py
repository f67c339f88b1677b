"""Stores in a directory: what comes back, who may open one, and what is said where it cannot be.

What a process leaves behind that is killed is what these tests kill; tests/crash does it at length.
"""

from __future__ import annotations

import asyncio
import os
import resource
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import ferrymq
import ferrymq.aio
import pytest
from conftest import take

NOBODY = 65534


def contents(directory: Path) -> dict[str, bytes]:
    """Every file below a directory."""
    return {
        str(path.relative_to(directory)): path.read_bytes()
        for path in sorted(directory.rglob("*"))
        if path.is_file()
    }


def claims(directory: Path) -> tuple[list[str], str]:
    """The names of the files, and who owns them: the owner itself writes to the others."""
    names = sorted(path.name for path in directory.iterdir())
    return names, (directory / "OWNER").read_text()


def bodies(queue: ferrymq.Queue) -> list[str]:
    return [message.text for message in queue.peek(1000)]


def in_a_child(step: Callable[[], object]) -> str:
    """What a forked child says: what its step gives, or how it failed."""
    read, write = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            said = str(step())
        except BaseException as error:
            said = f"{type(error).__name__}: {error}"
        os.write(write, said.encode())
        os._exit(0)
    os.close(write)
    with os.fdopen(read, encoding="utf-8") as answer:
        said = answer.read()
    os.waitpid(child, 0)
    return said


def killed(code: str, *arguments: object) -> str:
    """What a process printed that killed itself with SIGKILL at the end of this code."""
    program = f"import os, signal, sys, ferrymq\n{code}\nos.kill(os.getpid(), signal.SIGKILL)"
    command = [sys.executable, "-c", program, *map(str, arguments)]
    ran = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert ran.returncode == -signal.SIGKILL, ran.stderr
    return ran.stdout


@pytest.fixture
def data(tmp_path: Path) -> Path:
    return tmp_path / "data"


def test_everything_comes_back(data: Path) -> None:
    with ferrymq.open(data) as broker:
        jobs = broker.queue("jobs", priorities=3, dedup_window=60, max_attempts=None, backoff=600)
        first = jobs.produce(
            "first", priority=1, key="k", headers={"n": 1, "deep": [True, None]}, dedup_id="once"
        )
        jobs.produce("later", delay=600)
        jobs.produce("urgent", priority=2)
        take(jobs).nack(reason="not now")
        jobs.produce("wrong", priority=2)
        take(jobs).reject("broken")
        events = broker.exchange("events", "topic")
        events.bind(jobs, "order.*")
    with ferrymq.open(data) as broker:
        jobs = broker.queue("jobs", create=False)
        stats = jobs.stats()
        assert (stats.ready, stats.delayed, stats.leased) == (1, 2, 0)
        assert (stats.produced, stats.nacked, stats.rejected, stats.dead_lettered) == (4, 1, 1, 1)
        (message,) = jobs.peek(10)
        assert (message.id, message.text, message.key, message.priority) == (first, "first", "k", 1)
        assert message.headers == {"n": 1, "deep": [True, None]}
        assert jobs.produce("again", dedup_id="once") == first
        (dead,) = broker.queue("jobs.dead", create=False).peek(10)
        assert (dead.text, dead.headers["x-dead-detail"]) == ("wrong", "broken")
        events = broker.exchange("events", "topic")
        assert events.produce("new", key="order.new") == 1
        jobs.alter(backoff=0)


def test_ids_and_attempts_go_on(data: Path) -> None:
    ids: list[int] = []
    for turn in range(3):
        with ferrymq.open(data) as broker:
            jobs = broker.queue("jobs")
            number = jobs.produce(f"{turn}")
            assert number is not None
            ids.append(number)
            with take(jobs) as delivery:
                assert (delivery.text, delivery.attempt) == (f"{turn}", 1)
    assert ids == sorted(set(ids))


LEVELS = """
with_level = sys.argv[2]
broker = ferrymq.open(sys.argv[1], durability=with_level)
broker.queue("broker").produce("as the broker")
quick = broker.queue("quick", durability="written")
quick.produce("as the queue")
safe = broker.queue("safe", durability="durable")
safe.produce("as the queue")
safe.produce("less", durability="written")
safe.produce("least", durability="memory")
"""


@pytest.mark.parametrize("level", ["durable", "written", "memory"])
def test_a_kill_leaves_what_is_written(data: Path, level: ferrymq.Durability) -> None:
    """The level of the message, else of the queue, else of the broker."""
    killed(LEVELS, data, level)
    with ferrymq.open(data) as broker:
        assert bodies(broker.queue("quick", create=False)) == ["as the queue"]
        assert bodies(broker.queue("safe", create=False)) == ["as the queue", "less"]
        kept = [] if level == "memory" else ["as the broker"]
        assert bodies(broker.queue("broker")) == kept


def test_a_message_may_ask_for_less_only(data: Path) -> None:
    with ferrymq.open(data, durability="written") as broker:
        jobs = broker.queue("jobs")
        with pytest.raises(ferrymq.InvalidArgument, match="durability"):
            jobs.produce("more", durability="durable")
        assert len(jobs) == 0


def test_a_delivery_in_hand_is_counted_when_its_process_is_killed(data: Path) -> None:
    killed(
        """
jobs = ferrymq.open(sys.argv[1]).queue("jobs")
jobs.produce_many(["a", "b", "c"])
held = jobs.consume()
jobs.consume().ack(durable=True)
""",
        data,
    )
    with ferrymq.open(data) as broker:
        jobs = broker.queue("jobs")
        assert bodies(jobs) == ["a", "c"]
        with take(jobs) as again:
            assert (again.text, again.attempt, again.redelivered) == ("a", 2, True)
        with take(jobs) as other:
            assert (other.text, other.attempt, other.redelivered) == ("c", 1, False)


def test_asyncio_keeps_as_well(data: Path) -> None:
    async def produce() -> None:
        async with ferrymq.aio.open(data) as broker:
            jobs = await broker.queue("jobs")
            await jobs.produce_many(["a", "b"])

    asyncio.run(produce())
    with ferrymq.open(data) as again:
        assert bodies(again.queue("jobs")) == ["a", "b"]


def test_a_path_is_what_it_was_when_it_was_given(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "elsewhere").mkdir()
    with ferrymq.open("data") as broker:
        monkeypatch.chdir(tmp_path / "elsewhere")
        broker.queue("jobs").produce("a")
    with ferrymq.open(tmp_path / "data") as broker:
        assert bodies(broker.queue("jobs")) == ["a"]


def test_one_handle_in_one_process(data: Path) -> None:
    with ferrymq.open(data) as broker:
        before = claims(data)
        with pytest.raises(ferrymq.StoreLocked, match="this process, under another handle"):
            ferrymq.open(data)
        assert claims(data) == before
        broker.queue("jobs").produce("still works")
    ferrymq.open(data).close()


HOLDS = """
broker = ferrymq.open(sys.argv[1])
broker.queue("jobs").produce("a")
print("open", flush=True)
sys.stdin.read()
"""


def test_one_process_at_a_time(data: Path) -> None:
    command = [sys.executable, "-c", f"import sys, ferrymq\n{HOLDS}", str(data)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as owner:
        assert owner.stdout is not None
        assert owner.stdout.readline() == b"open\n"
        before = claims(data)
        with pytest.raises(ferrymq.StoreLocked, match=f"process {owner.pid}"):
            ferrymq.open(data)
        assert claims(data) == before
        owner.kill()
    # Whoever is gone owns nothing, however it went.
    with ferrymq.open(data) as broker:
        assert bodies(broker.queue("jobs")) == ["a"]


@pytest.mark.filterwarnings("ignore:This process:DeprecationWarning")
def test_a_forked_child(data: Path) -> None:
    """The store stays its parent's: the child's handles say so, and its end changes nothing."""
    with ferrymq.open(data) as broker:
        jobs = broker.queue("jobs")
        jobs.produce("parent")
        assert in_a_child(lambda: jobs.produce("child")).startswith("ForkError: ")
        assert in_a_child(lambda: ferrymq.open(data)).startswith("StoreLocked: ")
        jobs.produce("parent again")
        with pytest.raises(ferrymq.StoreLocked):
            ferrymq.open(data)
    assert in_a_child(lambda: child_owns(data)) == "['parent', 'parent again']"
    with ferrymq.open(data) as broker:
        assert bodies(broker.queue("jobs")) == ["parent", "parent again", "child"]


def child_owns(data: Path) -> list[str]:
    with ferrymq.open(data) as broker:
        jobs = broker.queue("jobs")
        before = bodies(jobs)
        jobs.produce("child")
    return before


def refused(path: Path, *words: str, kind: type[ferrymq.FerryError] = ferrymq.StoreFailed) -> None:
    """It is refused with these words, and nothing is changed."""
    above = path if path.is_dir() else path.parent
    before = contents(above)
    with pytest.raises(kind) as caught:
        ferrymq.open(path)
    for word in words:
        assert word in str(caught.value)
    assert contents(above) == before


def test_what_is_no_store(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_text("mine")
    refused(file, "is a file", "choose another path", kind=ferrymq.InvalidArgument)
    photos = tmp_path / "photos"
    photos.mkdir()
    (photos / "cat.jpg").write_bytes(b"\xff\xd8")
    refused(photos, "is not a store", "cat.jpg", kind=ferrymq.InvalidArgument)
    refused(tmp_path / "no" / "where", "make the directory above it first")
    refused(file / "below", "cannot be made")


@pytest.mark.parametrize("path", ["", "a\0b"])
def test_paths_that_are_none(path: str) -> None:
    with pytest.raises((ferrymq.InvalidArgument, ValueError)):
        ferrymq.open(path)


def test_a_store_without_its_beginning(data: Path) -> None:
    """All headers and checkpoints are gone: it is refused, not begun anew."""
    with ferrymq.open(data) as broker:
        broker.queue("jobs").produce_many([b"x" * 100] * 1000)
    for path in data.glob("*.seg"):
        size = path.stat().st_size
        with path.open("r+b") as file:
            file.write(b"\xaa" * 4096)
            file.seek(size - 4096)
            file.write(b"\xaa" * 4096)
    before = {name: data for name, data in contents(data).items() if name.endswith(".seg")}
    with pytest.raises((ferrymq.StoreCorrupt, ferrymq.StoreFailed)) as caught:
        ferrymq.open(data)
    assert "nothing was changed" in str(caught.value)
    after = {name: data for name, data in contents(data).items() if name.endswith(".seg")}
    assert after == before


def test_damage_names_its_queue_and_what_is_served(
    data: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with ferrymq.open(data) as broker:
        assert broker.damage == []
        broker.queue("other").produce("whole")
        jobs = broker.queue("jobs")
        for number in range(5):
            jobs.produce(f"message number {number}")
    (path,) = (path for path in data.glob("*.seg") if b"message number 2" in path.read_bytes())
    image = path.read_bytes()
    path.write_bytes(image.replace(b"message number 2", b"message number 9"))
    for _ in range(2):
        caplog.clear()
        with ferrymq.open(data) as broker:
            (loss,) = broker.damage
            assert broker.aio.damage == [loss]
            for words in ("cannot be read", "jobs", "messages 4 to 4", "everything else is served"):
                assert words in loss
            assert "other" not in loss
            kept = [f"message number {number}" for number in (0, 1, 3, 4)]
            assert bodies(broker.queue("jobs")) == kept
            assert bodies(broker.queue("other")) == ["whole"]
        errors = [line.getMessage() for line in caplog.records if line.levelname == "ERROR"]
        assert errors == [f"the store {data} is damaged: {loss}"]


@pytest.fixture
def shared() -> Iterator[Path]:
    """A directory that any user may enter."""
    directory = Path(tempfile.mkdtemp(prefix="ferrymq-"))
    directory.chmod(0o755)
    yield directory
    shutil.rmtree(directory)


def as_nobody(step: Callable[[], object]) -> str:
    """What a child without rights says; root has them all."""

    def dropped() -> object:
        if os.geteuid() == 0:
            os.setgroups([])
            os.setgid(NOBODY)
            os.setuid(NOBODY)
        return step()

    return in_a_child(dropped)


def test_without_permission(shared: Path) -> None:
    shared.chmod(0o555)
    said = as_nobody(lambda: ferrymq.open(shared / "data"))
    assert said.startswith("StoreFailed: ")
    assert "ermission denied" in said
    assert "give this user the right" in said
    assert list(shared.iterdir()) == []


def test_a_read_only_directory(shared: Path) -> None:
    data = shared / "data"
    with ferrymq.open(data) as broker:
        broker.queue("jobs").produce("a")
    for path in (*data.iterdir(), data):
        path.chmod(0o555 if path.is_dir() else 0o444)
    before = contents(data)
    said = as_nobody(lambda: ferrymq.open(data))
    assert said.startswith("StoreFailed: ")
    assert "ermission denied" in said
    assert contents(data) == before


def limited(megabytes: int, step: Callable[[], object]) -> object:
    """A step for which no file may be longer: for this process the disk has no room."""
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (megabytes << 20, megabytes << 20))
    return step()


def test_no_room_for_a_store(data: Path) -> None:
    said = in_a_child(lambda: limited(1, lambda: ferrymq.open(data)))
    assert said.startswith("StoreFailed: ")
    assert "making a segment file" in said
    assert list(data.glob("*.seg")) == []
    # Nothing of it is in the way of a later try.
    with ferrymq.open(data) as broker:
        broker.queue("jobs").produce("a")


def fill(data: Path) -> list[int]:
    """Produces what finds no room, which has to be said; gives what was confirmed before."""
    broker = ferrymq.open(data)
    jobs = broker.queue("jobs")
    confirmed = jobs.produce_many(["a", "b"])
    with pytest.raises((ferrymq.StoreFailed, ferrymq.Indeterminate)):
        # Longer than a segment: it needs a file of its own.
        jobs.produce_many([b"x" * 1_000_000] * 20)
    # From here on nothing succeeds.
    with pytest.raises(ferrymq.StoreFailed):
        jobs.produce("more")
    broker.close()
    return confirmed


def test_the_disk_becomes_full(data: Path) -> None:
    said = in_a_child(lambda: limited(17, lambda: fill(data)))
    with ferrymq.open(data) as broker:
        jobs = broker.queue("jobs", create=False)
        assert str([message.id for message in jobs.peek(100)]) == said
        jobs.produce("there is room again")


def test_closing_waits_for_nothing_else(data: Path) -> None:
    """Closed is closed: it can be opened again at once."""
    for turn in range(10):
        with ferrymq.open(data) as broker:
            assert broker.queue("jobs").produce(f"{turn}") is not None
    with ferrymq.open(data) as broker:
        assert len(broker.queue("jobs")) == 10
