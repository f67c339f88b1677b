"""The crash tests ring: each promise that is broken on purpose is noticed within some cycles.

That they find nothing otherwise is a stage of its own: `cargo xtask crash`.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

RUN = Path(__file__).parents[1] / "crash" / "run.py"


@pytest.mark.parametrize("lie", ["confirm-early", "lose-ack", "lose-tail"])
def test_a_broken_promise_is_noticed(lie: str) -> None:
    command = [sys.executable, str(RUN), "--cycles", "100", "--seed", "2", "--lie", lie]
    ran = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)
    assert ran.returncode == 1, ran.stdout
    assert "broken: " in ran.stderr
