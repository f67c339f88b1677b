"""The main job: its totals equal a plain walk of the same directory, whatever goes wrong.

The walk here shares no code with the job: it reads whole files and asks Python's own tokenizer for
the encoding.
"""

from __future__ import annotations

import hashlib
import io
import json
import os
import random
import signal
import subprocess
import sys
import sysconfig
import tokenize
from collections import Counter
from pathlib import Path
from typing import Any

import ferrymq
import pytest
from ferrymq import cli, demo


def plain_encoding(data: bytes) -> str:
    """The encoding by mark, cookie or UTF-8; raises SyntaxError for a cookie that is none."""
    marks = ((b"\xef\xbb\xbf", "utf-8-sig"), (b"\xff\xfe", "utf-16"), (b"\xfe\xff", "utf-16"))
    for mark, name in marks:
        if data.startswith(mark):
            return name
    return tokenize.detect_encoding(io.BytesIO(data).readline)[0]


def plain_walk(directory: Path) -> dict[str, Any]:
    """What the job should find, computed in the plainest way."""
    found: Counter[str] = Counter()
    digests = []
    for folder, _, names in os.walk(directory):
        for name in names:
            path = Path(folder, name)
            found["files"] += 1
            if not path.is_file():
                found["max_attempts"] += 1
                continue
            data = path.read_bytes()
            try:
                text = data.decode(plain_encoding(data))
            except (SyntaxError, UnicodeError):
                found["rejected"] += 1
                continue
            found["measured"] += 1
            found["bytes"] += len(data)
            found["lines"] += text.count("\n") + (text != "" and not text.endswith("\n"))
            relative = os.fsencode(path.relative_to(directory))
            digests.append((os.fsencode(path), hashlib.sha256(data).hexdigest(), relative))
    whole = hashlib.sha256()
    for _, digest, relative in sorted(digests):
        whole.update(digest.encode() + b"  " + relative + b"\n")
    return {**found, "digest": whole.hexdigest()}


def check(totals: demo.Totals, plain: dict[str, Any]) -> None:
    assert totals.files == plain["files"]
    assert totals.measured == plain.get("measured", 0)
    assert totals.bytes == plain.get("bytes", 0)
    assert totals.lines == plain.get("lines", 0)
    assert totals.digest == plain["digest"]
    assert sum(totals.encodings.values()) == totals.measured
    reasons = {name: plain[name] for name in ("rejected", "max_attempts") if plain.get(name)}
    assert totals.dead_lettered == reasons
    assert sum(totals.details.values()) == sum(reasons.values())
    assert totals.messages == totals.files + totals.measured


def test_totals_equal_a_plain_walk_of_the_library() -> None:
    """Packages of the standard library, with its test data of strange encodings if it is there."""
    library = Path(sysconfig.get_path("stdlib"))
    for part in (
        "email",
        "encodings",
        "asyncio",
        "idlelib",
        "test/cjkencodings",
        "test/tokenizedata",
    ):
        if (library / part).is_dir():
            totals = demo.run(library / part, workers=4, seed=7)
            check(totals, plain_walk(library / part))


