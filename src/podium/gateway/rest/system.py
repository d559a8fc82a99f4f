"""The server itself: is it there, and how is it."""

from __future__ import annotations

from litestar import Response, get, post
from msgspec import Struct

from podium.gateway import cursor
from podium.gateway.api import Api, Ask, Nothing, api_of, body_of, by, encode, query_of, send_json
from podium.gateway.openapi import document
from podium.gateway.presence import AskedPresence
from podium.gateway.routes import about
from podium.kernel import events as e
from podium.kernel.access import Verb
from podium.kernel.errors import PodiumError, Unavailable
from podium.store import queries


class Health(Struct, frozen=True, kw_only=True):
    status: str


class Follows(Struct, frozen=True, kw_only=True):
    """A gateway beside the main server. `main`: the socket of that; `answers`: whether it does now."""

    main: str
    answers: bool


class Status(Struct, frozen=True, kw_only=True):
    """`runs`: open ones by state. `cursor`: the end of the event log."""

    version: str
    runs: dict[str, int]
    workers_connected: int
    capacity: int
    followers: int
    cursor: str
    clean_start: bool
    """False: the machine or the server had died before this start."""
    follows: Follows | None = None
    """Null: it is the main server itself."""


class Shutdown(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    stop_agents: bool = False
    """Stop every agent first; their tasks go on after the next start."""


@get("/health", opt=about(
    "Whether the server works: 503 while its database is away. Reveals nothing.",
    answer=Health, is_open=True, here=True))  # fmt: skip
async def show_health(request: Ask) -> Response[bytes]:
    store = api_of(request).store
    if store.reads_only:
        await store.reader.run(queries.last_seq)
    elif not store.writer.can_write:
        raise Unavailable("the database is away", hint="agents go on; ask again in a moment")
    return send_json(b'{"status":"ok"}')


@get("/status", opt=about("How the server is.", answer=Status, here=True))
async def show_status(request: Ask) -> Response[bytes]:
    query_of(request, Nothing)
    api = api_of(request)
    await api.presence.refresh()
    capacities = api.presence.capacities()
    status = Status(
        version=api.settings.version,
        runs=await api.store.reader.run(queries.counts),
        workers_connected=len(capacities),
        capacity=sum(capacities.values()),
        followers=api.hub.followers,
        cursor=cursor.encode(api.hub.last_seq),
        clean_start=api.store.clean,
        follows=_follows(api),
    )
    return send_json(encode(status))


def _follows(api: Api) -> Follows | None:
    if api.main is None or not isinstance(api.presence, AskedPresence):
        return None
    return Follows(main=api.main.place, answers=api.presence.answers)


@get("/openapi.json", opt=about("This document.", answer=dict, here=True))
async def show_openapi(request: Ask) -> Response[bytes]:
    query_of(request, Nothing)
    return send_json(document(request.app, api_of(request).settings.version))


@post("/shutdown", status_code=202, opt=about(
    "End the server. Agents live on and are taken up again, unless they are to be stopped too.",
    Verb.ADMIN, body=Shutdown, answer=Nothing, status=202, stays=True,
))  # fmt: skip
async def shut_down(request: Ask) -> Response[bytes]:
    ask, _ = await body_of(request, Shutdown)
    engine, who = api_of(request).engine, by(request)
    asked = e.ServerStopAsked(stop_agents=ask.stop_agents)
    await engine.store.writer.run(lambda unit: unit.append(asked, by=who))
    if ask.stop_agents:
        try:
            await engine.stop_agents()
        except BaseExceptionGroup as group:
            told, _rest = group.split(PodiumError)
            raise (told.exceptions[0] if told is not None else group) from None
    engine.stop_asked.set()
    return send_json(b"{}", status_code=202)


ROUTES = [show_health, show_status, show_openapi, shut_down]
