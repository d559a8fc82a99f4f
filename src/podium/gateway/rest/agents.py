"""Agents: define, list, show, remove. The name is the key."""

from __future__ import annotations

import msgspec
from litestar import Response, delete, get, put

from podium.engine.commands import DefineAgent, define_agent, remove_agent
from podium.gateway.api import (
    GONE,
    Ask,
    Nothing,
    Page,
    api_of,
    body_of,
    by,
    change,
    made,
    query_of,
    send_json,
)
from podium.gateway.routes import Listed, about
from podium.kernel.access import Verb
from podium.kernel.errors import InvalidRequest
from podium.kernel.nouns import Agent, Name
from podium.store import queries, schema
from podium.store.idempotency import Answer
from podium.store.unit import Unit


@get("/agents", opt=about("List agents, by name from z to a.", query=Page, answer=Listed[Agent], here=True))
async def list_them(request: Ask) -> Response[bytes]:
    ask, api = query_of(request, Page), api_of(request)
    after = None if ask.after is None else _as_name(ask.after)
    return send_json(
        await api.store.reader.run(lambda c: queries.list_agents(c, limit=ask.limit, after=after))
    )


@get("/agents/{id:str}", opt=about("One agent, by name.", answer=Agent, here=True))
async def show_one(request: Ask) -> Response[bytes]:
    query_of(request, Nothing)
    name = str(request.path_params["id"])
    return send_json(
        await api_of(request).store.reader.run(lambda c: queries.show(c, schema.agents, name, "agent"))
    )


@put(
    "/agents/{id:str}",
    opt=about("Create or replace.", Verb.CONFIGURE, body=DefineAgent, answer=Agent, changes=True),
)
async def define_one(request: Ask) -> Response[bytes]:
    name, who = _as_name(str(request.path_params["id"])), by(request)
    ask, raw = await body_of(request, DefineAgent)
    harnesses = api_of(request).engine.settings.harnesses

    def effect(unit: Unit) -> Answer:
        return made(define_agent(unit, name, ask, by=who, harnesses=harnesses))

    return await change(request, raw, effect)


@delete(
    "/agents/{id:str}",
    status_code=200,
    opt=about("Remove an agent.", Verb.CONFIGURE, answer=Nothing, changes=True),
)
async def remove_one(request: Ask) -> Response[bytes]:
    name, who = str(request.path_params["id"]), by(request)

    def effect(unit: Unit) -> Answer:
        remove_agent(unit, name, by=who)
        return GONE

    return await change(request, b"", effect)


def _as_name(raw: str) -> str:
    try:
        return msgspec.convert(raw, Name)
    except msgspec.ValidationError as error:
        raise InvalidRequest(
            f"{raw[:80]!r} is no name", hint="letters, digits, '.', '_' and '-', up to 100"
        ) from error


ROUTES = [list_them, show_one, define_one, remove_one]
