"""Claude Code as a task of a real server and worker."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import anyio
import pytest

from podium.engine.commands import OpenTask
from podium.kernel import events as e
from podium.kernel.nouns import Agent, Check, Task
from podium.kernel.states import TaskState
from podium.store import queries
from podium.testing.rig import Rig
from tests.agents.driving import playing, written_down

pytestmark = [pytest.mark.anyio, pytest.mark.timeout(900)]  # the first test may install the CLI
ENDS_WITHIN_S = 90.0
BYE = Check(name="says-bye", argv=("grep", "-q", "bye", "a.txt"))
MEND: dict[str, Any] = {"tool": "edit", "input": {"path": "a.txt", "old": "hello", "new": "bye"}}
LOOK: dict[str, Any] = {"tool": "read", "input": {"path": "a.txt"}}


async def opened(rig: Rig, claude: Path, prompt: str, repository: Path) -> Task:
    await rig.define(Agent(name="claude", harness="claude_code", options={"program": str(claude)}))
    return await rig.open(OpenTask(prompt=prompt, repository=str(repository), checks=(BYE,)))


async def log(rig: Rig) -> list[e.Event]:
    page, _ = await rig.store.reader.run(lambda c: queries.list_events(c, after=0, limit=5000))
    return [e.msgspec.json.decode(line, type=e.Recorded).event for line in page]


async def until(rig: Rig, seen: Callable[[e.Event], bool]) -> None:
    with anyio.fail_after(ENDS_WITHIN_S):
        while not any(seen(event) for event in await log(rig)):
            await rig.store.ring.wait(rig.store.ring.last_seq, 1)


async def test_a_task_ends_done_with_a_change_whose_check_passed(tmp_path, repository, claude, login):
    prompt = playing({"calls": [LOOK]}, {"calls": [MEND]}, {"say": "It says bye."})
    async with Rig(tmp_path / "home").running() as rig:
        task = await opened(rig, claude, prompt, repository)
        done = await rig.ended(task.id, timeout_s=ENDS_WITHIN_S)
        change = await rig.store.writer.run(lambda unit: unit.change(done.change_id))
        run = await rig.run_of(task.id)
    assert (done.state.word, done.status.word) == (TaskState.DONE, "review")
    assert [(check.name, check.verdict) for check in change.checks] == [("says-bye", "pass")]
    assert change.leftover
    assert run.usage.output_tokens == 150
    assert run.usage.cost_usd


async def test_a_killed_run_is_resumed_in_its_conversation(tmp_path, repository, claude, login):
    prompt = playing({"calls": [LOOK]}, {"delay_ms": 4000, "calls": [MEND]}, {"say": "It says bye."})
    async with Rig(tmp_path / "home").running() as rig:
        task = await opened(rig, claude, prompt, repository)
        await until(rig, lambda event: isinstance(event, e.RunToolReturned))
        await anyio.to_thread.run_sync(written_down, tmp_path / "config", "tool_result")
        first = await rig.run_of(task.id)
        os.kill(first.pid, signal.SIGKILL)
        done = await rig.ended(task.id, timeout_s=ENDS_WITHIN_S)
        second = await rig.run_of(task.id)
        called = [event.name for event in await log(rig) if isinstance(event, e.RunToolCalled)]
    assert done.state.word is TaskState.DONE, done.state
    assert second.conversation_id == first.conversation_id
    assert second.resume_of == first.id
    assert called == ["Read", "Edit"], "a call of the first run was made again"


async def test_a_run_goes_on_while_server_and_worker_are_away(tmp_path, repository, claude, login):
    prompt = playing({"calls": [LOOK]}, {"delay_ms": 1500, "calls": [MEND]}, {"say": "It says bye."})
    async with Rig(tmp_path / "home").running() as rig:
        task = await opened(rig, claude, prompt, repository)
        await until(rig, lambda event: isinstance(event, e.RunToolReturned))
        before = await rig.run_of(task.id)
    async with Rig(tmp_path / "home").running() as rig:
        done = await rig.ended(task.id, timeout_s=ENDS_WITHIN_S)
        after = await rig.run_of(task.id)
    assert done.state.word is TaskState.DONE
    assert (after.id, after.pid, after.attempt) == (before.id, before.pid, 1)
