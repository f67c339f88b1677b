"""The vectors in the Python home, and proof that its runner can fail one."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import run_vectors

VECTORS = Path(__file__).parent.parent / "vectors"
FILES = sorted(VECTORS.rglob("*.json"))


@pytest.mark.filterwarnings("ignore::ResourceWarning")
@pytest.mark.parametrize("path", FILES, ids=[path.stem for path in FILES])
def test_vector(path: Path) -> None:
    name, detail = run_vectors.run_file(path)
    assert detail == "", name


def outcome(tmp_path: Path, *steps: dict[str, Any], **scenario: Any) -> str:
    """What the runner says of a scenario with these steps."""
    path = tmp_path / "case.json"
    whole = {"name": "case", "open": {"storage": "memory"}, **scenario}
    path.write_text(json.dumps(whole | {"steps": [{"do": "queue", "queue": "q"}, *steps]}))
    return run_vectors.run_file(path)[1]


PRODUCE = {"do": "produce", "queue": "q", "body": "a"}
TAKE = {"do": "consume", "queue": "q"}


@pytest.mark.parametrize(
    ("steps", "words"),
    [
        (
            [PRODUCE, TAKE | {"expect": {"body": "b"}}],
            'step 3 (consume): expected body "b", got "a"',
        ),
        ([TAKE | {"expect": {"body": "a"}}], "got null"),
        ([PRODUCE, TAKE | {"expect": None}], "expected null, got a message"),
        ([PRODUCE, TAKE | {"expect": {"attempt": 2}}], "expected attempt 2, got 1"),
        ([PRODUCE, TAKE | {"expect": {"headers": {"a": 1}}}], "headers.a"),
        ([PRODUCE | {"error": "QueueFull"}], "expected error QueueFull"),
        ([PRODUCE | {"options": {"priority": 9}}], "got InvalidArgument"),
        ([PRODUCE | {"expect": "pending"}], "expected it to be pending"),
        ([TAKE | {"options": {"timeout": None}}], "it is pending"),
        ([{"do": "queues", "expect": []}], "a list of 0, got 1"),
        ([{"do": "stats", "queue": "q", "expect": {"size": True}}], "expected size true, got 0"),
        ([{"do": "swim"}], "unknown step"),
        ([TAKE | {"colour": "red"}], "unknown field colour"),
        ([{"do": "consume"}], "lacks queue"),
        ([PRODUCE | {"options": {"colour": 1}}], "got TypeError"),
        ([{"do": "ack", "delivery": "nobody"}], "is not a delivery"),
        ([{"do": "result", "of": "nobody"}], "nothing is called"),
        ([PRODUCE | {"expect": 1, "error": "Closed"}], "both expect and error"),
    ],
)
def test_the_runner_can_fail(tmp_path: Path, steps: list[dict[str, Any]], words: str) -> None:
    assert words in outcome(tmp_path, *steps)


def test_a_right_scenario_passes(tmp_path: Path) -> None:
    assert outcome(tmp_path, PRODUCE, TAKE | {"expect": {"body": "a", "key": None}}) == ""


def test_it_is_run_on_a_store_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A scenario that only a store fails is one that fails."""
    drive = run_vectors.drive_aio
    opened: list[Any] = []

    def fails_on_a_store(scenario: dict[str, Any]) -> None:
        opened.append(scenario["open"]["storage"])
        if opened[-1] == "store":
            scenario = {**scenario, "steps": [*scenario["steps"], TAKE | {"expect": {"body": "b"}}]}
        drive(scenario)

    monkeypatch.setattr(run_vectors, "drive_aio", fails_on_a_store)
    assert "(asyncio, on a store)" in outcome(tmp_path, PRODUCE)
    assert opened == ["memory", "store"]


def test_a_wrong_file_fails(tmp_path: Path) -> None:
    for text in ("", "[]", "{}", '{"steps": 1}', '{"steps": [1]}', '{"steps": [], "x": 1}'):
        path = tmp_path / "wrong.json"
        path.write_text(text)
        assert run_vectors.run_file(path)[1] != ""


def test_the_command(tmp_path: Path) -> None:
    (tmp_path / "sub").mkdir()
    scenario = {"name": "fine", "steps": [{"do": "queue", "queue": "q"}]}
    (tmp_path / "sub" / "a.json").write_text(json.dumps(scenario))
    (tmp_path / "b.json").write_text("no json")
    command = [sys.executable, run_vectors.__file__, "--dir", str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True)
    lines = [json.loads(line) for line in done.stdout.splitlines()]
    assert [(line["file"], line["ok"], line["home"]) for line in lines] == [
        ("b.json", False, "python"),
        ("sub/a.json", True, "python"),
    ]
    assert lines[1]["detail"] == ""
    missing = subprocess.run(
        [*command[:-1], str(tmp_path / "none")], capture_output=True, timeout=60, check=False
    )
    assert missing.returncode == 2
