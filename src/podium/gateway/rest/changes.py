"""Changes: list, show, their diff from the server's own mirror, their bundle, and that somebody took one."""

from __future__ import annotations

from typing import Annotated

import msgspec
from litestar import Response, get, post
from litestar.response import Stream
from msgspec import Meta, Struct

from podium.engine.commands import note_applied
from podium.gateway.api import (
    Api,
    Ask,
    Nothing,
    Page,
    api_of,
    attachment,
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
from podium.gateway.blobs import send_bytes
from podium.gateway.routes import Listed, about
from podium.kernel.access import Verb
from podium.kernel.nouns import Change
from podium.store import queries, schema
from podium.store.idempotency import Answer
from podium.store.unit import Unit

DIFF = "text/x-diff; charset=utf-8"
BUNDLE = "application/x-git-bundle"
MAX_DIFF_BYTES = 8 * 1024 * 1024


class ChangePage(Page, frozen=True, kw_only=True, forbid_unknown_fields=True):
    task: Annotated[str, Meta(max_length=100)] | None = None


class NoteApplied(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Where the commits were taken to: a path, and on which machine."""

    where: Annotated[str, Meta(min_length=1, max_length=1_000)]


@get("/changes", opt=about("List changes, newest first.", query=ChangePage, answer=Listed[Change], here=True))
async def list_them(request: Ask) -> Response[bytes]:
    ask, api = query_of(request, ChangePage), api_of(request)
    after, scope = page_after(ask, "change"), scope_of(request)
    return send_json(
        await api.store.reader.run(
            lambda c: queries.list_of_task(
                c, schema.changes, limit=ask.limit, after=after, task=ask.task, scope=scope
            )
        )
    )


@get("/changes/{id:str}", opt=about("One change.", answer=Change, here=True))
async def show_one(request: Ask) -> Response[bytes]:
    query_of(request, Nothing)
    return send_json(await _doc(request))


@get(
    "/changes/{id:str}/diff",
    opt=about("Its unified diff. `podium-truncated: true` when it is longer than is served.", gives=DIFF),
)
async def show_diff(request: Ask) -> Response[bytes]:
    query_of(request, Nothing)
    api = api_of(request)
    return await finished_diff(api, await _change(request))


@get(
    "/changes/{id:str}/bundle",
    opt=about(
        "Its commits as a git bundle; with a `Range` header a part of it (206).",
        gives=BUNDLE,
        also=(206, 416),
        parts=True,
    ),
)
async def fetch_bundle(request: Ask) -> Stream:
    query_of(request, Nothing)
    api = api_of(request)
    found = await _change(request)
    path = api.store.artifacts.path(found.bundle)
    headers = {"etag": f'"{found.bundle}"', **attachment(f"{found.id}.bundle")}
    return send_bytes(request, path, path.stat().st_size, BUNDLE, headers)


@post(
    "/changes/{id:str}/applied",
    opt=about(
        "Note that somebody took the commits.", Verb.WORK, body=NoteApplied, answer=Change, changes=True
    ),
)
async def note_that_applied(request: Ask) -> Response[bytes]:
    change_id, who = id_of(request, "change"), by(request)
    ask, raw = await body_of(request, NoteApplied)

    def effect(unit: Unit) -> Answer:
        note_applied(unit, change_id, ask.where, by=who)
        unit.flush()
        return made(unit.change(change_id))

    return await change(request, raw, effect, of=(schema.changes, change_id))


async def finished_diff(api: Api, found: Change) -> Response[bytes]:
    got = await api.engine.mirrors.diff(found.repository, found.base, found.tip, MAX_DIFF_BYTES)
    return send_diff(got.patch, truncated=got.truncated)


def send_diff(patch: bytes, *, truncated: bool) -> Response[bytes]:
    headers = {"podium-truncated": "true" if truncated else "false"}
    return Response(patch, media_type=DIFF, headers=headers)


async def _change(request: Ask) -> Change:
    return msgspec.json.decode(await _doc(request), type=Change)


async def _doc(request: Ask) -> bytes:
    change_id, scope = id_of(request, "change"), scope_of(request)
    return await api_of(request).store.reader.run(
        lambda c: queries.show(c, schema.changes, change_id, "change", scope=scope)
    )


ROUTES = [list_them, show_one, show_diff, fetch_bundle, note_that_applied]
