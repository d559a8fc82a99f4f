"""Counts what really happened from the scripted agents' own journals. Believes nothing that Podium says."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import NamedTuple


class Seen(NamedTuple):
    """`lost`: steps that never ended, `doubled`: steps that ended more than once; (task, step) pairs."""

    lost: list[tuple[str, str]]
    doubled: list[tuple[str, str]]


def observe(journals: Path, tasks: Mapping[str, Iterable[str]]) -> Seen:
    """`tasks`: id → the steps its script has, of every task that was acknowledged."""
    ended: Counter[tuple[str, str]] = Counter()
    for path in journals.glob("*.jsonl"):
        for line in path.read_text(encoding="utf-8").splitlines():
            record = json.loads(line)
            if record["phase"] == "end":
                ended[record["task"], record["step"]] += 1
    expected = [(task, step) for task, steps in tasks.items() for step in steps]
    return Seen(
        lost=[pair for pair in expected if ended[pair] == 0],
        doubled=[pair for pair, count in ended.items() if count > 1],
    )
