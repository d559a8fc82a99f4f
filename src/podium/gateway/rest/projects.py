"""Projects: add (the repository is tried first), list, show, remove, trust files. Named by id or by name."""

from __future__ import annotations

from typing import Annotated

from litestar import Response, delete, get, post, put
from msgspec import Meta, Struct
from sqlalchemy import Connection, select

from podium.engine.commands import AddProject, add_project, project_of, remove_project
from podium.engine.repositories import canonical_repository
from podium.engine.trust import TrustFile, trust_file
from podium.gateway.api import (
    GONE,
    Api,
    Ask,
    Nothing,
    Page,
    api_of,
    body_of,
    by,
    change,
    key_for,
    made,
    page_after,
    query_of,
    replied,
    scope_of,
    send_json,
)
from podium.gateway.opening import check_project
from podium.gateway.routes import Listed, about
from podium.kernel.access import Scope, Verb
from podium.kernel.errors import Forbidden, NotFound
from podium.kernel.ids import kind_of
from podium.kernel.nouns import Project
from podium.store import queries, schema
from podium.store.idempotency import Answer, Key, once
from podium.store.unit import Unit


class _FirstTimeError(NotFound):
    """This key has not been used before."""


@post(
    "/projects",
    opt=about(
        "Add a project. Its repository is tried first: unreachable, nothing is created.",
        Verb.CONFIGURE,
        body=AddProject,
        answer=Project,
        status=201,
        changes=True,
    ),
)
async def add_one(request: Ask) -> Response[bytes]:
    ask, raw = await body_of(request, AddProject)
    if scope_of(request) is not None:
        raise Forbidden(
            "this token sees certain projects only, so it adds none", hint="use the owner's token"
        )
    api, who = api_of(request), by(request)
    organisation = api.engine.settings.organisation
    earlier = await _answered_before(api, key_for(request, raw))
    if earlier is not None:
        return replied(earlier)
    if ask.repository is not None:
        await api.engine.mirrors.probe(canonical_repository(ask.repository, organisation=organisation))

    def effect(unit: Unit) -> Answer:
        return made(add_project(unit, ask, by=who, ids=api.engine.ids, organisation=organisation), 201)

    return await change(request, raw, effect)


@get("/projects", opt=about("List projects, newest first.", query=Page, answer=Listed[Project], here=True))
async def list_them(request: Ask) -> Response[bytes]:
    ask, api = query_of(request, Page), api_of(request)
    after, scope = page_after(ask, "project"), scope_of(request)
    return send_json(
        await api.store.reader.run(
            lambda c: queries.list_projects(c, limit=ask.limit, after=after, scope=scope)
        )
    )


@get("/projects/{id:str}", opt=about("One project, by id or name.", answer=Project, here=True))
async def show_one(request: Ask) -> Response[bytes]:
    query_of(request, Nothing)
    reference, scope = str(request.path_params["id"]), scope_of(request)
    return send_json(await api_of(request).store.reader.run(lambda c: _doc(c, reference, scope)))


@delete(
    "/projects/{id:str}",
    status_code=200,
    opt=about(
        "Forget a project, by id or name; its tasks stay.", Verb.CONFIGURE, answer=Nothing, changes=True
    ),
)
async def remove_one(request: Ask) -> Response[bytes]:
    reference, who, scope = str(request.path_params["id"]), by(request), scope_of(request)

    def effect(unit: Unit) -> Answer:
        check_project(unit, reference, scope)
        remove_project(unit, reference, by=who)
        return GONE

    return await change(request, b"", effect)


class TrustedFile(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    path: Annotated[str, Meta(max_length=200)]


@put(
    "/projects/{id:str}/trusted-files",
    opt=about(
        "Honour a configuration file of the repository while its content has this hash.",
        Verb.CONFIGURE,
        body=TrustFile,
        answer=Project,
        changes=True,
    ),
)
async def trust_one(request: Ask) -> Response[bytes]:
    reference, who, scope = str(request.path_params["id"]), by(request), scope_of(request)
    ask, raw = await body_of(request, TrustFile)

    def effect(unit: Unit) -> Answer:
        check_project(unit, reference, scope)
        return made(trust_file(unit, project_of(unit, reference), ask.path, ask.sha256, by=who))

    return await change(request, raw, effect)


@delete(
    "/projects/{id:str}/trusted-files",
    status_code=200,
    opt=about("Honour that file no longer.", Verb.CONFIGURE, query=TrustedFile, answer=Project, changes=True),
)
async def distrust_one(request: Ask) -> Response[bytes]:
    reference, who, scope = str(request.path_params["id"]), by(request), scope_of(request)
    ask = query_of(request, TrustedFile)

    def effect(unit: Unit) -> Answer:
        check_project(unit, reference, scope)
        return made(trust_file(unit, project_of(unit, reference), ask.path, None, by=who))

    # What is asked stands in the query here: it takes the body's place in what a key stands for.
    return await change(request, bytes(request.scope["query_string"]), effect)


async def _answered_before(api: Api, key: Key | None) -> Answer | None:
    """What was answered under `key`, so that a repeat does not depend on the repository being there."""
    if key is None:
        return None

    def effect(_unit: Unit) -> Answer:
        raise _FirstTimeError

    try:
        return await api.store.writer.run(lambda unit: once(unit, key, effect), durable=False)
    except _FirstTimeError:
        return None


def _doc(connection: Connection, reference: str, scope: Scope | None) -> bytes:
    if kind_of(reference) == "project":
        return queries.show(connection, schema.projects, reference, "project", scope=scope)
    table = schema.projects
    named = select(table.c.doc).where(table.c.name == reference[:200])
    row = connection.execute(queries.narrow(named, table, scope)).first()
    if row is None:
        raise NotFound(f"there is no project {reference[:80]!r}", hint="list them with: podium projects list")
    return bytes(row[0])


ROUTES = [add_one, list_them, show_one, remove_one, trust_one, distrust_one]
