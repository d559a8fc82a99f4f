"""Every test that the document on faults names is there, under that name."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).resolve().parents[3]
NAMED = re.compile(r"`(tests/[a-z_0-9/]+\.py)::([A-Za-z_0-9]+)`")


def test_every_promise_names_a_test_that_exists() -> None:
    named = NAMED.findall((ROOT / "docs/reference/faults.md").read_text())
    assert len(named) > 40
    missing = [
        f"{path}::{name}"
        for path, name in named
        if not re.search(rf"def {name}\(", (ROOT / path).read_text() if (ROOT / path).exists() else "")
    ]
    assert missing == []
