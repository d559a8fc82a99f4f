"""Changes over HTTP, from a real commit through a real bundle and the server's own mirror; and the way there:
one task of a real worker whose uploads go through the gateway."""

from __future__ import annotations

import json
import subprocess
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import anyio
import httpx
import pytest

from podium.app.workers import Artifacts
from podium.client.home import Target
from podium.process.launcher import Launcher
from podium.process.watch import directory_watch
from podium.worker.context import WorkerContext
from podium.worker.home import WorkerHome
from podium.worker.ports import WorkerSettings
from podium.worker.report import Reporter
from podium.worker.watching import Watching
from podium.worker.worker import Worker
from tests.integration.gateway.serving import WORKER, Serving, error_of, open_task

pytestmark = pytest.mark.anyio


def git(path: Path, *words: str) -> str:
    command = ["git", "-c", "user.name=T", "-c", "user.email=t@localhost", *words]
    return subprocess.run(command, cwd=path, check=True, capture_output=True, text=True).stdout


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    path = tmp_path / "repository"
    path.mkdir()
    git(path, "init", "-q", "-b", "main")
    (path / "a.txt").write_text("hello\n")
    git(path, "add", ".")
    git(path, "commit", "-q", "-m", "one")
    return path


@pytest.fixture
async def worker(rig: Serving) -> AsyncIterator[Worker]:
    """A real worker in this process; it knows the server by bus and by HTTP alone."""
    home = WorkerHome(rig.home / "worker")
    home.open()
    bus = rig.bus.worker_end()

    async def server() -> Target:
        return Target(url=rig.url, token=rig.tokens.worker)

    artifacts = Artifacts(server)
    import os

    from podium.git.command import Git
    from podium.process.command import execute

    watching = Watching(directory_watch())
    settings = WorkerSettings(worker_id=WORKER, node="n", capacity=2, version="t", environ=os.environ)
    async with Launcher() as launcher, anyio.create_task_group() as tasks:
        made = Worker(
            WorkerContext(
                settings=settings,
                home=home,
                bus=bus,
                reporter=Reporter(bus, WORKER),
                launcher=launcher,
                watching=watching,
                git=Git(execute, rig.home / "worker-git", os.environ),
                execute=execute,
                upload=artifacts.upload,
                download=artifacts.download,
                clock=rig.clock,
            )
        )
        tasks.start_soon(made.run)
        yield made
        tasks.cancel_scope.cancel()
    watching.close()


async def changed(http: httpx.AsyncClient, repository: Path) -> dict[str, Any]:
    """The change of a scripted agent that edits one file, its task in review."""
    steps = [{"id": "s0", "do": "edit", "path": "a.txt", "write": "hello world\n"}]
    task = await open_task(http, json.dumps({"steps": steps}), repository=str(repository))
    waited = (await http.get(f"/tasks/{task['id']}/wait", params={"timeout_s": 25})).json()
    assert waited["task"]["status"]["word"] == "review", waited
    return dict((await http.get(f"/changes/{waited['task']['change_id']}")).json())


async def test_a_change_is_listed_shown_fetched_and_noted_as_applied(
    worker: Worker, http: httpx.AsyncClient, repository: Path, tmp_path: Path
) -> None:
    change = await changed(http, repository)
    listed = (await http.get("/changes", params={"task": change["task_id"]})).json()["items"]
    assert listed == [change]
    diff = await http.get(f"/changes/{change['id']}/diff")
    assert diff.headers["content-type"].startswith("text/x-diff")
    assert "+hello world" in diff.text
    assert (await http.get(f"/runs/{change['run_id']}/diff")).text == diff.text
    bundle = tmp_path / "work.bundle"
    fetched = await http.get(f"/changes/{change['id']}/bundle")
    bundle.write_bytes(fetched.content)
    assert fetched.headers["content-type"] == "application/x-git-bundle"
    git(repository, "bundle", "verify", str(bundle))
    applied = await http.post(f"/changes/{change['id']}/applied", json={"where": "/home/me/shop"})
    assert applied.json()["applied_at"] is not None
    task = (await http.get(f"/tasks/{change['task_id']}")).json()
    assert task["status"]["word"] == "done"


async def test_what_a_change_is_not_is_told(http: httpx.AsyncClient) -> None:
    absent = "change_" + "0" * 26
    for path in (f"/changes/{absent}", f"/changes/{absent}/diff", f"/changes/{absent}/bundle", "/changes/x"):
        assert error_of(await http.get(path)) == (404, "not_found")
    assert error_of(await http.post(f"/changes/{absent}/applied", json={"where": "x"})) == (404, "not_found")
    assert error_of(await http.post(f"/changes/{absent}/applied", json={})) == (400, "invalid_request")


async def test_output_is_read_from_an_offset_also_when_the_run_has_ended_and_its_worker_forgot_it(
    worker: Worker, http: httpx.AsyncClient, rig: Serving
) -> None:
    steps = [{"id": "s0", "do": "say", "text": "one"}, {"id": "s1", "do": "say", "text": "two"}]
    task = await open_task(http, json.dumps({"steps": steps}))
    await http.get(f"/tasks/{task['id']}/wait", params={"timeout_s": 25})
    run_id = task["run_id"]
    with anyio.fail_after(20):
        while (run := (await http.get(f"/runs/{run_id}")).json())["out"] is None:
            await rig.store.ring.wait(rig.store.ring.last_seq, 1)
    whole = await http.get(f"/runs/{run_id}/output")
    lines = [json.loads(line) for line in whole.content.splitlines()]
    assert len(lines) > 2
    size = len(whole.content)
    assert run["out"]["size"] == size
    names = ("podium-offset", "podium-next", "podium-size")
    assert [int(whole.headers[name]) for name in names] == [0, size, size]
    part = await http.get(f"/runs/{run_id}/output", params={"offset": 5, "limit": 7})
    assert part.content == whole.content[5:12]
    assert [int(part.headers[name]) for name in names] == [5, 12, size]
    beyond = await http.get(f"/runs/{run_id}/output", params={"offset": size + 1})
    assert (beyond.content, beyond.headers["podium-size"]) == (b"", str(size))
    nothing = await http.get(f"/runs/{run_id}/output", params={"stream": "err"})
    assert (nothing.status_code, nothing.content, nothing.headers["podium-size"]) == (200, b"", "0")
