"""Faults on real processes. Slower than the other lanes; `./podium test faults` or `--all` runs them."""

from __future__ import annotations

import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from podium.testing.fleet import Fleet


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    path = tmp_path / "repository"
    path.mkdir()
    for words in (["init", "-q", "-b", "main"], ["commit", "-q", "--allow-empty", "-m", "one"]):
        subprocess.run(
            ["git", "-c", "user.name=T", "-c", "user.email=t@localhost", *words], cwd=path, check=True
        )
    return path


@pytest.fixture
def make_fleet() -> Iterator[Callable[..., Fleet]]:
    """Makes fleets and ends them, also after a test that failed."""
    made: list[Fleet] = []

    def make(*arguments: object, **fields: object) -> Fleet:
        made.append(Fleet(*arguments, **fields))  # type: ignore[arg-type]
        return made[-1]

    yield make
    for fleet in made:
        fleet.stop()
