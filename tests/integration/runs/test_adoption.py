"""Servers, workers and holders die; agents, work and order do not."""

from __future__ import annotations

import os
import signal

import anyio
import pytest

from podium.bus import messages as m
from podium.engine.commands import OpenTask
from podium.engine.ingest import ingest
from podium.kernel import events as e
from podium.kernel.nouns import Agent
from podium.kernel.states import RunState, TaskState
from podium.process.base import Alive
from podium.process.probe import probe
from podium.testing.rig import SHORT_LEASES, WORKER, Rig
from tests.support import eventually_in_loop

from .conftest import ends, journal, script
from .test_way_of_one_run import log, scripted, started

pytestmark = pytest.mark.anyio
WORK = [
    {"do": "edit", "path": "b.txt", "write": "first"},
    {"do": "commit", "message": "first"},
]


async def test_an_agent_goes_on_while_server_and_worker_are_away_and_is_adopted(tmp_path, repository):
    gate = tmp_path / "gate"
    prompt = script(
        *WORK, {"do": "wait", "file": str(gate)}, {"do": "edit", "path": "c.txt", "write": "last"}
    )
    async with Rig(tmp_path / "home").running() as rig:
        await scripted(rig)
        task = await rig.open(OpenTask(prompt=prompt, agent="scripted", repository=str(repository)))
        await started(rig, task.id)
        before = await rig.run_of(task.id)
    gate.touch()
    async with Rig(tmp_path / "home").running() as rig:
        done = await rig.ended(task.id)
        after = await rig.run_of(task.id)
        events = await log(rig)
    assert done.state.word is TaskState.DONE
    assert (after.id, after.pid, after.attempt) == (before.id, before.pid, 1)
    assert any(isinstance(event, e.RunAdopted) for event in events)
    assert ends(rig) == [(task.id, f"s{number}") for number in range(4)]


async def test_everything_that_ended_while_we_were_away_is_replayed(tmp_path, repository):
    async with Rig(tmp_path / "home").running() as rig:
        await scripted(rig)
        gate = tmp_path / "gate"
        prompt = script({"do": "wait", "file": str(gate)}, *WORK)
        task = await rig.open(OpenTask(prompt=prompt, agent="scripted", repository=str(repository)))
        await started(rig, task.id)
        process = rig.worker_home.run((await rig.run_of(task.id)).id).process
    gate.touch()
    await eventually_in_loop(lambda: not isinstance(probe(process), Alive))
    async with Rig(tmp_path / "home").running() as rig:
        assert (await rig.ended(task.id)).state.word is TaskState.DONE
        texts = [event.call_id for event in await log(rig) if isinstance(event, e.RunToolReturned)]
    assert texts == ["s0.1", "s1.1", "s2.1"]


async def test_a_killed_holder_loses_the_run_and_its_task_resumes_where_the_agent_stopped(
    tmp_path, repository
):
    gate = tmp_path / "gate"
    prompt = script(
        *WORK, {"do": "wait", "file": str(gate)}, {"do": "edit", "path": "c.txt", "write": "last"}
    )
    async with Rig(tmp_path / "home").running() as rig:
        await scripted(rig)
        task = await rig.open(OpenTask(prompt=prompt, agent="scripted", repository=str(repository)))
        with anyio.fail_after(20):
            while len(journal(rig)) < 5:
                await rig.store.ring.wait(rig.store.ring.last_seq, 0.1)
        first = await rig.run_of(task.id)
        state = probe(rig.worker_home.run(first.id).process)
        assert isinstance(state, Alive)
        os.kill(state.holder.pid, signal.SIGKILL)
        gate.touch()
        done = await rig.ended(task.id)
        second = await rig.run_of(task.id)
        change = await rig.store.writer.run(lambda unit: unit.change(done.change_id))
    assert done.state.word is TaskState.DONE
    assert (second.attempt, second.resume_of, second.workspace_of) == (2, first.id, first.id)
    assert done.reruns == 1
    assert sorted(ends(rig)) == [(task.id, f"s{number}") for number in range(4)], "each step ended once"
    assert change.files == 2


