"""Stores that programs of this format version left behind, opened by this one.

`tests/golden/write.py` wrote them; the steps beside each say what has to be found in it.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import run_vectors
from vector_values import Wrong
from vector_world import unpack

GOLDEN = Path(__file__).parents[1] / "golden"
NAMES = sorted(path.name.removesuffix(".store.json") for path in GOLDEN.glob("*.store.json"))


def scenario_of(name: str) -> dict[str, Any]:
    """The scenario of a golden store, which opens what the store's files say."""
    scenario = json.loads((GOLDEN / f"{name}.json").read_text(encoding="utf-8"))
    store = json.loads((GOLDEN / f"{name}.store.json").read_text(encoding="utf-8"))
    scenario["open"]["files"] = store["files"]
    return dict(scenario)


@pytest.mark.filterwarnings("ignore::ResourceWarning")
@pytest.mark.parametrize("drive", [run_vectors.drive_sync, run_vectors.drive_aio])
@pytest.mark.parametrize("name", NAMES)
def test_a_golden_store(name: str, drive: Any) -> None:
    drive(scenario_of(name))


def test_there_are_some() -> None:
    assert NAMES == ["closed", "killed"]


@pytest.mark.filterwarnings("ignore::ResourceWarning")
def test_it_rings() -> None:
    """A store that says something else is noticed."""
    scenario = scenario_of("killed") | {"steps": scenario_of("closed")["steps"]}
    with pytest.raises(Wrong, match="step 10"):
        run_vectors.drive_sync(scenario)


def test_the_files_are_what_is_opened(tmp_path: Path) -> None:
    files = scenario_of("closed")["open"]["files"]
    unpack(files, tmp_path)
    sizes = {path.name: path.stat().st_size for path in tmp_path.iterdir()}
    assert sizes == {name: packed["len"] for name, packed in files.items()}
