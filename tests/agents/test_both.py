"""Claude Code and Codex through one server and worker: asking, dying, and many at once."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import anyio
import pytest

from podium.engine.commands import OpenTask
from podium.kernel import events as e
from podium.kernel.inquiry import Decision
from podium.kernel.nouns import Agent, Check, Permissions, Task
from podium.kernel.states import InquiryState, TaskState
from podium.testing.rig import Rig
from tests.agents.driving import escalated, playing, shell
from tests.agents.test_through_the_worker import log
from tests.integration.runs.test_conversations import an_open_one, answer, inquiries, kill_holder

pytestmark = [pytest.mark.anyio, pytest.mark.timeout(900)]
ENDS_WITHIN_S = 240.0
"""24 programs start on two cores, each of several hundred MB."""
MANY = 12
MADE = Check(name="made", argv=("test", "-s", "made.txt"))
COMMAND = "echo made > made.txt"
MAKE: dict[str, dict[str, Any]] = {
    "claude": {"calls": [shell(COMMAND)]},
    "codex": {"calls": [escalated(COMMAND)]},
}
"""The turn in which an agent that has to ask makes what is checked."""
SAY: dict[str, Any] = {"say": "Made."}


async def agents(rig: Rig, claude: Path, codex: Path, permissions: Permissions) -> None:
    for name, harness, program in (("claude", "claude_code", claude), ("codex", "codex", codex)):
        options = {"program": str(program)}
        env = ("SIM_API_KEY",) if name == "codex" else ()
        agent = Agent(name=name, harness=harness, options=options, permissions=permissions, env=env)
        await rig.define(agent)


async def making(rig: Rig, name: str, repository: Path, *turns: dict[str, Any]) -> Task:
    prompt = playing(*(turns or (MAKE[name], SAY)))
    return await rig.open(OpenTask(prompt=prompt, agent=name, repository=str(repository), checks=(MADE,)))


@pytest.mark.parametrize("name", ["claude", "codex"])
async def test_what_is_asked_before_a_restart_is_answered_after_it_by_either(
    tmp_path, repository, claude, codex_program, users, name
):
    async with Rig(tmp_path / "home").running() as rig:
        await agents(rig, claude, codex_program, Permissions.ASK)
        task = await making(rig, name, repository)
        asked = await an_open_one(rig)
        assert "made.txt" in asked.effect.command
        before = await rig.run_of(task.id)
    async with Rig(tmp_path / "home").running() as rig:
        await answer(rig, await an_open_one(rig), Decision.ALLOW)
        done = await rig.ended(task.id, timeout_s=ENDS_WITHIN_S)
        after = await rig.run_of(task.id)
    assert done.state.word is TaskState.DONE, done.state
    assert (after.id, after.pid) == (before.id, before.pid)


@pytest.mark.parametrize("name", ["claude", "codex"])
async def test_a_denied_command_is_not_run_by_either(
    tmp_path, repository, claude, codex_program, users, name
):
    async with Rig(tmp_path / "home").running() as rig:
        await agents(rig, claude, codex_program, Permissions.ASK)
        task = await making(rig, name, repository)
        await answer(rig, await an_open_one(rig), Decision.DENY)
        failed = await rig.ended(task.id, timeout_s=ENDS_WITHIN_S)
    assert failed.change_id is None


@pytest.mark.parametrize("name", ["claude", "codex"])
async def test_the_death_of_a_holder_while_it_asks_loses_and_doubles_nothing(
    tmp_path, repository, claude, codex_program, users, name
):
    make = MAKE[name]
    # Claude is told that it may not, and says so. Codex ends with its input; whether it has written its call
    # down by then, or even asked the model once more, only the machine knows: so it makes it thrice.
    turns = (make, {"say": "I may not."}, make, SAY) if name == "claude" else (make, make, make, SAY)
    async with Rig(tmp_path / "home").running() as rig:
        await agents(rig, claude, codex_program, Permissions.ASK)
        task = await making(rig, name, repository, *turns)
        first = await an_open_one(rig)
        kill_holder(rig, first.run_id)
        with anyio.fail_after(ENDS_WITHIN_S):
            while (await rig.task(task.id)).state.word not in (TaskState.DONE, TaskState.FAILED):
                for one in await inquiries(rig):
                    if one.state.word is InquiryState.OPEN and one.run_id != first.run_id:
                        await answer(rig, one, Decision.ALLOW)
                await rig.store.ring.wait(rig.store.ring.last_seq, 0.5)
        done = await rig.task(task.id)
    assert done.state.word is TaskState.DONE, done.state
    assert done.reruns == 1


async def test_twelve_of_each_work_at_once_and_all_complete(
    tmp_path, repository, claude, codex_program, users
):
    async with Rig(tmp_path / "home", capacity=2 * MANY).running() as rig:
        await agents(rig, claude, codex_program, Permissions.FULL)
        turns = ({"calls": [shell(COMMAND)]}, SAY)  # with `full` nothing is asked
        tasks = [
            await making(rig, name, repository, *turns) for _ in range(MANY) for name in ("claude", "codex")
        ]
        ended = [await rig.ended(task.id, timeout_s=ENDS_WITHIN_S) for task in tasks]
        started = [event for event in await log(rig) if isinstance(event, e.RunStarted)]
    assert [task.state.word for task in ended] == [TaskState.DONE] * (2 * MANY)
    assert len(started) == 2 * MANY, "none was lost and run again"