@pytest.fixture
def strange(tmp_path: Path) -> Path:
    """A directory of files that are text, that are not, and that cannot be read."""
    directory = tmp_path / "strange"
    (directory / "deep" / "deeper").mkdir(parents=True)
    files = {
        "empty": b"",
        "plain.txt": b"one\ntwo\n",
        "unfinished": "größe\nohne ende".encode(),
        "mark.txt": "\ufeffmarked\n".encode(),
        "utf16.txt": "two\nlines\n".encode("utf-16"),
        "latin.py": b"# -*- coding: latin-1 -*-\nx = '\xe9'\n",
        "second.py": b"#!/usr/bin/python\n# vim: set fileencoding=cp1252 :\n'\x80'",
        "late.py": b"\n\n# coding: latin-1\n'\xe9'",
        "binary": bytes(range(256)) * 50,
        "unknown.py": b"# coding: klingon\n",
        "codec.py": b"# coding: rot13\n",
        "deep/cut.txt": "ü".encode()[:1],
        "deep/deeper/many.txt": b"x\n" * 100_000,
        "deep/long.txt": "ü".encode() * (demo.CHUNK_BYTES // 2 + 1) + b"x",
        "deep/surprise.txt": b"y" * (demo.CHUNK_BYTES + 10) + b"\xff",
    }
    for name, data in files.items():
        (directory / name).write_bytes(data)
    Path(os.fsdecode(os.fsencode(directory) + b"/no\xfftext")).write_bytes(b"name\n")
    (directory / "dangling").symlink_to("nowhere")
    (directory / "loop").symlink_to("loop")
    os.mkfifo(directory / "pipe")
    (directory / "folder").symlink_to("deep")
    return directory


def test_what_cannot_be_decoded_or_read(strange: Path) -> None:
    totals = demo.run(strange, workers=3, seed=1)
    assert totals.dead_lettered == {"rejected": 6, "max_attempts": 3}
    assert totals.encodings == {
        "utf-8": 6,
        "utf-8-sig": 1,
        "utf-16": 1,
        "iso8859-1": 1,
        "cp1252": 1,
    }
    assert totals.retried >= 3 * (demo.MAX_ATTEMPTS - 1)
    # rot13 is no codec of bytes, which Python's tokenizer does not look at.
    (strange / "codec.py").unlink()
    check(demo.run(strange, workers=1, seed=1), plain_walk(strange))


def test_reasons_are_said(strange: Path) -> None:
    with ferrymq.open() as broker:
        job = demo.Job(broker, strange, 2, 1)
        counted = job.sum_up
        seen: dict[str, str] = {}

        def look(measured: list[demo.Measured], elapsed: float) -> None:
            for letter in job.dead.peek(100):
                seen[Path(os.fsdecode(letter.body)).name] = str(letter.headers["x-dead-detail"])
            counted(measured, elapsed)

        job.sum_up = look  # type: ignore[method-assign]
        job.run(lambda done, found, all_found: None)
    assert seen["binary"] == "not utf-8: byte 0x80 at offset about 128"
    assert seen["unknown.py"] == "it declares an unknown encoding, 'klingon'"
    assert seen["codec.py"] == "it declares an unknown encoding, 'rot13'"
    assert seen["dangling"].startswith("FileNotFoundError: ")
    assert seen["pipe"].startswith("OSError: ")
    assert "not a regular file" in seen["pipe"]


def test_the_seed_decides_which_files_are_flaky(tmp_path: Path) -> None:
    for number in range(600):
        (tmp_path / f"{number}.txt").write_text(str(number))
    runs = [demo.run(tmp_path, workers=workers, seed=5) for workers in (1, 4)]
    assert runs[0].retried == runs[1].retried > 0
    assert {run.digest for run in runs} == {demo.run(tmp_path, workers=2, seed=6).digest}
    for totals in runs:
        check(totals, plain_walk(tmp_path))


def test_back_pressure(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """More files than the queue holds: who fills it waits, and nothing is lost."""
    monkeypatch.setattr(demo, "BATCH_FILES", 3)
    for number in range(200):
        (tmp_path / f"{number}").write_text("x")
    with ferrymq.open() as broker:
        job = demo.Job(broker, tmp_path, 2, 1)
        job.files.alter(capacity=5)
        totals = job.run(lambda done, found, all_found: None)
    check(totals, plain_walk(tmp_path))


def test_an_empty_directory(tmp_path: Path) -> None:
    totals = demo.run(tmp_path, workers=2, seed=1)
    check(totals, {"files": 0, "digest": hashlib.sha256().hexdigest()})
    assert "files" in demo.table(totals)


def test_a_walk_that_breaks_ends_the_job(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(directory: str, unread: list[OSError]) -> Any:
        yield os.path.join(directory, "a")  # noqa: PTH118
        raise RuntimeError("the disk is gone")

    monkeypatch.setattr(demo, "paths_under", broken)
    with pytest.raises(RuntimeError, match="the disk is gone"):
        demo.run(tmp_path, workers=2, seed=1)


def test_json_and_table(strange: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["demo", str(strange), "--json", "--workers", "2", "--seed", "3"]) == 0
    printed = capsys.readouterr()
    totals = json.loads(printed.out)
    assert totals["dead_lettered"] == {"rejected": 6, "max_attempts": 3}
    assert (totals["workers"], totals["seed"], printed.err) == (2, 3, "")
    assert cli.main(["demo", str(strange)]) == 0
    table = capsys.readouterr().out
    for word in ("files", "19", "rejected", "max_attempts", "messages per second", "retried"):
        assert word in table


def test_errors_are_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for wrong in (tmp_path / "none", Path(__file__)):
        assert cli.main(["demo", str(wrong)]) == 1
        assert capsys.readouterr().err == f"ferrymq demo: {wrong}: no such directory\n"
    for arguments in (["demo", "--workers", "0"], ["demo", "--workers", "x"], ["swim"], []):
        with pytest.raises(SystemExit) as caught:
            cli.main(arguments)
        assert caught.value.code == 2


def test_help_teaches(capsys: pytest.CaptureFixture[str]) -> None:
    for arguments, words in (
        (["--help"], ["demo", "--version"]),
        (["demo", "--help"], ["retry", "reject", "examples:", "--workers", "--json"]),
    ):
        with pytest.raises(SystemExit) as caught:
            cli.main(arguments)
        assert caught.value.code == 0
        text = capsys.readouterr().out
        assert all(word in text for word in words)


def test_as_a_module(tmp_path: Path) -> None:
    (tmp_path / "a").write_text("x\n")
    command = [sys.executable, "-X", "dev", "-W", "error", "-m", "ferrymq", "demo", str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True)
    assert done.stderr == ""
    assert "utf-8 1" in done.stdout


def test_the_bar() -> None:
    assert demo.bar(0, 0, False, width=4) == "[....] 0/0+ files"
    assert demo.bar(3, 4, True, width=4) == "[###.] 3/4 files"


KILLED = """
import os, signal, sys
from ferrymq import cli, demo

at = int(sys.argv[1])

def progress(done, found, all_found):
    if done >= at:
        os.kill(os.getpid(), signal.SIGKILL)

demo.show_progress = progress
demo.REFRESH_S = 0.001
sys.stderr.isatty = lambda: True
sys.exit(cli.main(sys.argv[2:]))
"""


def test_a_job_that_is_killed_goes_on(tmp_path: Path, strange: Path) -> None:
    """Killed with SIGKILL again and again, anywhere: no file is lost, none counted twice."""
    library = Path(sysconfig.get_path("stdlib"))
    (strange / "codec.py").unlink()
    for name in ("email", "asyncio"):
        (strange / name).symlink_to(library / name)
        for path in sorted((library / name).glob("*.py")):
            (strange / f"{name}-{path.name}").write_bytes(path.read_bytes())
    plain = plain_walk(strange)
    data = tmp_path / "data"
    arguments = ["demo", str(strange), "--data", str(data), "--workers", "2", "--json"]
    places = [0, 1, *random.Random(4).choices(range(plain["files"]), k=4), plain["files"]]
    for place in sorted(places):
        command = [sys.executable, "-c", KILLED, str(place), *arguments]
        killed = subprocess.run(command, capture_output=True, timeout=120, check=False)
        assert killed.returncode == -signal.SIGKILL, (place, killed.stderr)
    done = subprocess.run(
        [sys.executable, "-m", "ferrymq", *arguments],
        capture_output=True,
        text=True,
        timeout=120,
        check=True,
    )
    check(demo.Totals(**json.loads(done.stdout)), plain)
    # It is over: the next one begins anew, in the same store.
    (strange / "one-more").write_text("x\n")
    check(demo.run(strange, workers=2, seed=1, data=data), plain_walk(strange))


def test_a_store_holds_one_job(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    directory, other, data = (tmp_path / name for name in ("a", "b", "data"))
    directory.mkdir()
    other.mkdir()
    with ferrymq.open(data) as broker:
        demo.Job(broker, directory, 1, 1, stored=True)
    assert cli.main(["demo", str(other), "--data", str(data)]) == 1
    assert "holds a job over" in capsys.readouterr().err
    assert cli.main(["demo", str(tmp_path), "--data", str(data)]) == 1
    assert "lies below the directory" in capsys.readouterr().err
    with ferrymq.open(data):
        assert cli.main(["demo", str(directory), "--data", str(data)]) == 1
        assert "is open in this process" in capsys.readouterr().err
    assert cli.main(["demo", str(directory), "--data", str(data)]) == 0


INTERRUPTED = """
import sys
from ferrymq import cli, demo

def collect(self, progress):
    print("ready", flush=True)
    while True:
        self.results.consume(None, auto_ack=True)

demo.Job.collect = collect
sys.exit(cli.main(["demo", sys.argv[1], "--workers", "3"]))
"""


def test_ctrl_c_ends_the_job(tmp_path: Path) -> None:
    for number in range(50):
        (tmp_path / str(number)).write_text("x")
    command = [sys.executable, "-X", "dev", "-W", "error", "-c", INTERRUPTED, str(tmp_path)]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        try:
            assert process.stdout.readline() == "ready\n"
            process.send_signal(signal.SIGINT)
            out, err = process.communicate(timeout=60)
        finally:
            process.kill()
    assert (process.returncode, out, err) == (130, "", "\nferrymq: interrupted\n")
