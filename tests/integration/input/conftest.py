"""A server and worker in this process, and repositories that are not as one would wish."""

from __future__ import annotations

import json
import subprocess
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import msgspec
import pytest

from podium.engine.commands import OpenTask
from podium.kernel.events import Event, Recorded
from podium.kernel.nouns import Agent, Change, Task
from podium.store import queries
from podium.testing.rig import Rig
from tests.databases import on_each_database  # noqa: F401 (every test here runs on each database)

Make = Callable[[str], Path]


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture
def make(tmp_path: Path) -> Make:
    """Makes a repository by name: `a.txt` holds `hello`; one commit on `main`."""

    def made(name: str) -> Path:
        path = tmp_path / name
        path.mkdir()
        git(path, "init", "-q", "-b", "main")
        (path / "a.txt").write_text("hello\n")
        commit(path, "one")
        return path

    return made


def git(path: Path, *words: str | bytes) -> str:
    command = ["git", "-c", "user.name=T", "-c", "user.email=t@localhost"]
    allowed = ["-c", "protocol.file.allow=always"]
    done = subprocess.run([*command, *allowed, *words], cwd=path, check=True, capture_output=True)
    return done.stdout.decode("utf-8", "surrogateescape")


def commit(path: Path, message: str) -> None:
    git(path, "add", "-A")
    git(path, "commit", "-q", "-m", message)


def script(*steps: dict[str, Any]) -> str:
    return json.dumps({"steps": [{"id": f"s{number}", **step} for number, step in enumerate(steps)]})


def shell(text: str) -> dict[str, Any]:
    """A step that must succeed."""
    return {"do": "run", "argv": ["sh", "-ec", text], "expect_code": 0}


EDIT = {"do": "edit", "path": "a.txt", "write": "bye\n"}


@asynccontextmanager
async def rig_with_agent(home: Path) -> AsyncIterator[Rig]:
    async with Rig(home).running() as rig:
        await rig.define(Agent(name="scripted", harness="scripted"))
        yield rig


async def worked(rig: Rig, repository: Path | str, *steps: dict[str, Any], **fields: Any) -> Task:
    """The ended task of an agent that played the steps there."""
    ask = OpenTask(prompt=script(*steps), agent="scripted", repository=str(repository), **fields)
    return await rig.ended((await rig.open(ask)).id)


async def change_of(rig: Rig, task: Task) -> Change:
    assert task.change_id is not None, task.state
    change_id = task.change_id
    return await rig.store.writer.run(lambda unit: unit.change(change_id), durable=False)


async def patch_of(rig: Rig, task: Task) -> bytes:
    change = await change_of(rig, task)
    diff = await rig.engine.mirrors.diff(change.repository, change.base, change.tip, 1_000_000)
    return diff.patch


async def log(rig: Rig) -> list[Event]:
    page, _ = await rig.store.reader.run(lambda c: queries.list_events(c, after=0, limit=5000))
    return [msgspec.json.decode(line, type=Recorded).event for line in page]


def mirror_holds(rig: Rig, repository: Path, name: str) -> str:
    """`git ls-tree` of a ref in the node's own mirror."""
    return git(rig.worker_home.mirror(str(repository)), "ls-tree", "-r", name)
