"""From a task to its change, and every way it can end."""

from __future__ import annotations

import json
import os
import shutil
import sys

import anyio
import pytest

from podium.engine.commands import CancelTask, OpenTask, cancel_task
from podium.kernel import events as e
from podium.kernel.nouns import Agent, Check, Limits, Reason
from podium.kernel.states import RunState, TaskState
from podium.store import queries
from podium.testing.rig import Rig

from .conftest import ends, git, script

pytestmark = pytest.mark.anyio
BYE = Check(name="says-bye", argv=("grep", "-q", "bye", "a.txt"))
EDIT = {"do": "edit", "path": "a.txt", "old": "hello", "new": "bye"}


async def scripted(rig: Rig, **fields) -> None:
    await rig.define(Agent(name="scripted", harness="scripted", **fields))


async def log(rig: Rig) -> list[e.Event]:
    page, _ = await rig.store.reader.run(lambda c: queries.list_events(c, after=0, limit=5000))
    return [e.msgspec.json.decode(line, type=e.Recorded).event for line in page]


async def started(rig: Rig, task_id: str) -> None:
    """Until the agent has said that it waits."""
    with anyio.fail_after(20):
        while not any(
            isinstance(event, e.RunToolCalled) and event.task_id == task_id for event in await log(rig)
        ):
            await rig.store.ring.wait(rig.store.ring.last_seq, 1)


async def test_a_task_ends_done_with_a_change_whose_checks_passed(tmp_path, repository):
    async with Rig(tmp_path / "home").running() as rig:
        await scripted(rig)
        prompt = script(
            EDIT,
            {"do": "commit", "message": "say bye"},
            {"do": "usage", "input_tokens": 7, "output_tokens": 2},
        )
        task = await rig.open(
            OpenTask(prompt=prompt, agent="scripted", repository=str(repository), checks=(BYE,))
        )
        done = await rig.ended(task.id)
        change = await rig.store.writer.run(lambda unit: unit.change(done.change_id))
        run = await rig.run_of(task.id)
    assert (done.state.word, done.status.word) == (TaskState.DONE, "review")
    assert [(check.name, check.verdict, check.exit_code) for check in change.checks] == [
        ("says-bye", "pass", 0)
    ]
    assert (change.files, change.additions, change.deletions, change.leftover) == (1, 1, 1, False)
    assert (run.usage.input_tokens, run.usage.cost_usd) == (7, None)
    assert run.pid
    assert run.isolation == "bare"


async def test_what_the_agent_left_uncommitted_is_in_the_change(tmp_path, repository):
    async with Rig(tmp_path / "home").running() as rig:
        await scripted(rig)
        task = await rig.open(OpenTask(prompt=script(EDIT), agent="scripted", repository=str(repository)))
        done = await rig.ended(task.id)
        change = await rig.store.writer.run(lambda unit: unit.change(done.change_id))
        diff = await rig.engine.mirrors.diff(str(repository), change.base, change.tip, 10_000)
    assert change.leftover
    assert b"+bye" in diff.patch


async def test_a_failing_check_fails_the_task_and_keeps_its_change(tmp_path, repository):
    async with Rig(tmp_path / "home").running() as rig:
        await scripted(rig)
        prompt = script({"do": "edit", "path": "b.txt", "write": "x"})
        task = await rig.open(
            OpenTask(prompt=prompt, agent="scripted", repository=str(repository), checks=(BYE,))
        )
        ended = await rig.ended(task.id)
    assert (ended.state.word, ended.state.reason) == (TaskState.FAILED, Reason.CHECKS_FAILED)
    assert ended.change_id


async def test_a_check_that_never_ends_is_killed_and_cannot_tell(tmp_path, repository):
    hang = Check(name="hangs", argv=("sh", "-c", "setsid sleep 300 & sleep 300"), timeout_s=0.5)
    async with Rig(tmp_path / "home").running() as rig:
        await scripted(rig)
        task = await rig.open(
            OpenTask(prompt=script(EDIT), agent="scripted", repository=str(repository), checks=(hang,))
        )
        ended = await rig.ended(task.id)
        run = await rig.run_of(task.id)
    assert ended.state.reason == Reason.CHECKS_CANNOT_TELL
    assert [check.verdict for check in run.checks] == ["cannot_tell"]


async def test_any_command_is_an_agent_and_an_empty_directory_a_workspace(tmp_path):
    argv = json.dumps([sys.executable, "-c", "import sys; print(sys.argv[1])", "{prompt}"])
    async with Rig(tmp_path / "home").running() as rig:
        await rig.define(Agent(name="echo", harness="command", options={"argv": argv}))
        task = await rig.open(OpenTask(prompt="; rm -rf $(pwd) #", agent="echo"))
        ended = await rig.ended(task.id)
        said = [event.text for event in await log(rig) if isinstance(event, e.RunSaid)]
    assert ended.state.word is TaskState.DONE
    assert ended.change_id is None
    assert "\n".join(said).startswith("; rm -rf $(pwd) #")


