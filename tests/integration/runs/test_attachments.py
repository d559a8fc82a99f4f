"""Files that a task is given: beside the workspace for its agent, never in its work."""

from __future__ import annotations

import hashlib
import os
import signal
from collections.abc import AsyncIterator

import anyio
import pytest

from podium.engine.attachments import attachments_of
from podium.engine.commands import OpenTask, retry_task
from podium.kernel import events as e
from podium.kernel.errors import InvalidRequest, NotFound, TooLarge
from podium.kernel.ids import ArtifactId
from podium.kernel.nouns import MAX_ATTACHMENT_BYTES, Artifact, Attach
from podium.kernel.states import TaskState
from podium.process.base import Alive
from podium.process.probe import probe
from podium.testing.rig import Rig

from .conftest import script
from .test_way_of_one_run import log, scripted

pytestmark = pytest.mark.anyio
READ = {"id": "read", "do": "run", "argv": ["sh", "-c", 'cat "$PODIUM_ATTACHMENTS"/*.txt']}


async def stored(rig: Rig, data: bytes, *, size: int | None = None) -> ArtifactId:
    async def pieces() -> AsyncIterator[bytes]:
        yield data

    artifact_id, written = await rig.store.artifacts.write(pieces())
    artifact = Artifact(
        id=artifact_id,
        size=written if size is None else size,
        media_type="text/plain",
        name="file",
        created_at=rig.clock.now(),
    )
    await rig.store.writer.run(lambda unit: unit.artifact(artifact, None))
    return artifact_id


def outputs(events: list[e.Event]) -> list[str]:
    return [event.output for event in events if isinstance(event, e.RunToolReturned)]


async def test_an_agent_reads_what_its_task_was_given_and_it_is_no_part_of_the_change(tmp_path, repository):
    async with Rig(tmp_path / "home").running() as rig:
        await scripted(rig)
        given = (
            Attach(name="notes.txt", artifact=await stored(rig, b"a plan\n")),
            Attach(name="Bild äöü.png", artifact=await stored(rig, b"\x89PNG")),
        )
        edit = {"id": "edit", "do": "edit", "path": "b.txt", "write": "x"}
        ask = OpenTask(
            prompt=script(READ, edit), agent="scripted", repository=str(repository), attachments=given
        )
        task = await rig.open(ask)
        assert [(one.name, one.size) for one in task.attachments] == [("notes.txt", 7), ("Bild äöü.png", 4)]
        done = await rig.ended(task.id)
        assert done.state.word is TaskState.DONE
        assert "a plan\nexit code 0" in outputs(await log(rig))
        change = await rig.store.writer.run(lambda unit: unit.change(done.change_id))
        assert change.files == 1


async def test_a_re_run_and_a_retry_have_the_files_too(tmp_path):
    async with Rig(tmp_path / "home").running() as rig:
        await scripted(rig)
        gate = tmp_path / "gate"
        wait = {"id": "wait", "do": "wait", "file": str(gate)}
        given = (Attach(name="notes.txt", artifact=await stored(rig, b"a plan\n")),)
        task = await rig.open(OpenTask(prompt=script(wait, READ), agent="scripted", attachments=given))
        with anyio.fail_after(20):
            while not any(isinstance(event, e.RunToolCalled) for event in await log(rig)):
                await rig.store.ring.wait(rig.store.ring.last_seq, 1)
        state = probe(rig.worker_home.run((await rig.run_of(task.id)).id).process)
        assert isinstance(state, Alive)
        os.kill(state.holder.pid, signal.SIGKILL)
        gate.touch()
        done = await rig.ended(task.id)
        assert (done.state.word, done.reruns) == (TaskState.DONE, 1)
        retried = await rig.store.writer.run(lambda unit: retry_task(unit, task.id, by="test", ids=rig.ids))
        rig.engine.wake()
        assert (await rig.ended(retried.id)).state.word is TaskState.DONE
        assert outputs(await log(rig)).count("a plan\nexit code 0") == 2


async def test_what_open_tasks_were_given_is_kept(tmp_path):
    async with Rig(tmp_path / "home").running() as rig:
        await scripted(rig)
        given = (Attach(name="notes.txt", artifact=await stored(rig, b"a plan\n")),)
        wait = {"id": "wait", "do": "wait", "file": str(tmp_path / "gate")}
        task = await rig.open(OpenTask(prompt=script(wait, READ), agent="scripted", attachments=given))
        nothing = rig.settings.keep_events * 0
        await rig.store.prune(keep_events=nothing, keep_artifacts=nothing)
        (tmp_path / "gate").touch()
        assert (await rig.ended(task.id)).state.word is TaskState.DONE


@pytest.mark.parametrize("name", ["a/b", "..", ".hidden", "a\0b", "a\nb", "a\\b"])
async def test_what_is_no_name_of_a_file_is_refused(tmp_path, name):
    async with Rig(tmp_path / "home").running() as rig:
        artifact = await stored(rig, b"x")
        with pytest.raises(InvalidRequest, match="no name for a file"):
            await rig.store.writer.run(
                lambda unit: attachments_of(unit, (Attach(name=name, artifact=artifact),))
            )


async def test_two_of_a_name_absent_bytes_and_large_ones_are_refused(tmp_path):
    async with Rig(tmp_path / "home").running() as rig:
        here, large = await stored(rig, b"x"), await stored(rig, b"y", size=MAX_ATTACHMENT_BYTES + 1)
        absent = f"artifact_{hashlib.sha256(b'z').hexdigest()}"
        for names, artifact, error in (
            (("a", "A"), here, InvalidRequest),
            (("a",), absent, NotFound),
            (("a",), large, TooLarge),
            (("a",), "task_1", InvalidRequest),
        ):
            asked = tuple(Attach(name=name, artifact=artifact) for name in names)
            with pytest.raises(error):
                await rig.store.writer.run(lambda unit, a=asked: attachments_of(unit, a))
