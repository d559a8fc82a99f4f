"""Small things that several lanes share."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any


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
