"""The typed client against a real server: nouns back, errors as classes, events across broken connections."""

from __future__ import annotations

import hashlib
import os
import queue
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import anyio
import anyio.to_thread
import pytest

from podium.client.api import Client
from podium.client.blobs import put_artifact
from podium.client.home import ServerFile, Target, write_server_file
from podium.kernel.errors import (
    Conflict,
    CursorExpired,
    InvalidRequest,
    NotFound,
    Timeout,
    Unauthorized,
    Unavailable,
)
from podium.kernel.states import TaskState
from podium.store.retention import prune_events
from tests.integration.gateway.serving import Serving, serving

pytestmark = pytest.mark.anyio
in_thread = anyio.to_thread.run_sync


@pytest.fixture
def client(rig: Serving) -> Iterator[Client]:
    write_server_file(rig.home, ServerFile(url=rig.url, pid=os.getpid()))
    with Client.from_home(rig.home) as made:
        yield made


async def test_a_task_goes_its_way_in_structs(client: Client) -> None:
    task = await in_thread(lambda: client.open_task("mend it", agent="claude", priority=2, key="k"))
    again = await in_thread(lambda: client.open_task("mend it", agent="claude", priority=2, key="k"))
    assert again == task
    assert task.state.word is TaskState.QUEUED
    assert (await in_thread(client.task, task.id)).prompt == "mend it"
    page = await in_thread(lambda: client.tasks(limit=1, status="queued"))
    assert (page.items, page.next) == ((task,), None)
    run = await in_thread(client.run, task.run_id)
    assert (await in_thread(lambda: client.runs(task=task.id, only_open=True))).items == (run,)
    assert (await in_thread(client.diagnose, run.id))["issue"] == "no_worker"
    ended = await in_thread(client.cancel_task, task.id, "enough")
    assert (await in_thread(client.wait, task.id, 5.0)).state == ended.state
    assert (await in_thread(client.retry_task, task.id)).retry_of == task.id


async def test_projects_agents_workers_and_status(client: Client) -> None:
    project = await in_thread(lambda: client.add_project("shop", max_running=3))
    assert await in_thread(client.project, "shop") == project
    assert (await in_thread(client.projects)).items == (project,)
    await in_thread(client.remove_project, "shop")
    agent = await in_thread(lambda: client.define_agent("helper", harness="scripted"))
    assert await in_thread(client.agent, "helper") == agent
    await in_thread(client.remove_agent, "helper")
    assert [found.name for found in (await in_thread(client.agents)).items] == ["claude"]
    assert (await in_thread(client.workers)).items == ()
    assert (await in_thread(client.changes)).items == ()
    assert (await in_thread(client.status)).runs == {}


async def test_errors_are_raised_as_their_classes(client: Client, rig: Serving) -> None:
    absent = "task_" + "0" * 26
    thief = Client(Target(url=rig.url, token="wrong"))
    nobody = Client(Target(url="http://127.0.0.1:1", token="x"))
    asks: list[tuple[type[Exception], Any]] = [
        (NotFound, lambda: client.task(absent)),
        (NotFound, lambda: client.task("../status")),
        (NotFound, lambda: client.open_task("x", agent="nobody")),
        (InvalidRequest, lambda: client.open_task("")),
        (InvalidRequest, lambda: client.tasks(status="no such word")),
        (InvalidRequest, lambda: client.event_page(after="rubbish")),
        (Conflict, lambda: client.retry_task(client.open_task("x").id)),
        (Unauthorized, thief.status),
        (Unavailable, nobody.status),
    ]
    for kind, ask in asks:
        with pytest.raises(kind):
            await in_thread(ask)
    thief.close()
    nobody.close()


async def test_a_wait_that_is_too_short_is_a_timeout_with_the_status(client: Client) -> None:
    task = await in_thread(client.open_task, "x")
    with pytest.raises(Timeout) as ended:
        await in_thread(client.wait, task.id, 0.05)
    assert ended.value.details == {"status": "queued"}


