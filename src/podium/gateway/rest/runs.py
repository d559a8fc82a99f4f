"""Runs: list, show, diagnose, raw output and live diff. The last three ask the machine that has the facts."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Literal

import anyio.to_thread
import msgspec
from litestar import Response, get
from msgspec import Meta, Struct
from sqlalchemy import Connection

from podium.bus import messages as m
from podium.engine.diagnose import Diagnosis, WorkerFacts, diagnose
from podium.gateway.api import (
    Api,
    Ask,
    Nothing,
    Page,
    api_of,
    attachment,
    id_of,
    page_after,
    query_of,
    scope_of,
    send_json,
)
from podium.gateway.errors import told_by_worker
from podium.gateway.kept import read_part
from podium.gateway.rest.changes import DIFF, finished_diff, send_diff
from podium.gateway.routes import Listed, about
from podium.gateway.silence import overlay_one
from podium.kernel.access import Scope
from podium.kernel.errors import Conflict, NotFound, PodiumError, WorkerUnreachable
from podium.kernel.ids import RunId
from podium.kernel.nouns import Change, Run, Task
from podium.kernel.states import RUN_HELD, RUN_TERMINAL
from podium.store import queries, schema

MAX_OUTPUT_BYTES = 1024 * 1024


class RunPage(Page, frozen=True, kw_only=True, forbid_unknown_fields=True):
    task: Annotated[str, Meta(max_length=100)] | None = None
    open: bool = False
    """Only runs that have not ended."""


class OutputPart(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    stream: Literal["out", "err"] = "out"
    offset: Annotated[int, Meta(ge=0, lt=1 << 53)] = 0
    limit: Annotated[int, Meta(ge=1, le=MAX_OUTPUT_BYTES)] = 256 * 1024


@get("/runs", opt=about("List runs, newest first.", query=RunPage, answer=Listed[Run], here=True))
async def list_them(request: Ask) -> Response[bytes]:
    ask, api = query_of(request, RunPage), api_of(request)
    after, scope = page_after(ask, "run"), scope_of(request)
    return send_json(
        await api.store.reader.run(
            lambda c: queries.list_runs(
                c, limit=ask.limit, after=after, task=ask.task, is_open=ask.open, scope=scope
            )
        )
    )


@get("/runs/{id:str}", opt=about("One run.", answer=Run, here=True))
async def show_one(request: Ask) -> Response[bytes]:
    query_of(request, Nothing)
    run_id, scope = id_of(request, "run"), scope_of(request)
    return send_json(await api_of(request).store.reader.run(lambda c: _doc(c, run_id, scope)))


@get(
    "/runs/{id:str}/diagnose",
    opt=about("What a run is doing, how that is known, and what to do next.", answer=Diagnosis),
)
async def diagnose_one(request: Ask) -> Response[bytes]:
    query_of(request, Nothing)
    return send_json(
        msgspec.json.encode(await _diagnose(api_of(request), id_of(request, "run"), scope_of(request)))
    )


@get(
    "/runs/{id:str}/output",
    opt=about(
        "Raw bytes of a run's output, from an offset. Headers tell offset, size and what comes next.",
        query=OutputPart,
        gives="application/octet-stream",
    ),
)
async def show_output(request: Ask) -> Response[bytes]:
    api, run_id, ask = api_of(request), id_of(request, "run"), query_of(request, OutputPart)
    got = await _output(api, run_id, ask, scope_of(request))
    headers = {
        "podium-offset": str(got.offset),
        "podium-next": str(got.offset + len(got.data)),
        "podium-size": str(got.size),
        **attachment(f"{run_id}.{ask.stream}"),
    }
    return Response(got.data, media_type="application/octet-stream", headers=headers)


@get(
    "/runs/{id:str}/diff",
    opt=about("What a run has changed so far, or, once it has ended, its Change.", gives=DIFF),
)
async def show_diff(request: Ask) -> Response[bytes]:
    query_of(request, Nothing)
    api, run_id = api_of(request), id_of(request, "run")
    run = await _run(api, run_id, scope_of(request))
    found = await api.store.reader.run(lambda c: _change_of(c, run_id))
    if found is not None:
        return await finished_diff(api, found)
    if run.state.word in RUN_TERMINAL:
        raise NotFound(f"{run_id} ended without a change", hint=f"see: podium diagnose {run_id}")
    try:
        got = await _ask(api, run, m.AskDiff(run_id=run.id))
    except WorkerUnreachable as error:
        last = api.snapshots.last(run_id)
        if last is not None:
            error.details |= {"snapshot": last[0], "age_s": round(last[1], 3)}
        raise
    if not isinstance(got, m.DiffIs):
        raise WorkerUnreachable("the worker gave an answer to something else")
    api.snapshots.keep(run_id, got.patch, got.truncated)
    return send_diff(got.patch, truncated=got.truncated)


async def _output(api: Api, run_id: str, ask: OutputPart, scope: Scope | None) -> m.OutputIs:
    """From what was kept, once that is here; until then from the worker."""
    run = await _run(api, run_id, scope)
    kept = await _kept(api, run, ask)
    if kept is not None:
        return kept
    question = m.AskOutput(run_id=run.id, stream=ask.stream, offset=ask.offset, limit_bytes=ask.limit)
    try:
        got = await _ask(api, run, question)
    except NotFound:
        # Perhaps it was sent, and forgotten there, since we looked.
        kept = await _kept(api, await _run(api, run_id, scope), ask)
        if kept is None:
            raise
        return kept
    if not isinstance(got, m.OutputIs):
        raise WorkerUnreachable("the worker gave an answer to something else")
    return got


async def _kept(api: Api, run: Run, ask: OutputPart) -> m.OutputIs | None:
    kept = run.out if ask.stream == "out" else run.err
    if kept is None:
        # `out` comes last, and comes always: with it here, an `err` that is not was empty.
        return m.OutputIs(data=b"", offset=ask.offset, size=0) if run.out is not None else None
    if ask.offset >= kept.size:
        return m.OutputIs(data=b"", offset=ask.offset, size=kept.size)
    path = api.store.artifacts.path(kept.artifact)
    data = await anyio.to_thread.run_sync(read_part, path, ask.offset, min(ask.limit, kept.size - ask.offset))
    return m.OutputIs(data=data, offset=ask.offset, size=kept.size)


async def _diagnose(api: Api, run_id: str, scope: Scope | None) -> Diagnosis:
    silent = await api.silence.silent()

    def read(connection: Connection) -> tuple[Run, Task, str | None, tuple[int, int]]:
        doc, _offset, last_output_at = queries.run_facts(connection, run_id, scope)
        run = msgspec.json.decode(doc, type=Run)
        shown = queries.show(connection, schema.tasks, run.task_id, "task")
        if silent:
            shown = overlay_one(connection, shown, silent)
        task = msgspec.json.decode(shown, type=Task)
        return run, task, last_output_at, queries.queue_position(connection, run_id)

    run, task, last_output_at, place = await api.store.reader.run(read)
    roster = api.engine.roster
    worker = WorkerFacts(
        id=run.worker_id,
        connected=roster.is_connected(run.worker_id),
        silent_s=roster.silence_s(run.worker_id) if run.worker_id is not None else None,
    )
    age_s = None
    if last_output_at is not None:
        age_s = max(0.0, (api.store.clock.now() - datetime.fromisoformat(last_output_at)).total_seconds())
    return diagnose(
        task,
        run,
        place=place,
        worker=worker,
        workers_connected=len(roster.capacities()),
        process=await _process(api, run) if worker.connected else None,
        output_age_s=age_s if run.state.word in RUN_HELD else None,
    )


async def _process(api: Api, run: Run) -> m.ProcessIs | None:
    try:
        got = await _ask(api, run, m.AskProcess(run_id=run.id))
    except PodiumError:
        return None  # the diagnosis says that the machine could not be asked
    return got if isinstance(got, m.ProcessIs) else None


async def _ask(api: Api, run: Run, question: m.ToWorker) -> m.Answer:
    if run.worker_id is None:
        raise Conflict(f"{run.id} has not been given to a worker yet", hint=f"see: podium diagnose {run.id}")
    got = await api.engine.bus.ask(run.worker_id, question, timeout_s=api.settings.ask_s)
    if isinstance(got, m.Failure):
        raise told_by_worker(got)
    return got


async def _run(api: Api, run_id: str, scope: Scope | None) -> Run:
    return msgspec.json.decode(await api.store.reader.run(lambda c: _doc(c, run_id, scope)), type=Run)


def _doc(connection: Connection, run_id: str, scope: Scope | None) -> bytes:
    return queries.show(connection, schema.runs, RunId(run_id), "run", scope=scope)


def _change_of(connection: Connection, run_id: str) -> Change | None:
    table = schema.changes
    row = connection.execute(table.select().where(table.c.run_id == run_id)).first()
    return msgspec.json.decode(row.doc, type=Change) if row is not None else None


ROUTES = [list_them, show_one, diagnose_one, show_output, show_diff]
