"""Tasks: open, list, show, cancel, try again, wait for their end."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Literal

import msgspec
from litestar import Response, get, post
from msgspec import Meta, Struct
from sqlalchemy import Connection

from podium.engine.commands import CancelTask, OpenTask, cancel_task, open_task, retry_task
from podium.gateway.api import (
    Api,
    Ask,
    Nothing,
    Page,
    api_of,
    body_of,
    by,
    change,
    id_of,
    made,
    page_after,
    query_of,
    scope_of,
    send_json,
)
from podium.gateway.opening import check_opening
from podium.gateway.routes import Listed, about
from podium.gateway.silence import overlay_one, overlay_page, unknown_page
from podium.kernel.access import Scope, Verb
from podium.kernel.errors import Unavailable
from podium.kernel.nouns import Run, Task
from podium.kernel.states import TASK_TERMINAL
from podium.kernel.status import NEEDS_YOU, UNKNOWN
from podium.store import queries, schema
from podium.store.idempotency import Answer
from podium.store.unit import Unit

MAX_WAIT_S = 300.0


class TaskPage(Page, frozen=True, kw_only=True, forbid_unknown_fields=True):
    status: (
        Literal["queued", "running", "needs you", "review", "done", "failed", "cancelled", "unknown"] | None
    ) = None
    project: Annotated[str, Meta(max_length=100)] | None = None


class ShownTask(Task, frozen=True, kw_only=True):
    """A task with its prompt."""

    prompt: str


class Waiting(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    timeout_s: Annotated[float, Meta(ge=0, le=MAX_WAIT_S)] = 30.0


class Waited(Struct, frozen=True, kw_only=True):
    """The task as it stands; `timed_out` when it neither ended nor needs a person yet."""

    task: Task
    timed_out: bool


@post(
    "/tasks",
    opt=about(
        "Open a task and queue its first run.",
        Verb.WORK,
        body=OpenTask,
        answer=Task,
        status=201,
        changes=True,
    ),
)
async def open_one(request: Ask) -> Response[bytes]:
    ask, raw = await body_of(request, OpenTask)
    api, who, scope = api_of(request), by(request), scope_of(request)
    settings = api.engine.settings

    def effect(unit: Unit) -> Answer:
        check_opening(unit, ask, scope)
        task = open_task(
            unit,
            ask,
            by=who,
            ids=api.engine.ids,
            organisation=settings.organisation,
            harnesses=settings.harnesses,
        )
        return made(task, 201)

    answer = await change(request, raw, effect)
    api.engine.wake()
    return answer


@get("/tasks", opt=about("List tasks, newest first.", query=TaskPage, answer=Listed[Task], here=True))
async def list_them(request: Ask) -> Response[bytes]:
    ask, api = query_of(request, TaskPage), api_of(request)
    after = page_after(ask, "task")
    silent, scope = await api.silence.silent(), scope_of(request)

    def read(connection: Connection) -> bytes:
        if ask.status == UNKNOWN:
            return unknown_page(
                connection, silent, limit=ask.limit, after=after, project=ask.project, scope=scope
            )
        page = queries.list_tasks(
            connection, limit=ask.limit, after=after, status=ask.status, project=ask.project, scope=scope
        )
        return overlay_page(connection, page, silent, ask.status) if silent else page

    return send_json(await api.store.reader.run(read))


@get("/tasks/{id:str}", opt=about("One task, with its prompt.", answer=ShownTask, here=True))
async def show_one(request: Ask) -> Response[bytes]:
    query_of(request, Nothing)
    task_id, scope = id_of(request, "task"), scope_of(request)
    return send_json(await _shown(api_of(request), lambda c: queries.show_task(c, task_id, scope)))


@post(
    "/tasks/{id:str}/cancel",
    opt=about("Cancel a task; again is no error.", Verb.WORK, body=CancelTask, answer=Task, changes=True),
)
async def cancel_one(request: Ask) -> Response[bytes]:
    task_id, api, who = id_of(request, "task"), api_of(request), by(request)
    ask, raw = await body_of(request, CancelTask)
    to_stop: list[Run] = []

    def effect(unit: Unit) -> Answer:
        task, run = cancel_task(unit, task_id, ask, by=who, ids=api.engine.ids)
        to_stop[:] = [run] if run is not None else []
        return made(task)

    answer = await change(request, raw, effect, of=(schema.tasks, task_id))
    # Only now, the intent being committed: what the agent says from here on cannot undo it.
    await api.engine.stop_run(to_stop[0] if to_stop else None, ask.reason)
    return answer


@post(
    "/tasks/{id:str}/retry",
    opt=about("Open a new task that tries the same again.", Verb.WORK, answer=Task, status=201, changes=True),
)
async def retry_one(request: Ask) -> Response[bytes]:
    task_id, api, who = id_of(request, "task"), api_of(request), by(request)
    _, raw = await body_of(request, Nothing)
    harnesses = api.engine.settings.harnesses

    def effect(unit: Unit) -> Answer:
        return made(retry_task(unit, task_id, by=who, ids=api.engine.ids, harnesses=harnesses), 201)

    answer = await change(request, raw, effect, of=(schema.tasks, task_id))
    api.engine.wake()
    return answer


@get(
    "/tasks/{id:str}/wait",
    opt=about("Wait until a task has ended or needs a person.", query=Waiting, answer=Waited, here=True),
)
async def wait_for_one(request: Ask) -> Response[bytes]:
    task_id, api = id_of(request, "task"), api_of(request)
    ask = query_of(request, Waiting)
    doc, ended = await _wait(api, task_id, ask.timeout_s, scope_of(request))
    return send_json(b'{"task":' + doc + b',"timed_out":' + (b"false}" if ended else b"true}"))


async def _wait(api: Api, task_id: str, timeout_s: float, scope: Scope | None) -> tuple[bytes, bool]:
    def plain(connection: Connection) -> bytes:
        return queries.show(connection, schema.tasks, task_id, "task", scope=scope)

    loop_time = api.store.clock.monotonic
    deadline = loop_time() + timeout_s
    with api.hub.joined(), api.hub.awaiting(task_id) as news:
        while True:
            news.clear()
            doc = await _shown(api, plain)
            if _settled(doc):
                return doc, True
            remaining_s = deadline - loop_time()
            if remaining_s <= 0 or not await api.hub.happens(news, remaining_s):
                return doc, False
            if api.hub.closed:
                raise Unavailable("Podium is stopping", hint="ask again in a moment")


async def _shown(api: Api, query: Callable[[Connection], bytes]) -> bytes:
    silent = await api.silence.silent()

    def read(connection: Connection) -> bytes:
        doc = query(connection)
        return overlay_one(connection, doc, silent) if silent else doc

    return await api.store.reader.run(read)


def _settled(doc: bytes) -> bool:
    task = msgspec.json.decode(doc, type=Task)
    return task.state.word in TASK_TERMINAL or task.status.word == NEEDS_YOU


ROUTES = [open_one, list_them, show_one, cancel_one, retry_one, wait_for_one]
