"""Small things that several lanes share."""

from __future__ import annotations

import json
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import anyio

T = TypeVar("T")
LOOK_EVERY_S = 0.01


def eventually(condition: Callable[[], T], within_s: float = 30.0, *, every_s: float = LOOK_EVERY_S) -> T:
    """What `condition` answers once that is true. For what tells nobody that it changed: all else is waited
    for. The one place where tests look again and again."""
    end = time.monotonic() + within_s
    while not (answer := condition()):
        assert time.monotonic() < end, f"{condition.__qualname__} was not true within {within_s:g} s"
        time.sleep(every_s)
    return answer


async def eventually_in_loop(
    condition: Callable[[], T], within_s: float = 30.0, *, every_s: float = LOOK_EVERY_S
) -> T:
    """The same while the event loop goes on."""
    end = time.monotonic() + within_s
    while not (answer := condition()):
        assert time.monotonic() < end, f"{condition.__qualname__} was not true within {within_s:g} s"
        await anyio.sleep(every_s)
    return answer


def git(path: Path, *words: str) -> str:
    """git as a person runs it; returns what it prints."""
    command = ["git", "-c", "user.name=T", "-c", "user.email=t@localhost", *words]
    return subprocess.run(command, cwd=path, check=True, capture_output=True, text=True).stdout


def make_repository(path: Path) -> Path:
    """`a.txt` holds `hello`; one commit on `main`."""
    path.mkdir()
    git(path, "init", "-q", "-b", "main")
    (path / "a.txt").write_text("hello\n")
    git(path, "add", ".")
    git(path, "commit", "-q", "-m", "one")
    return path


def script(*steps: dict[str, Any]) -> str:
    """A scripted agent's script as a prompt; its steps are called s0, s1, …"""
    return json.dumps({"steps": [{"id": f"s{number}", **step} for number, step in enumerate(steps)]})
