"""A real server and worker in this process, a real repository, real agents that play scripts."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from podium.testing.rig import Rig
from tests.databases import on_each_database  # noqa: F401 (every test here runs on each database)
from tests.support import git, make_repository, script  # noqa: F401 (for the tests beside this file)


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    return make_repository(tmp_path / "repository")


def journal(rig: Rig) -> list[dict[str, Any]]:
    """What the agents themselves wrote down, in order."""
    records = []
    for path in sorted((rig.worker_home.sessions / "scripted").glob("*.jsonl")):
        records += [json.loads(line) for line in path.read_text().splitlines()]
    return records


def ends(rig: Rig) -> list[tuple[str, str]]:
    return [(record["task"], record["step"]) for record in journal(rig) if record["phase"] == "end"]
