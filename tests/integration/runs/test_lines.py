"""A line of an agent, when the server does not stand where its worker thinks."""

from __future__ import annotations

import os
from pathlib import Path

import anyio
import pytest
from sqlalchemy import Table, update

from podium.engine.commands import OpenTask
from podium.kernel import events as e
from podium.kernel.nouns import Agent, Task
from podium.kernel.states import TaskState
from podium.process.base import Alive
from podium.process.probe import probe
from podium.store import schema
from podium.testing.rig import Rig
from tests.support import eventually_in_loop

from .test_conversations import until
from .test_way_of_one_run import log

pytestmark = pytest.mark.anyio


@pytest.fixture
def gate(tmp_path: Path) -> Path:
    os.mkfifo(tmp_path / "gate")
    return tmp_path / "gate"


async def says_two_words(rig: Rig, gate: Path) -> Task:
    """`one`, which is recorded when this returns, and `two` behind the gate."""
    talk = Agent(
        name="talks", harness="command", options={"argv": f'["sh", "-c", "echo one; cat {gate}; echo two"]'}
    )
    await rig.define(talk)
    task = await rig.open(OpenTask(prompt="talk", agent="talks"))

    async def said_one() -> bool:
        return await words(rig) == ["one"]

    await until(rig, said_one)
    return task


async def words(rig: Rig) -> list[str]:
    return [word for event in await log(rig) if isinstance(event, e.RunSaid) for word in event.text.split()]


async def set_all(rig: Rig, table: Table, **values: object) -> None:
    await rig.store.writer.run(lambda unit: unit.execute(update(table).values(values)))


async def test_a_server_that_stands_further_back_is_told_again_from_there(tmp_path: Path, gate: Path) -> None:
    async with Rig(tmp_path / "home").running() as rig:
        task = await says_two_words(rig, gate)
        await set_all(rig, schema.positions, out_offset=0, decoder=b"")
        await anyio.Path(gate).write_text("")
        assert (await rig.ended(task.id)).state.word is TaskState.DONE
        assert await words(rig) == ["one", "one", "two"]


async def test_an_agent_whose_run_is_held_under_a_newer_fence_is_stopped_and_says_nothing_more(
    tmp_path: Path, gate: Path
) -> None:
    async with Rig(tmp_path / "home").running() as rig:
        task = await says_two_words(rig, gate)
        run = await rig.run_of(task.id)
        home = rig.worker_home.run(run.id)
        assert isinstance(probe(home.process), Alive)
        await set_all(rig, schema.runs, fence=99)
        await anyio.Path(gate).write_text("")
        await eventually_in_loop(lambda: home.order() is None)
        assert await words(rig) == ["one"]
