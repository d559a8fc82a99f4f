"""What only a worker's machine knows: output, live diff, process. And what is said while it is silent."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import anyio
import httpx
import pytest

from podium.bus import messages as m
from podium.gateway import silence
from podium.kernel import events as e
from podium.kernel.errors import NotFound, PodiumError
from podium.kernel.ids import RunId, TaskId
from podium.testing.rig import SHORT_LEASES
from tests.integration.gateway.serving import WORKER, Serving, error_of, open_task, serving

pytestmark = pytest.mark.anyio
PROCESS = m.ProcessIs(word="alive", pid=42, argv=("agent", "--key=…"), out_bytes=3, output_age_s=1.0)


def machine(message: m.ToWorker) -> m.Answer:
    match message:
        case m.AskOutput():
            data = b"0123456789"[message.offset : message.offset + message.limit_bytes]
            return m.OutputIs(data=data, offset=message.offset, size=10)
        case m.AskDiff():
            return m.DiffIs(patch=b"+live\n", truncated=False)
        case m.AskProcess():
            return PROCESS
        case _:
            return m.Accepted()


async def running(rig: Serving, http: httpx.AsyncClient) -> dict[str, Any]:
    """A task whose run the fake worker holds and has started."""
    task = await open_task(http)
    run_id, task_id = RunId(task["run_id"]), TaskId(task["id"])
    with anyio.fail_after(5):
        while (await http.get(f"/runs/{run_id}")).json()["state"]["word"] != "leased":
            await rig.store.ring.wait(rig.store.ring.last_seq, 0.05)
    await rig.store.writer.run(
        lambda unit: (
            unit.record(e.RunStarting(task_id=task_id, run_id=run_id), by="test"),
            unit.record(e.RunStarted(task_id=task_id, run_id=run_id, pid=42, isolation="bare"), by="test"),
        )
    )
    return task


async def test_output_is_read_from_an_offset(rig: Serving, http: httpx.AsyncClient) -> None:
    async with rig.worker(machine):
        task = await running(rig, http)
        part = await http.get(f"/runs/{task['run_id']}/output", params={"offset": 3, "limit": 4})
    assert part.content == b"3456"
    places = [part.headers[f"podium-{name}"] for name in ("offset", "next", "size")]
    assert places == ["3", "7", "10"]
    assert part.headers["content-type"] == "application/octet-stream"


async def test_a_run_that_nobody_holds_has_no_output_yet(http: httpx.AsyncClient) -> None:
    task = await open_task(http)
    assert error_of(await http.get(f"/runs/{task['run_id']}/output")) == (409, "conflict")
    assert error_of(await http.get(f"/runs/{task['run_id']}/diff")) == (409, "conflict")


async def test_a_worker_that_went_away_is_504_with_the_last_diff_and_its_age(
    rig: Serving, http: httpx.AsyncClient
) -> None:
    async with rig.worker(machine):
        task = await running(rig, http)
        live = await http.get(f"/runs/{task['run_id']}/diff")
        assert (live.text, live.headers["podium-truncated"]) == ("+live\n", "false")
        assert live.headers["content-type"].startswith("text/x-diff")
    gone = await http.get(f"/runs/{task['run_id']}/diff")
    assert error_of(gone) == (504, "worker_unreachable")
    details = gone.json()["error"]["details"]
    assert details["snapshot"] == "+live\n"
    assert details["age_s"] >= 0
    assert error_of(await http.get(f"/runs/{task['run_id']}/output")) == (504, "worker_unreachable")


async def test_a_worker_that_does_not_answer_is_504_in_time(tmp_path: Path) -> None:
    async def hang(message: m.ToWorker) -> m.Answer:
        if isinstance(message, m.AskDiff):
            await anyio.sleep_forever()
        return machine(message)

    async with serving(tmp_path, ask_s=0.2) as rig, rig.client() as http, rig.worker(hang):
        task = await running(rig, http)
        assert error_of(await http.get(f"/runs/{task['run_id']}/diff")) == (504, "worker_unreachable")


async def test_what_a_worker_refuses_keeps_its_code(rig: Serving, http: httpx.AsyncClient) -> None:
    def refuse(message: m.ToWorker) -> m.Answer:
        if isinstance(message, m.AskOutput):
            raise NotFound("it has no such run")
        return machine(message)

    async with rig.worker(refuse):
        task = await running(rig, http)
        assert error_of(await http.get(f"/runs/{task['run_id']}/output")) == (404, "not_found")


async def test_a_diagnosis_names_state_worker_process_and_next_step(
    rig: Serving, http: httpx.AsyncClient
) -> None:
    queued = await open_task(http, "first")
    told = (await http.get(f"/runs/{queued['run_id']}/diagnose")).json()
    assert (told["issue"], told["queue_position"], told["process"]) == ("no_worker", 1, None)
    await http.post(f"/tasks/{queued['id']}/cancel")
    async with rig.worker(machine):
        task = await running(rig, http)
        told = (await http.get(f"/runs/{task['run_id']}/diagnose")).json()
        assert told["process"]["word"] == "alive"
        assert told["worker"] == {"id": WORKER, "connected": True, "silent_s": told["worker"]["silent_s"]}
    told = (await http.get(f"/runs/{task['run_id']}/diagnose")).json()
    assert told["issue"] == "worker_silent"
    assert task["id"] in told["next_step"] or told["next_step"]


async def test_a_task_of_a_silent_worker_is_unknown_in_every_view(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(silence, "MOMENT_S", 0.0)
    monkeypatch.setattr(silence, "LOOK_EVERY_S", 0.0)
    async with serving(tmp_path) as rig, rig.client() as http:
        async with rig.worker(machine):
            task = await running(rig, http)
            idle = await open_task(http, "waits for the one slot")
            assert (await http.get(f"/tasks/{task['id']}")).json()["status"]["word"] == "running"
        shown = (await http.get(f"/tasks/{task['id']}")).json()
        assert shown["status"]["word"] == "unknown"
        assert shown["status"]["reason"] == "worker_silent"
        assert shown["status"]["evidence"]["seq"] > 0
        assert shown["prompt"] == "do it"
        listed = {item["id"]: item["status"]["word"] for item in (await http.get("/tasks")).json()["items"]}
        assert listed == {task["id"]: "unknown", idle["id"]: "queued"}
        for status, expected in (("unknown", [task["id"]]), ("running", []), ("queued", [idle["id"]])):
            found = (await http.get("/tasks", params={"status": status})).json()["items"]
            assert [item["id"] for item in found] == expected, status
        waited = (await http.get(f"/tasks/{task['id']}/wait", params={"timeout_s": 0})).json()
        assert waited["timed_out"]
        async with rig.worker(machine, holding=(m.Held(run_id=RunId(task["run_id"]), fence=1),)):
            assert (await http.get(f"/tasks/{task['id']}")).json()["status"]["word"] == "running"


async def test_a_run_that_was_lost_has_no_diff_and_says_so(tmp_path: Path) -> None:
    async with serving(tmp_path, engine=SHORT_LEASES) as rig, rig.client() as http:
        async with rig.worker(machine):
            task = await running(rig, http)
            await http.post(f"/tasks/{task['id']}/cancel")
        with anyio.fail_after(10):
            while (await http.get(f"/runs/{task['run_id']}")).json()["state"]["word"] != "lost":
                await rig.store.ring.wait(rig.store.ring.last_seq, 0.1)
        assert error_of(await http.get(f"/runs/{task['run_id']}/diff")) == (404, "not_found")


def test_every_error_a_worker_can_tell_is_a_podium_error() -> None:
    from podium.gateway.errors import told_by_worker

    assert isinstance(told_by_worker(m.Failure(code="from_the_future", message="?")), PodiumError)
