"""The model server as a real process, asked over real sockets."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

SRC = Path(__file__).resolve().parents[3] / "src"
TOOLS = [
    {"name": name, "input_schema": {"type": "object"}} for name in ("Bash", "Read", "Write", "Edit", "Agent")
]


class Server:
    """A running server, its scripts and what it noted."""

    def __init__(self, url: str, scripts: Path, log: Path) -> None:
        self.url, self.scripts, self._log = url, scripts, log

    def script(self, name: str, *turns: dict[str, Any], **fields: Any) -> str:
        """Store a script; returns the marker that names it."""
        (self.scripts / f"{name}.json").write_text(json.dumps({"turns": turns, **fields}))
        return f"[[model:{name}]]"

    def ask(self, messages: list[dict[str, Any]] | str, **fields: Any) -> httpx.Response:
        headers = fields.pop("headers", {})
        body = {"model": "m", "max_tokens": 9, "tools": TOOLS, "messages": conversation(messages), **fields}
        return httpx.post(f"{self.url}/v1/messages", json=body, headers=headers, timeout=30)

    def noted(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self._log.read_text().splitlines()]


def conversation(given: list[dict[str, Any]] | str) -> list[dict[str, Any]]:
    return [{"role": "user", "content": given}] if isinstance(given, str) else given


def events(answer: httpx.Response) -> list[dict[str, Any]]:
    lines = answer.text.splitlines()
    return [json.loads(line.removeprefix("data: ")) for line in lines if line.startswith("data: ")]


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    scripts, log = tmp_path / "scripts", tmp_path / "log"
    scripts.mkdir()
    words = [sys.executable, "-m", "podium.testing.model_server", "--port", "0"]
    words += ["--scripts", str(scripts), "--log", str(log)]
    with subprocess.Popen(words, stdout=subprocess.PIPE, env={"PYTHONPATH": str(SRC)}) as process:
        assert process.stdout is not None
        try:
            yield Server(json.loads(process.stdout.readline())["url"], scripts, log)
        finally:
            process.terminate()
            assert process.wait(20) == 0
