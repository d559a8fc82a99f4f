"""Sessions: list, show with the places where a copy can begin."""

from __future__ import annotations

from typing import Annotated

import msgspec
from litestar import Response, get
from msgspec import Meta
from sqlalchemy import Connection

from podium.engine.conversations import ForkPoint, fork_points
from podium.gateway.api import (
    Ask,
    Nothing,
    Page,
    api_of,
    encode,
    id_of,
    page_after,
    query_of,
    scope_of,
    send_json,
)
from podium.gateway.routes import Listed, about
from podium.kernel.nouns import Run
from podium.kernel.session import Session
from podium.store import queries, schema


class SessionPage(Page, frozen=True, kw_only=True, forbid_unknown_fields=True):
    task: Annotated[str, Meta(max_length=100)] | None = None
    """The task that began it."""


class ShownSession(Session, frozen=True, kw_only=True):
    """A session with the places where a copy of it can begin; none while its latest run is at work."""

    fork_points: tuple[ForkPoint, ...] = ()


@get(
    "/sessions",
    opt=about("List sessions, newest first.", query=SessionPage, answer=Listed[Session], here=True),
)
async def list_them(request: Ask) -> Response[bytes]:
    ask, api = query_of(request, SessionPage), api_of(request)
    after, scope = page_after(ask, "session"), scope_of(request)
    return send_json(
        await api.store.reader.run(
            lambda c: queries.list_of_task(
                c, schema.sessions, limit=ask.limit, after=after, task=ask.task, scope=scope
            )
        )
    )


@get("/sessions/{id:str}", opt=about("One session.", answer=ShownSession))
async def show_one(request: Ask) -> Response[bytes]:
    query_of(request, Nothing)
    session_id, api, scope = id_of(request, "session"), api_of(request), scope_of(request)

    def read(connection: Connection) -> tuple[bytes, Run]:
        doc = queries.show(connection, schema.sessions, session_id, "session", scope=scope)
        run_id = msgspec.json.decode(doc, type=Session).run_id
        return doc, msgspec.json.decode(queries.run_facts(connection, run_id)[0], type=Run)

    doc, last = await api.store.reader.run(read)
    session = msgspec.json.decode(doc, type=Session)
    points = fork_points(session, last, api.engine.settings.harnesses)
    return send_json(doc[:-1] + b',"fork_points":' + encode(points) + b"}")


ROUTES = [list_them, show_one]
