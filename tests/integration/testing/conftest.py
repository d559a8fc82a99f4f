"""The scripted agent as a real process, with its workspace, its journal, and both ends of its pipes."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import pytest

SRC = Path(__file__).resolve().parents[3] / "src"
END_TIMEOUT_S = 30


@dataclass
class Agent:
    """One process of the scripted agent."""

    process: subprocess.Popen[bytes]

    def read(self) -> dict[str, Any]:
        """The next frame; waits for it."""
        assert self.process.stdout is not None
        frame: dict[str, Any] = json.loads(self.process.stdout.readline())
        return frame

    def read_until(self, kind: str) -> dict[str, Any]:
        while (frame := self.read())["type"] != kind:
            pass
        return frame

    def send(self, line: str) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write(line.encode() + b"\n")
        self.process.stdin.flush()

    def finish(self, *, close_stdin: bool = False) -> tuple[int, list[dict[str, Any]]]:
        """Wait for its end: exit code and the frames not read before."""
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        if close_stdin:
            self.process.stdin.close()
        frames = [json.loads(line) for line in self.process.stdout.read().splitlines()]
        return self.process.wait(END_TIMEOUT_S), frames


class Bench:
    """A workspace, a journal and a script; starts agents on them."""

    SESSION: ClassVar[str] = "session_1"

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.workspace = folder / "workspace"
        self.workspace.mkdir()
        self.journal = folder / "journal" / f"{self.SESSION}.jsonl"
        self.script = folder / "script.json"
        self.started: list[Agent] = []

    def start(self, *steps: dict[str, Any], **environment: str) -> Agent:
        """Start the agent; without steps it gets the script it had before."""
        if steps:
            self.script.write_text(json.dumps({"steps": steps}))
        process = subprocess.Popen(
            [sys.executable, "-m", "podium.testing.scripted_agent", "--session", self.SESSION],
            cwd=self.workspace,
            env={
                **os.environ,
                "PYTHONPATH": str(SRC),
                "PODIUM_SCRIPT": str(self.script),
                "PODIUM_JOURNAL": str(self.journal.parent),
                "PODIUM_RUN": "run_1",
                "PODIUM_TASK": "task_1",
                "HOME": str(self.folder),
                **environment,
            },
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
        self.started.append(Agent(process))
        return self.started[-1]

    def play(self, *steps: dict[str, Any], **environment: str) -> tuple[int, list[dict[str, Any]]]:
        """Start the agent and read it to its end, stdin staying open."""
        return self.start(*steps, **environment).finish()

    def records(self) -> list[dict[str, Any]]:
        lines = self.journal.read_text().splitlines() if self.journal.exists() else []
        return [json.loads(line) for line in lines]

    def phases(self) -> list[str]:
        return [f"{record['step']} {record['phase']}" for record in self.records()]

    def forget_end(self, step: str) -> None:
        """As if the agent had been killed between doing the step and recording its end."""
        lines = self.journal.read_text().splitlines(keepends=True)
        kept = [
            line for line in lines if (json.loads(line)["step"], json.loads(line)["phase"]) != (step, "end")
        ]
        self.journal.write_text("".join(kept))

    def git(self, *arguments: str) -> str:
        done = subprocess.run(
            ["git", *arguments], cwd=self.workspace, capture_output=True, text=True, check=True, timeout=30
        )
        return done.stdout.strip()

    def subjects(self) -> list[str]:
        return self.git("log", "--format=%s").splitlines()

    def close(self) -> None:
        for agent in self.started:
            agent.process.kill()
            agent.process.wait()
            for pipe in (agent.process.stdin, agent.process.stdout, agent.process.stderr):
                if pipe is not None:
                    pipe.close()


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    bench = Bench(tmp_path)
    yield bench
    bench.close()


@pytest.fixture
def repository(bench: Bench) -> Bench:
    """The workspace as a repository with one commit and no author configured."""
    bench.git("init", "--quiet", "--initial-branch=main")
    author = ("-c", "user.name=A", "-c", "user.email=a@example.invalid")
    bench.git(*author, "commit", "--quiet", "--allow-empty", "-m", "base")
    return bench


@pytest.fixture
def results(bench: Bench) -> Callable[..., dict[str, Any]]:
    """Play a script and give its last frame."""

    def play(*steps: dict[str, Any]) -> dict[str, Any]:
        return bench.play(*steps)[1][-1]

    return play
