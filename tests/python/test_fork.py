"""A forked child and the store that its parent has open."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import ferrymq

# Opens a store and forks a child that says its number and lives until its standard input ends.
OWNER = """
import os, sys
import ferrymq
broker = ferrymq.open(sys.argv[1])
broker.queue("jobs").produce("kept")
child = os.fork()
if child == 0:
    # Only now it has let go of what it inherited: fork returns after that.
    print(os.getpid(), flush=True)
    sys.stdin.read()
    os._exit(0)
os.waitpid(child, 0)
"""


def test_a_child_does_not_keep_the_store_of_a_parent_that_is_gone(tmp_path: Path) -> None:
    store = tmp_path / "data"
    owner = subprocess.Popen(
        [sys.executable, "-c", OWNER, str(store)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert owner.stdin is not None
    assert owner.stdout is not None
    child = int(owner.stdout.readline())
    owner.kill()
    owner.wait()
    os.kill(child, 0)  # it lives
    with ferrymq.open(store) as broker:
        delivery = broker.queue("jobs").consume()
        assert delivery is not None
        assert delivery.text == "kept"
    owner.stdin.close()
    owner.stdout.close()


def test_a_child_does_not_take_the_store_from_its_parent(tmp_path: Path) -> None:
    with ferrymq.open(tmp_path / "data") as broker:
        jobs = broker.queue("jobs")
        child = os.fork()
        if child == 0:
            code = 1
            try:
                jobs.produce("never")
            except ferrymq.ForkError:
                try:
                    ferrymq.open(tmp_path / "data")
                except ferrymq.StoreLocked:
                    code = 0
            os._exit(code)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
        jobs.produce("still")
    with ferrymq.open(tmp_path / "data") as broker:
        assert [one.text for one in broker.queue("jobs").peek(10)] == ["still"]


def test_a_process_that_is_killed_leaves_its_store_to_the_next(tmp_path: Path) -> None:
    ended = subprocess.run(
        [
            sys.executable,
            "-c",
            "import os, signal, sys, ferrymq\n"
            "jobs = ferrymq.open(sys.argv[1]).queue('jobs')\n"
            "jobs.produce('kept'); os.kill(os.getpid(), signal.SIGKILL)",
            str(tmp_path / "data"),
        ],
        check=False,
    )
    assert ended.returncode == -signal.SIGKILL
    with ferrymq.open(tmp_path / "data") as broker:
        assert [one.text for one in broker.queue("jobs").peek(10)] == ["kept"]
