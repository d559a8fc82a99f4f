"""A real server and worker in this process, a real repository, real agents that play scripts."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest

from podium.testing.rig import Rig


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    """`a.txt` holds `hello`; one commit on `main`."""
    path = tmp_path / "repository"
    path.mkdir()
    git(path, "init", "-q", "-b", "main")
    (path / "a.txt").write_text("hello\n")
    git(path, "add", ".")
    git(path, "commit", "-q", "-m", "one")
    return path


def git(path: Path, *words: str) -> str:
    command = ["git", "-c", "user.name=T", "-c", "user.email=t@localhost", *words]
    return subprocess.run(command, cwd=path, check=True, capture_output=True, text=True).stdout


def script(*steps: dict[str, Any]) -> str:
    return json.dumps({"steps": [{"id": f"s{number}", **step} for number, step in enumerate(steps)]})


def journal(rig: Rig) -> list[dict[str, Any]]:
    """What the agents themselves wrote down, in order."""
    records = []
    for path in sorted((rig.worker_home.sessions / "scripted").glob("*.jsonl")):
        records += [json.loads(line) for line in path.read_text().splitlines()]
    return records


def ends(rig: Rig) -> list[tuple[str, str]]:
    return [(record["task"], record["step"]) for record in journal(rig) if record["phase"] == "end"]
