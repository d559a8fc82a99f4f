"""Fifty kills at random moments on every run; a thousand were done once, see docs/reference/faults.md."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.mark.timeout(600)
def test_fifty_kills_lose_nothing_double_nothing_and_leave_nothing_stuck():
    command = [sys.executable, "-m", "bench", "faults", "--kills", "50"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    result = json.loads(done.stdout)
    assert (result["lost"], result["doubled"], result["stuck"]) == (0, 0, 0), result
    assert result["kills"] >= 50
