"""Podium from outside: real processes, the real command line. Everything here runs twice: with the worker in
the server, and as a process of its own over the Unix socket, sharing no store with the server."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from podium.testing.fleet import Fleet
from tests.support import eventually, git, make_repository, script  # noqa: F401 (for the tests beside this file)


@pytest.fixture(params=["embedded", "separate"])
def fleet(request, tmp_path: Path) -> Iterator[Fleet]:
    made = Fleet(tmp_path / "home", separate=request.param == "separate")
    made.start_all()
    yield made
    made.stop()


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    return make_repository(tmp_path / "repository")


def open_task(fleet: Fleet, prompt: str, repository: Path | None = None, **fields: Any) -> str:
    body = {"prompt": prompt, "agent": "scripted", **fields}
    if repository is not None:
        body["repository"] = str(repository)
    return str(fleet.call("POST", "/tasks", body)["id"])


def wait_for(fleet: Fleet, task_id: str, kind: str, timeout_s: float = 30.0) -> None:
    """Until the log of a task has an event of that type."""
    eventually(lambda: fleet.events(task=task_id, type=kind), timeout_s)


def ends(fleet: Fleet) -> list[tuple[str, str]]:
    """(task, step) of every step that an agent's own journal says has ended."""
    found = []
    for path in (fleet.home / "worker" / "sessions" / "scripted").glob("*.jsonl"):
        records = [json.loads(line) for line in path.read_text().splitlines()]
        found += [(record["task"], record["step"]) for record in records if record["phase"] == "end"]
    return sorted(found)