async def test_a_task_whose_runs_are_lost_three_times_fails_with_that_reason(tmp_path):
    async with Rig(tmp_path / "home").running() as rig:
        await scripted(rig)
        task = await rig.open(OpenTask(prompt=script({"do": "hang"}), agent="scripted"))
        lost = set()
        with anyio.fail_after(30):
            while len(lost) < 3:
                run = await rig.run_of(task.id)
                state = probe(rig.worker_home.run(run.id).process)
                if run.id not in lost and run.state.word is RunState.RUNNING and isinstance(state, Alive):
                    lost.add(run.id)
                    os.kill(state.holder.pid, signal.SIGKILL)
                await rig.store.ring.wait(rig.store.ring.last_seq, 0.05)
        ended = await rig.ended(task.id)
    assert (ended.state.word, ended.state.reason) == (TaskState.FAILED, "reruns_exhausted")


async def test_a_stale_fence_is_refused_and_changes_nothing(tmp_path):
    async with Rig(tmp_path / "home").running() as rig:
        await scripted(rig)
        task = await rig.open(OpenTask(prompt=script({"do": "hang"}), agent="scripted"))
        await started(rig, task.id)
        run = await rig.run_of(task.id)
        said = e.RunSaid(task_id=task.id, run_id=run.id, text="from the past")
        late = m.RunReport(run_id=run.id, fence=run.fence - 1, from_offset=0, offset=99, events=(said,))
        receipts, _ = await rig.store.writer.run(lambda unit: ingest(unit, WORKER, [late], rig.ids))
        assert [receipt.verdict for receipt in receipts] == ["refused"]
        assert said not in await log(rig)
        await rig.cancel(task.id)
        await rig.ended(task.id)


async def test_a_doubled_report_is_told_where_the_server_stands_and_recorded_once(tmp_path):
    async with Rig(tmp_path / "home").running() as rig:
        await scripted(rig)
        task = await rig.open(OpenTask(prompt=script({"do": "hang"}), agent="scripted"))
        await started(rig, task.id)
        run = await rig.run_of(task.id)
        said = e.RunSaid(task_id=task.id, run_id=run.id, text="again")
        old = m.RunReport(run_id=run.id, fence=run.fence, from_offset=0, offset=10, events=(said,))
        (receipt, *_), _ = await rig.store.writer.run(lambda unit: ingest(unit, WORKER, [old], rig.ids))
        assert receipt.verdict == "behind"
        assert receipt.offset > 0
        assert said not in await log(rig)
        await rig.cancel(task.id)
        await rig.ended(task.id)


async def test_a_worker_that_is_gone_beyond_its_lease_loses_its_runs(tmp_path):
    async with Rig(tmp_path / "home").running() as rig:
        await scripted(rig)
        task = await rig.open(OpenTask(prompt=script({"do": "hang"}), agent="scripted"))
        await started(rig, task.id)
        first = await rig.run_of(task.id)
    # A server without that worker: the lease ends after one full TTL.
    alone = Rig(tmp_path / "home", settings=SHORT_LEASES)
    await alone.store.open("rig")
    async with anyio.create_task_group() as tasks:
        await tasks.start(alone.engine.run)
        with anyio.fail_after(10):
            while (await alone.task(task.id)).reruns == 0:
                await alone.store.ring.wait(alone.store.ring.last_seq, 1)
        tasks.cancel_scope.cancel()
    await alone.store.close()
    # The worker comes back: its run is not its to hold any more, the agent is stopped, the task goes on.
    async with Rig(tmp_path / "home").running() as rig:
        with anyio.fail_after(20):
            while (await rig.run_of(task.id)).state.word is not RunState.RUNNING:
                await rig.store.ring.wait(rig.store.ring.last_seq, 1)
            await eventually_in_loop(lambda: not rig.worker_home.run(first.id).path.exists())
        await rig.cancel(task.id)
        assert (await rig.ended(task.id)).state.word is TaskState.CANCELLED


async def test_stopping_agents_leaves_no_process_and_the_next_start_resumes_them(tmp_path):
    async with Rig(tmp_path / "home").running() as rig:
        await rig.define(Agent(name="scripted", harness="scripted"))
        gate = tmp_path / "gate"
        task = await rig.open(
            OpenTask(prompt=script({"do": "fork"}, {"do": "wait", "file": str(gate)}), agent="scripted")
        )
        await started(rig, task.id)
        await rig.engine.stop_agents()
        process = rig.worker_home.run((await rig.run_of(task.id)).id).process
        assert not isinstance(probe(process), Alive)
    gate.touch()
    async with Rig(tmp_path / "home").running() as rig:
        assert (await rig.ended(task.id)).state.word is TaskState.DONE