async def test_an_agent_that_fails_fails_its_task_with_its_reason(tmp_path, repository):
    async with Rig(tmp_path / "home").running() as rig:
        await scripted(rig)
        prompt = script({"do": "fail", "message": "cannot"})
        ended = await rig.ended(
            (await rig.open(OpenTask(prompt=prompt, agent="scripted", repository=str(repository)))).id
        )
    assert (ended.state.word, ended.state.reason) == (TaskState.FAILED, Reason.AGENT_FAILED)
    assert "cannot" in ended.state.evidence.detail


@pytest.mark.parametrize(("name", "make"), [("missing", None), ("plain", "mkdir"), ("empty", "init")])
async def test_an_unusable_repository_ends_the_task_failed_with_a_typed_reason(tmp_path, name, make):
    path = tmp_path / name
    if make:
        path.mkdir()
    if make == "init":
        git(path, "init", "-q")
    async with Rig(tmp_path / "home").running() as rig:
        await scripted(rig)
        ended = await rig.ended(
            (await rig.open(OpenTask(prompt=script(EDIT), agent="scripted", repository=str(path)))).id
        )
    assert (ended.state.word, ended.state.reason) == (TaskState.FAILED, Reason.REPOSITORY)


async def test_cancelling_a_queued_task_ends_it_at_once(tmp_path):
    async with Rig(tmp_path / "home", capacity=1).running() as rig:
        await scripted(rig)
        first = await rig.open(OpenTask(prompt=script({"do": "hang"}), agent="scripted"))
        await started(rig, first.id)
        second = await rig.open(OpenTask(prompt=script({"do": "hang"}), agent="scripted"))
        assert (await rig.cancel(second.id)).state.word is TaskState.CANCELLED
        await rig.cancel(first.id)
        assert (await rig.ended(first.id)).state.word is TaskState.CANCELLED


@pytest.mark.parametrize("ignore", [[], ["interrupt"], ["interrupt", "term", "eof"]])
async def test_cancelling_a_running_task_stops_its_agent_however_it_resists(tmp_path, ignore):
    async with Rig(tmp_path / "home").running() as rig:
        await scripted(rig, limits=Limits(grace_s=0.3))
        task = await rig.open(
            OpenTask(prompt=script({"do": "fork"}, {"do": "hang", "ignore": ignore}), agent="scripted")
        )
        with anyio.fail_after(20):
            while not [
                event
                for event in await log(rig)
                if isinstance(event, e.RunToolCalled) and event.name == "hang"
            ]:
                await rig.store.ring.wait(rig.store.ring.last_seq, 1)
        await rig.cancel(task.id)
        ended = await rig.ended(task.id)
        run = await rig.run_of(task.id)
    assert (ended.state.word, run.state.word) == (TaskState.CANCELLED, RunState.CANCELLED)


async def test_a_completion_after_the_cancel_never_overwrites_it(tmp_path, repository):
    """The failure of three of the five systems before us: cancelled, then stored as completed."""
    gate = tmp_path / "gate"
    async with Rig(tmp_path / "home").running() as rig:
        await scripted(rig)
        prompt = script(EDIT, {"do": "wait", "file": str(gate)})
        task = await rig.open(OpenTask(prompt=prompt, agent="scripted", repository=str(repository)))
        await started(rig, task.id)
        # Only the intent is stored: the worker is not told, and the agent succeeds.
        await rig.store.writer.run(lambda unit: cancel_task(unit, task.id, CancelTask(), by="t", ids=rig.ids))
        gate.touch()
        ended = await rig.ended(task.id)
        run = await rig.run_of(task.id)
    assert (ended.state.word, run.state.word) == (TaskState.CANCELLED, RunState.CANCELLED)
    assert ended.change_id, "what it had done is kept"


async def test_six_tasks_and_three_slots_never_run_four_at_once(tmp_path):
    """Factory started 4 of 6 with 3 slots and failed 2."""
    async with Rig(tmp_path / "home", capacity=3).running() as rig:
        await scripted(rig)
        tasks = [
            await rig.open(OpenTask(prompt=script({"do": "wait", "duration_ms": 100}), agent="scripted"))
            for _ in range(6)
        ]
        for task in tasks:
            assert (await rig.ended(task.id)).state.word is TaskState.DONE
        running = peak = 0
        for event in await log(rig):
            running += isinstance(event, e.RunLeased) - isinstance(event, e.RunSucceeded)
            peak = max(peak, running)
    assert peak == 3


