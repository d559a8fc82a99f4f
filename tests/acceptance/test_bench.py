"""`podium bench` from outside, with the one figure that takes seconds."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
TAKES_S = 120
INGEST = {"name": "sustained ingest", "unit": "events/s", "at_least": True, "budget": 10_000.0, "met": True}


def bench(*words: str) -> subprocess.CompletedProcess[str]:
    paths = os.pathsep.join((str(ROOT), str(ROOT / "src")))
    return subprocess.run(
        [sys.executable, "-P", "-m", "bench", *words],
        env={**os.environ, "PYTHONPATH": paths}, capture_output=True, text=True, timeout=TAKES_S, check=False,
    )  # fmt: skip


def test_a_figure_is_measured_kept_and_compared_and_fails_only_when_asked_to(tmp_path: Path) -> None:
    dear, kept = tmp_path / "dear.json", tmp_path / "kept.json"
    # As if it had reached a thousand times its floor: whatever is measured now is dearer.
    dear.write_text(json.dumps({"figures": [INGEST | {"value": 1e9, "floor": 1e6, "ratio": 1e3}]}))
    done = bench(
        "--only", "ingest", "--save", str(kept), "--compare", str(dear), "--fail-over", "2", "--json"
    )
    assert done.returncode == 1, done.stderr
    told: dict[str, Any] = json.loads(done.stdout)
    assert json.loads(kept.read_text())["figures"] == told["figures"]
    (figure,) = told["figures"]
    assert figure["value"] > 0
    assert told["changes"][INGEST["name"]] > 2
