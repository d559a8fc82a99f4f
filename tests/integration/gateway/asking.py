"""Runs that ask, without an agent: what a worker would report is recorded in the store directly."""

from __future__ import annotations

from typing import Any

import httpx

from podium.engine.inbox import take_ask
from podium.kernel import events as e
from podium.kernel.ids import RunId, TaskId
from podium.kernel.inquiry import Effect, EffectKind, effect_of
from podium.store.unit import Unit
from tests.integration.gateway.serving import WORKER, Serving, open_task


def command(line: str = "make deploy", cwd: str = "/work") -> Effect:
    return effect_of("Bash", EffectKind.COMMAND, given={"command": line}, command=line, cwd=cwd)


def edit(path: str, diff: str) -> Effect:
    return effect_of("Edit", EffectKind.EDIT, given={"file_path": path}, cwd="/work", paths=[path], diff=diff)


async def started(rig: Serving, http: httpx.AsyncClient, prompt: str = "do it") -> tuple[TaskId, RunId]:
    """A task whose run is at work, held by a worker that is not there; with a session of its own."""
    task = await open_task(http, prompt)
    task_id, run_id = TaskId(task["id"]), RunId(task["run_id"])
    about: dict[str, Any] = {"task_id": task_id, "run_id": run_id}

    def effect(unit: Unit) -> None:
        unit.record(e.RunLeased(worker_id=WORKER, fence=1, **about), by="dispatch")
        unit.record(e.TaskStarted(**about), by="dispatch")
        unit.record(e.RunStarting(**about), by="worker")
        unit.record(e.RunStarted(pid=1, isolation="bare", **about), by="worker")
        unit.flush()

    await rig.store.writer.run(effect)
    return task_id, run_id


async def ask(rig: Serving, run_id: RunId, effect: Effect, *, token: str = "t1", why: str = "") -> str:
    """The run asks; the id of the inquiry."""

    def take(unit: Unit) -> None:
        run = unit.run(run_id)
        asked = e.RunAsked(
            task_id=run.task_id, run_id=run_id, effect=effect, reply_token=token, why=why, call_id="c1"
        )
        unit.append(asked, by="worker")
        take_ask(unit, run, asked, by="worker", ids=rig.ids)
        unit.flush()

    await rig.store.writer.run(take)
    async with rig.client() as http:
        items = (await http.get("/inquiries", params={"run": run_id})).json()["items"]
    return str(items[0]["id"])


async def record(rig: Serving, *events: e.Event) -> None:
    def effect(unit: Unit) -> None:
        for event in events:
            unit.record(event, by="worker")
        unit.flush()

    await rig.store.writer.run(effect)
