"""Failures that the fault campaign found, each kept from coming back."""

from __future__ import annotations

import subprocess

import msgspec
import pytest

from podium.bus import messages as m
from podium.engine.diagnose import Issue, WorkerFacts, find_issue
from podium.engine.finish import finish
from podium.engine.leases import refused, welcome
from podium.kernel.nouns import Outcome, Reason
from podium.kernel.states import RunState
from podium.process import layout, procfs
from podium.testing.rig import WORKER, Rig
from podium.worker.home import RunHome

from .conftest import script
from .test_way_of_one_run import scripted, started

pytestmark = pytest.mark.anyio


def test_how_an_agent_ended_is_judged_once_however_often_the_worker_restarts(tmp_path):
    """Killed in `finishing`, the worker judged again and said success of a run recorded as lost."""
    home = RunHome(tmp_path, "run_1")
    home.path.mkdir()
    lost = Outcome(succeeded=False, reason=Reason.KILLED, lost=True)
    home.store_outcome(lost)
    assert RunHome(tmp_path, "run_1").outcome() == lost


async def test_a_run_whose_end_is_recorded_but_not_forgotten_is_neither_refused_nor_lost(tmp_path):
    """Killed before it had forgotten a finished run, the worker was told to drop it as a stranger's."""
    async with Rig(tmp_path / "home").running() as rig:
        await scripted(rig)
        task = await rig.open(_ask(script({"do": "hang"})))
        await started(rig, task.id)
        run = await rig.run_of(task.id)
        held = m.Held(run_id=run.id, fence=run.fence)
        await rig.cancel(task.id)
        await rig.ended(task.id)
        assert await rig.store.writer.run(lambda unit: refused(unit, WORKER, (held,))) == ()
        hello = m.Hello(
            worker_id=WORKER,
            node="n",
            capacity=1,
            version="v",
            isolation="bare",
            free_memory_bytes=0,
            holding=(held,),
        )
        resume, drop, orders = await rig.store.writer.run(lambda unit: welcome(unit, hello, rig.ids))
    assert (drop, orders) == ((), ())
    assert [(entry.run_id, entry.phase) for entry in resume] == [(run.id, "cancelled")]


async def test_what_the_worker_says_at_the_end_decides_even_when_it_had_begun_to_finish_otherwise(tmp_path):
    """Work that git refused on import ended as done without a change."""
    async with Rig(tmp_path / "home").running() as rig:
        await scripted(rig)
        task = await rig.open(_ask(script({"do": "hang"})))
        await started(rig, task.id)
        run = await rig.run_of(task.id)
        refused_work = Outcome(succeeded=False, reason=Reason.WORKSPACE, detail="refused")
        report = m.RunFinished(worker_id=WORKER, run_id=run.id, fence=run.fence, outcome=refused_work)
        assert await rig.store.writer.run(lambda unit: finish(unit, report, None, rig.ids))
        assert (await rig.run_of(task.id)).state.word is RunState.FAILED
        assert (await rig.task(task.id)).state.reason == Reason.WORKSPACE
        await rig.engine.stop_agents()


def _ask(prompt: str):
    from podium.engine.commands import OpenTask

    return msgspec.convert({"prompt": prompt, "agent": "scripted"}, OpenTask)


async def test_a_bundle_that_the_server_lost_is_sent_again(tmp_path, repository):
    """After an older backup had come back, the end of a run was refused for ever."""
    async with Rig(tmp_path / "home").running() as rig:
        await scripted(rig)
        upload, sent = rig.upload, []

        async def lose_the_first(path, **fields):
            artifact = await upload(path, **fields)
            if not sent:
                rig.store.artifacts.remove(artifact)
            sent.append(artifact)
            return artifact

        rig.upload = lose_the_first
        ask = _ask(script({"do": "edit", "path": "b.txt", "write": "x"}))
        task = await rig.open(msgspec.structs.replace(ask, repository=str(repository)))
        assert (await rig.ended(task.id)).change_id
    assert sent[0] == sent[1]


async def test_a_mirror_that_lost_the_base_is_sent_a_full_bundle(tmp_path, repository):
    async with Rig(tmp_path / "home").running() as rig:
        await scripted(rig)

        async def fetches_nothing(repository: str) -> None:
            return

        rig.engine.mirrors.warm = fetches_nothing  # the source is out of the server's reach
        ask = _ask(script({"do": "edit", "path": "b.txt", "write": "x"}))
        task = await rig.open(msgspec.structs.replace(ask, repository=str(repository)))
        done = await rig.ended(task.id)
        change = await rig.store.writer.run(lambda unit: unit.change(done.change_id))
    assert (done.state.word, change.files) == ("done", 1)


def _stillborn(spec) -> None:
    """What a holder leaves that died before its agent was born."""
    spec.run_dir.mkdir(parents=True, exist_ok=True)
    dead = subprocess.Popen(["true"])
    identity = procfs.identity_line(dead.pid)
    dead.wait()
    (spec.run_dir / layout.LOCK).touch()
    (spec.run_dir / layout.HOLDER).write_bytes(identity)


async def test_a_launch_whose_holder_died_before_its_agent_was_born_is_repeated_and_is_no_loss(tmp_path):
    """Three such moments in a row failed a task with `reruns_exhausted`, and no program had ever run."""
    async with Rig(tmp_path / "home").running() as rig:
        await scripted(rig)
        real, stillborn = rig.launcher.launch, []

        async def dies_at_first(spec):
            if len(stillborn) < 3:
                _stillborn(spec)
                stillborn.append(spec)
                return
            await real(spec)

        rig.launcher.launch = dies_at_first
        task = await rig.open(_ask(script({"do": "say", "text": "alive"})))
        done = await rig.ended(task.id)
        run = await rig.run_of(task.id)
    assert (done.state.word, done.reruns, len(stillborn)) == ("done", 0, 3)
    assert run.pid


async def test_launches_that_never_give_birth_end_as_that_and_not_as_a_missing_program(tmp_path):
    """Five of them said `program_missing`, and people installed what was there."""
    async with Rig(tmp_path / "home").running() as rig:
        await scripted(rig)

        async def always_dies(spec):
            _stillborn(spec)

        rig.launcher.launch = always_dies
        task = await rig.open(_ask(script({"do": "say", "text": "never"})))
        done = await rig.ended(task.id)
        run = await rig.run_of(task.id)
    assert (done.state.word, done.state.reason) == ("failed", Reason.LAUNCH_FAILED)
    assert run.outcome is not None
    assert "5 launches" in run.outcome.detail
    issue, explanation, step = find_issue(
        run, WorkerFacts(id=None, connected=True, silent_s=None), None, 1, None
    )
    assert issue is Issue.LAUNCH_FAILED
    assert "nothing has run" in explanation
    assert "podium tasks retry" in step
