"""A history worth keeping: every noun, and most of what can happen to one, by a real server and worker."""

from __future__ import annotations

import json
import os
import signal
import subprocess
from pathlib import Path
from typing import Any

import anyio
import msgspec
from sqlalchemy import Connection, select

from podium.engine import commands
from podium.engine.commands import AddProject, OpenTask
from podium.engine.inbox import AnswerInquiry, answer_inquiry
from podium.engine.talk import SendMessage, send_message
from podium.kernel.inquiry import Decision
from podium.kernel.nouns import Agent, Check, Task
from podium.kernel.session import Mode
from podium.process.base import Alive
from podium.process.probe import probe
from podium.store import queries, schema
from podium.testing.rig import Rig

TABLES = (
    schema.tasks, schema.runs, schema.changes, schema.projects, schema.agents, schema.workers,
    schema.sessions, schema.messages, schema.inquiries, schema.grants,
)  # fmt: skip


def script(*steps: dict[str, Any]) -> str:
    return json.dumps({"steps": [{"id": f"s{number}", **step} for number, step in enumerate(steps)]})


def make_repository(path: Path) -> Path:
    path.mkdir()
    (path / "a.txt").write_text("hello\n")
    who = ("-c", "user.name=T", "-c", "user.email=t@localhost")
    for words in (("init", "-q", "-b", "main"), ("add", "."), (*who, "commit", "-q", "-m", "one")):
        subprocess.run(["git", *words], cwd=path, check=True)
    return path


async def log(rig: Rig) -> list[bytes]:
    """The whole log, a line for each event."""

    def read(connection: Connection) -> list[bytes]:
        return list(queries.list_events(connection, after=0, limit=100_000)[0])

    return await rig.store.reader.run(read)


async def rows(rig: Rig) -> dict[str, Any]:
    """noun id (agents: name) → the JSON of its row."""

    def read(connection: Connection) -> dict[str, Any]:
        found = {}
        for table in TABLES:
            for (doc,) in connection.execute(select(table.c.doc)):
                noun = msgspec.json.decode(doc)
                found[noun.get("id") or noun["name"]] = noun
        return found

    return await rig.store.reader.run(read)


async def live(rig: Rig, folder: Path) -> None:
    """Done, applied, failed by a check, failed, retried, cancelled early and late, lost and run again."""
    repository = str(make_repository(folder / "repository"))
    await rig.define(Agent(name="scripted", harness="scripted"))
    await rig.define(Agent(name="passing", harness="scripted"))
    await rig.store.writer.run(lambda unit: commands.remove_agent(unit, "passing", by="owner"))
    check = Check(name="bye", argv=("grep", "-q", "bye", "a.txt"))
    await rig.store.writer.run(
        lambda unit: commands.add_project(
            unit, AddProject(name="p", repository=repository, checks=(check,)), by="owner", ids=rig.ids
        )
    )
    edit = {"do": "edit", "path": "a.txt", "write": "bye\n"}
    usage = {"do": "usage", "input_tokens": 7, "output_tokens": 2, "cost_usd": 0.25}
    say = {"do": "say", "text": "Grüße"}
    done = await _ended(rig, script(say, edit, {"do": "commit", "message": "bye"}, usage), project="p")
    change_id = done.change_id or ""
    await rig.store.writer.run(lambda unit: commands.note_applied(unit, change_id, "checkout", by="owner"))
    await _ended(rig, script({"do": "edit", "path": "b.txt", "write": "x"}), project="p")
    failed = await _ended(rig, script({"do": "fail", "message": "cannot"}))
    retried = await rig.store.writer.run(
        lambda unit: commands.retry_task(unit, failed.id, by="owner", ids=rig.ids)
    )
    rig.engine.wake()
    await rig.ended(retried.id)
    await _cancelled(rig)
    await _lost_once(rig, folder / "gate")


async def _ended(rig: Rig, prompt: str, **fields: Any) -> Task:
    return await rig.ended((await rig.open(OpenTask(prompt=prompt, agent="scripted", **fields))).id)


async def _cancelled(rig: Rig) -> None:
    """One while it hangs, and one that waits behind it."""
    hanging = [
        await rig.open(OpenTask(prompt=script({"do": "hang"}), agent="scripted", priority=5 - number))
        for number in range(3)
    ]
    await _working(rig, hanging[0].id)
    for task in reversed(hanging):
        await rig.cancel(task.id)
    for task in hanging:
        await rig.ended(task.id)


