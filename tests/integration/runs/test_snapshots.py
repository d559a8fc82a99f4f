"""A task that starts from somebody's uncommitted work, wherever its run is."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path

import anyio
import pytest

from podium.engine.commands import OpenTask, retry_task
from podium.git import bundle, snapshot
from podium.git.base import Identity
from podium.git.capture import Leftovers
from podium.git.names import SNAPSHOT
from podium.kernel.errors import NotFound
from podium.kernel.ids import ArtifactId, TaskId
from podium.kernel.nouns import Artifact, Change, Reason, Run, Task
from podium.store import schema
from podium.store.unit import Unit
from podium.testing.rig import Rig

from .conftest import git, script
from .test_way_of_one_run import scripted, started

pytestmark = pytest.mark.anyio

ADDS = {"do": "edit", "path": "a.txt", "old": "dirty", "new": "dirty\nagent"}


async def upload(rig: Rig, content: bytes) -> ArtifactId:
    async def pieces() -> AsyncIterator[bytes]:
        yield content

    artifact_id, size = await rig.store.artifacts.write(pieces())
    noted = Artifact(
        id=artifact_id,
        size=size,
        media_type="application/x-git-bundle",
        name="snapshot.bundle",
        created_at=rig.clock.now(),
    )
    await rig.store.writer.run(lambda unit: unit.artifact(noted, None))
    return artifact_id


async def dirty(rig: Rig, repository: Path, *, complete: bool = False) -> tuple[ArtifactId, str]:
    """(artifact, commit) of a snapshot of the repository, in which `a.txt` says `dirty`."""
    (repository / "a.txt").write_text("hello\ndirty\n")
    by = Identity(name="Me", email="me@localhost")
    leftovers = Leftovers(message="mine", author=by, at=1_700_000_000)
    made = await snapshot.snapshot(rig.git, repository, rig.home / "snap", leftovers)
    out = rig.home / "snap.bundle"
    await bundle.make(rig.git, made.git_dir, None if complete else made.base, made.commit, SNAPSHOT, out)
    return await upload(rig, out.read_bytes()), made.commit


def ask(repository: Path, artifact: str, *steps: dict[str, object]) -> OpenTask:
    prompt = script(*(steps or (ADDS,)))
    return OpenTask(prompt=prompt, agent="scripted", repository=str(repository), snapshot=artifact)


async def result(rig: Rig, task: Task) -> tuple[Change, Run, bytes]:
    done = await rig.ended(task.id)
    assert done.change_id, done.state
    change = await rig.store.writer.run(lambda unit: unit.change(done.change_id))
    diff = await rig.engine.mirrors.diff(change.repository, change.base, change.tip, 1 << 20)
    return change, await rig.run_of(task.id), diff.patch


async def test_the_agent_works_on_the_uncommitted_work_and_the_change_is_only_its_own(tmp_path, repository):
    async with Rig(tmp_path / "home").running() as rig:
        await scripted(rig)
        artifact, commit = await dirty(rig, repository)
        uploads, upload_work = [], rig.upload

        async def counted(path, **fields):
            uploads.append(fields["name"])
            return await upload_work(path, **fields)

        rig.upload = counted
        task = await rig.open(ask(repository, artifact))
        change, run, patch = await result(rig, task)
    assert (run.base_commit, change.base, change.snapshot) == (commit, commit, artifact)
    assert b"+agent" in patch
    assert b"+dirty" not in patch
    assert [name for name in uploads if name.endswith(".bundle")] == [f"{run.id}.bundle"]


async def test_a_snapshot_with_its_whole_history_needs_nothing_of_the_source(tmp_path, repository):
    async with Rig(tmp_path / "home").running() as rig:
        await scripted(rig)
        git(repository, "commit", "-q", "--allow-empty", "-m", "never pushed")
        artifact, commit = await dirty(rig, repository, complete=True)
        elsewhere = tmp_path / "elsewhere"
        git(tmp_path, "clone", "-q", str(repository), str(elsewhere))
        git(elsewhere, "reset", "-q", "--hard", "HEAD~1")
        git(elsewhere, "update-ref", "-d", "refs/remotes/origin/main")
        git(elsewhere, "reflog", "expire", "--expire=now", "--all")
        git(elsewhere, "gc", "-q", "--prune=now")
        change, _, patch = await result(rig, await rig.open(ask(elsewhere, artifact)))
    assert change.base == commit
    assert b"+agent" in patch


async def test_a_retry_and_a_re_run_start_from_the_same_snapshot(tmp_path, repository):
    async with Rig(tmp_path / "home").running() as rig:
        await scripted(rig)
        artifact, commit = await dirty(rig, repository)
        task = await rig.open(ask(repository, artifact, {"do": "hang"}))
        await started(rig, task.id)
        await rig.worker.stop_agents()
        with anyio.fail_after(20):
            while (run := await rig.run_of(task.id)).attempt < 2 or not run.pid:
                await rig.store.ring.wait(rig.store.ring.last_seq, 1)
        assert run.base_commit == commit
        await rig.cancel(task.id)
        await rig.ended(task.id)
        (repository / "a.txt").write_text("hello\nsomething else\n")
        again = await rig.store.writer.run(lambda unit: retry_task(unit, task.id, by="test", ids=rig.ids))
        assert again.snapshot == artifact
        rig.engine.wake()
        await started(rig, again.id)
        assert (await rig.run_of(again.id)).base_commit == commit
        await rig.engine.stop_agents()


@pytest.mark.parametrize("content", [b"no bundle at all", b"# v2 git bundle\n\n"])
async def test_bytes_that_are_no_snapshot_end_the_task_with_the_next_step(tmp_path, repository, content):
    async with Rig(tmp_path / "home").running() as rig:
        await scripted(rig)
        task = await rig.open(ask(repository, await upload(rig, content)))
        done = await rig.ended(task.id)
        run = await rig.run_of(task.id)
    assert (done.state.word, done.state.reason) == ("failed", Reason.REPOSITORY)
    assert "--include-dirty" in run.outcome.detail


async def test_a_snapshot_whose_bytes_are_gone_ends_the_task_and_says_so(tmp_path, repository):
    async with Rig(tmp_path / "home").running() as rig:
        await scripted(rig)
        artifact, _ = await dirty(rig, repository)
        rig.store.artifacts.remove(artifact)
        done = await rig.ended((await rig.open(ask(repository, artifact))).id)
    assert (done.state.word, done.state.reason) == ("failed", Reason.REPOSITORY)


async def test_a_task_that_names_a_snapshot_nobody_sent_is_refused(tmp_path, repository):
    async with Rig(tmp_path / "home").running() as rig:
        await scripted(rig)
        with pytest.raises(NotFound, match="snapshot"):
            await rig.open(ask(repository, "artifact_" + "0" * 64))
        with pytest.raises(Exception, match="repository"):
            await rig.open(OpenTask(prompt="x", agent="scripted", snapshot="artifact_" + "0" * 64))


async def test_retention_keeps_a_snapshot_as_long_as_an_open_task_or_a_change_needs_it(tmp_path, repository):
    async with Rig(tmp_path / "home", capacity=1).running() as rig:
        await scripted(rig)
        artifact, _ = await dirty(rig, repository)
        first = await rig.open(ask(repository, artifact, {"do": "hang"}))
        await started(rig, first.id)
        second = await rig.open(ask(repository, artifact))
        await rig.cancel(second.id)  # its row names the second task, which has ended
        assert await _pruned(rig, artifact) is False
        await rig.cancel(first.id)
        await rig.ended(first.id)
        third = await rig.open(ask(repository, artifact))
        change, _, _ = await result(rig, third)
        assert await _pruned(rig, artifact) is False
        await rig.store.writer.run(lambda unit: _archive(unit, change))
        assert await _pruned(rig, artifact) is True
        with pytest.raises(NotFound, match="snapshot"):
            await rig.store.writer.run(
                lambda unit: retry_task(unit, TaskId(third.id), by="test", ids=rig.ids)
            )


async def _pruned(rig: Rig, artifact: ArtifactId) -> bool:
    await rig.store.prune(keep_events=timedelta(days=1), keep_artifacts=timedelta(seconds=-5))
    try:
        rig.store.artifacts.path(artifact)
    except NotFound:
        return True
    return False


def _archive(unit: Unit, change: Change) -> None:
    table = schema.changes
    unit.execute(table.update().where(table.c.id == change.id).values(state="archived"))