async def test_uploads_are_verified_repeatable_and_come_back(client: Client, rig: Serving) -> None:
    path, server = rig.home / "blob", Target(url=rig.url, token=rig.tokens.worker)
    path.write_bytes(os.urandom(3_000_000))
    expected = f"artifact_{hashlib.sha256(path.read_bytes()).hexdigest()}"
    for _ in range(2):
        found = await put_artifact(server, path, media_type="text/plain", name="b")
        assert found == expected
    fetched = await in_thread(lambda: b"".join(client.artifact(expected)))
    assert fetched == path.read_bytes()
    assert [artifact.id for artifact in (await in_thread(client.artifacts)).items] == [expected]
    path.write_bytes(b"changed meanwhile")
    with pytest.raises(InvalidRequest):
        await put_artifact(server, path, media_type="text/plain", name="b", artifact_id=expected)
    with pytest.raises(NotFound):
        await put_artifact(server, rig.home / "no", media_type="text/plain", name="b")
    nowhere = Target(url="http://127.0.0.1:1", token="x")
    with pytest.raises(Unavailable):
        await put_artifact(nowhere, path, media_type="text/plain", name="b")


async def test_the_whole_log_is_read_to_its_end_across_pages(client: Client, rig: Serving) -> None:
    await rig.say("x", times=1_200)
    seen = await in_thread(lambda: [found.event["seq"] for found in client.events(follow=False)])
    assert seen == list(range(1, rig.store.ring.last_seq + 1))


class Follower:
    """Follows in a thread of its own, as a program would."""

    def __init__(self, target: Target, after: str | None) -> None:
        self.seen: queue.Queue[int | Exception] = queue.Queue()
        self._ended = threading.Event()
        self._client = Client(target, pause=self._pause)
        self._after = after
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def _pause(self, _seconds: float) -> None:
        self._ended.wait(0.05)

    def _run(self) -> None:
        try:
            for found in self._client.events(self._after):
                self.seen.put(int(found.event["seq"]))
                if self._ended.is_set():
                    return
        except Exception as error:
            self.seen.put(error)

    async def until(self, last: int) -> list[int]:
        numbers: list[int] = []
        while not numbers or numbers[-1] < last:
            found = await in_thread(lambda: self.seen.get(timeout=20))
            assert isinstance(found, int), found
            numbers.append(found)
        return numbers

    async def end(self) -> None:
        self._ended.set()
        await in_thread(self._thread.join)
        self._client.close()


async def test_following_goes_on_behind_the_last_event_when_the_server_comes_back(tmp_path: Path) -> None:
    async with serving(tmp_path) as rig:
        port = rig.listening.port
        with Client(Target(url=rig.url, token=rig.tokens.owner)) as client:
            start = (await in_thread(client.event_page)).cursor
        first = rig.store.ring.last_seq
        follower = Follower(Target(url=rig.url, token=rig.tokens.owner), start)
        await rig.say("one", times=5)
        seen = await follower.until(first + 5)
    async with serving(tmp_path, port=port) as rig:
        await rig.say("two", times=5)
        last = rig.store.ring.last_seq
        seen += await follower.until(last)
        ended = anyio.Event()

        async def wake() -> None:
            await follower.end()
            ended.set()

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(wake)
            while not ended.is_set():
                await rig.say("wake up and see that it is over")
                with anyio.move_on_after(0.05):
                    await ended.wait()
    assert seen == list(range(first + 1, last + 1))


async def test_a_follower_that_comes_too_late_is_told(client: Client, rig: Serving) -> None:
    start = (await in_thread(client.event_page)).cursor
    await rig.say("x", times=20)
    await rig.store.writer.run(lambda unit: prune_events(unit, before=rig.clock.now()))
    rig.store.ring._entries.clear()
    rig.store.ring._oldest = rig.store.ring.last_seq - 1
    with pytest.raises(CursorExpired):
        await in_thread(lambda: next(iter(client.events(start))))


async def test_following_nobody_is_unavailable_at_once() -> None:
    with Client(Target(url="http://127.0.0.1:1", token="x")) as nobody, pytest.raises(Unavailable) as told:
        await in_thread(lambda: next(iter(nobody.events())))
    assert "podium up" in told.value.hint
