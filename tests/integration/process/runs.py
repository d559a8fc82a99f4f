"""Real runs of small agents, and waiting for what they do without guessing how long it takes."""

from __future__ import annotations

import os
import sys
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any

import anyio

from podium.process import layout
from podium.process.base import Alive, Exited, HolderGone, LaunchSpec, ProcessIdentity
from podium.process.identity import wait_gone
from podium.process.launcher import Launcher
from podium.process.probe import probe
from podium.process.sweep import kill_tree
from podium.process.watch import DirectoryWatch

LIMIT_S = 20.0


def python(code: str) -> tuple[str, ...]:
    """An agent in Python that starts in a few milliseconds."""
    return (sys.executable, "-I", "-S", "-c", code)


async def until(directory: Path, true: Callable[[], object]) -> None:
    """Wait until something holds that can only change when a file of `directory` does."""
    watch = DirectoryWatch()
    try:
        watch.add(directory)
        with anyio.fail_after(LIMIT_S):
            while not true():
                await watch.changed()
    finally:
        watch.close()


class Runs:
    """Launches runs below one directory and leaves no process of them behind."""

    def __init__(self, base: Path, launcher: Launcher) -> None:
        self.base = base
        self.launcher = launcher
        self.marker = f"run_{uuid.uuid4().hex}"
        self.cwd = base / "cwd"
        self.cwd.mkdir()

    def spec(self, *argv: str, name: str = "run", **fields: Any) -> LaunchSpec:
        env = {"PATH": os.environ["PATH"], layout.MARKER_VARIABLE: self.marker, **fields.pop("env", {})}
        return LaunchSpec(
            **{"run_dir": self.base / name, "cwd": self.cwd, "argv": argv, "env": env, **fields}
        )

    async def launch(self, *argv: str, **fields: Any) -> Path:
        spec = self.spec(*argv, **fields)
        await self.launcher.launch(spec)
        return spec.run_dir

    async def ended(self, run_dir: Path) -> Exited:
        """Wait for the end of a run that has a holder."""
        state = probe(run_dir)
        if isinstance(state, Alive):
            assert await wait_gone(state.holder, LIMIT_S), "the holder lives on"
            state = probe(run_dir)
        assert isinstance(state, Exited), state
        return state

    async def said(self, run_dir: Path, text: bytes) -> bytes:
        """Wait until the agent's output holds this; returns all of it."""
        out = run_dir / layout.OUTPUT
        await until(run_dir, lambda: text in out.read_bytes())
        return out.read_bytes()

    def held(self, run_dir: Path) -> tuple[ProcessIdentity, ProcessIdentity]:
        """Holder and agent of a running run."""
        state = probe(run_dir)
        assert isinstance(state, Alive), state
        assert state.agent
        return state.holder, state.agent

    def output(self, run_dir: Path) -> bytes:
        return (run_dir / layout.OUTPUT).read_bytes()

    def errors(self, run_dir: Path) -> str:
        return (run_dir / layout.ERRORS).read_text()

    async def clean_up(self) -> None:
        for run_dir in self.base.iterdir():
            state = probe(run_dir)
            if isinstance(state, Alive | HolderGone):
                kill_tree(run_dir)
            if isinstance(state, Alive):
                assert await wait_gone(state.holder, LIMIT_S)