async def test_twenty_short_tasks_one_after_the_other_all_end_done(tmp_path):
    """Hurlicane left 4 of 20 jobs of 0.2 s stuck for ever."""
    async with Rig(tmp_path / "home").running() as rig:
        await scripted(rig)
        for _ in range(20):
            task = await rig.open(OpenTask(prompt=script({"do": "say", "text": "hi"}), agent="scripted"))
            assert (await rig.ended(task.id)).state.word is TaskState.DONE


async def test_a_higher_priority_goes_first_then_age_decides(tmp_path):
    async with Rig(tmp_path / "home", capacity=1).running() as rig:
        await scripted(rig)
        hold = await rig.open(OpenTask(prompt=script({"do": "wait", "duration_ms": 300}), agent="scripted"))
        await started(rig, hold.id)
        order = [
            await rig.open(
                OpenTask(prompt=script({"do": "say", "text": "x"}), agent="scripted", priority=priority)
            )
            for priority in (0, -5, 9, 0)
        ]
        for task in order:
            await rig.ended(task.id)
        leased = [event.task_id for event in await log(rig) if isinstance(event, e.RunLeased)]
    assert leased == [hold.id, order[2].id, order[0].id, order[3].id, order[1].id]


@pytest.mark.parametrize("what", ["deleted", "a symlink", "unmounted"])
async def test_a_workspace_gone_mid_run_ends_the_run_and_touches_nothing_else(tmp_path, repository, what):
    if what == "unmounted" and os.geteuid() != 0:
        pytest.skip("needs root to mount something over a workspace")
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "precious").write_text("x")
    async with Rig(tmp_path / "home").running() as rig:
        await scripted(rig)
        gate = tmp_path / "gate"
        task = await rig.open(
            OpenTask(
                prompt=script({"do": "wait", "file": str(gate)}), agent="scripted", repository=str(repository)
            )
        )
        await started(rig, task.id)
        run = await rig.run_of(task.id)
        tree = rig.worker_home.workspace(run.id)
        if what == "unmounted":  # an empty directory is what is seen there then
            await anyio.run_process(["mount", "-t", "tmpfs", "none", str(tree.parent)])
        else:
            shutil.rmtree(tree)
        if what == "a symlink":
            tree.symlink_to(outside)
        gate.touch()
        try:
            ended = await rig.ended(task.id)
            run = await rig.run_of(task.id)
            again = await rig.open(
                OpenTask(prompt=script(EDIT), agent="scripted", repository=str(repository))
            )
            repeated = await rig.ended(again.id)
        finally:
            if what == "unmounted":
                await anyio.run_process(["umount", "-l", str(tree.parent)])
    assert (ended.state.word, ended.change_id) == (TaskState.FAILED, None)
    assert (run.state.word, run.state.reason) == (RunState.FAILED, Reason.WORKSPACE)
    assert (repeated.state.word, bool(repeated.change_id)) == (TaskState.DONE, True)
    assert [path.name for path in outside.iterdir()] == ["precious"]
    assert (outside / "precious").read_text() == "x"


async def test_an_agent_that_is_silent_too_long_is_stopped_with_that_reason(tmp_path):
    async with Rig(tmp_path / "home").running() as rig:
        await scripted(rig, limits=Limits(idle_s=0.3, grace_s=0.2))
        ended = await rig.ended(
            (await rig.open(OpenTask(prompt=script({"do": "hang"}), agent="scripted"))).id
        )
    assert (ended.state.word, ended.state.reason) == (TaskState.FAILED, Reason.LIMIT_IDLE)


async def test_an_agent_that_floods_its_output_is_stopped_at_its_limit(tmp_path):
    async with Rig(tmp_path / "home").running() as rig:
        await scripted(rig, limits=Limits(output_bytes=200_000, grace_s=0.2))
        flood = script(
            {"do": "flood", "kind": "lines", "lines": 100_000, "bytes_per_line": 100}, {"do": "hang"}
        )
        ended = await rig.ended((await rig.open(OpenTask(prompt=flood, agent="scripted"))).id)
    assert (ended.state.word, ended.state.reason) == (TaskState.FAILED, Reason.LIMIT_OUTPUT)


async def test_each_step_was_done_once_by_the_agents_own_record(tmp_path, repository):
    async with Rig(tmp_path / "home").running() as rig:
        await scripted(rig)
        task = await rig.open(
            OpenTask(
                prompt=script(EDIT, {"do": "commit", "message": "m"}),
                agent="scripted",
                repository=str(repository),
            )
        )
        await rig.ended(task.id)
        assert ends(rig) == [(task.id, "s0"), (task.id, "s1")]