async def _lost_once(rig: Rig, gate: Path) -> None:
    """Its holder is killed; the task goes on in a second run."""
    prompt = script({"do": "say", "text": "one"}, {"do": "wait", "file": str(gate)})
    task = await rig.open(OpenTask(prompt=prompt, agent="scripted"))
    await _working(rig, task.id)
    state = probe(rig.worker_home.run((await rig.run_of(task.id)).id).process)
    assert isinstance(state, Alive)
    os.kill(state.holder.pid, signal.SIGKILL)
    with anyio.fail_after(20):
        while (await rig.task(task.id)).reruns == 0:
            await rig.store.ring.wait(rig.store.ring.last_seq, 1)
    gate.touch()
    await rig.ended(task.id)


async def _working(rig: Rig, task_id: str) -> None:
    with anyio.fail_after(20):
        while not any(b'"run.tool_called"' in line and task_id.encode() in line for line in await log(rig)):
            await rig.store.ring.wait(rig.store.ring.last_seq, 1)


async def converse(rig: Rig) -> None:
    """Asked and allowed, denied, answered too late and granted; told, told too late; gone on with."""
    await rig.define(Agent(name="scripted", harness="scripted"))
    ask = {"do": "ask", "command": "make"}
    for decision in (Decision.ALLOW, Decision.DENY):
        task = await rig.open(OpenTask(prompt=script(ask), agent="scripted"))
        await _answer(rig, task.id, decision)
        await rig.engine.tell_run((await rig.run_of(task.id)).id)
        await rig.ended(task.id)
    granted = await rig.open(OpenTask(prompt=script(ask), agent="scripted"))
    await _answer(rig, granted.id, Decision.ALLOW)
    state = probe(rig.worker_home.run((await rig.run_of(granted.id)).id).process)
    assert isinstance(state, Alive)
    os.kill(state.holder.pid, signal.SIGKILL)
    await rig.ended(granted.id)
    told = await rig.open(OpenTask(prompt=script({"do": "listen"}), agent="scripted"))
    await _working(rig, told.id)
    await _say(rig, told.id, "hear this")
    done = await rig.ended(told.id)
    asked = await rig.open(OpenTask(prompt=script({"do": "listen"}, ask), session=done.id))
    await _open_inquiry(rig, asked.id)
    await _say(rig, asked.id, "nobody listens")
    await rig.cancel(asked.id)
    await rig.ended(asked.id)


async def change_model(rig: Rig) -> None:
    """While it asks, the agent is given another model."""
    await rig.define(Agent(name="scripted", harness="scripted"))
    task = await rig.open(OpenTask(prompt=script({"do": "ask", "command": "make"}), agent="scripted"))
    await _open_inquiry(rig, task.id)
    await _say(rig, task.id, "other", Mode.MODEL)
    with anyio.fail_after(20):
        while (await rig.run_of(task.id)).agent.model != "other":
            await rig.store.ring.wait(rig.store.ring.last_seq, 1)
    await _answer(rig, task.id, Decision.ALLOW)
    await rig.engine.tell_run((await rig.run_of(task.id)).id)
    await rig.ended(task.id)


async def _say(rig: Rig, task_id: str, text: str, mode: Mode | None = None) -> None:
    ask = SendMessage(text=text, mode=mode)
    message = await rig.store.writer.run(
        lambda unit: send_message(unit, task_id, ask, by="owner", ids=rig.ids)
    )
    await rig.engine.tell_run(message.run_id)


async def _answer(rig: Rig, task_id: str, decision: Decision) -> None:
    inquiry_id = await _open_inquiry(rig, task_id)
    await rig.store.writer.run(
        lambda unit: answer_inquiry(
            unit, inquiry_id, AnswerInquiry(decision=decision), by="owner", ids=rig.ids
        )
    )


async def _open_inquiry(rig: Rig, task_id: str) -> str:
    table = schema.inquiries
    query = select(table.c.id).where(table.c.task_id == task_id, table.c.state == "open")
    with anyio.fail_after(20):
        while (row := await rig.store.reader.run(lambda c: c.execute(query).first())) is None:
            await rig.store.ring.wait(rig.store.ring.last_seq, 1)
    return str(row[0])
