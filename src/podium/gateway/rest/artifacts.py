"""Artifacts: streamed in and verified, streamed out. The id is the content, so again is no change."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Annotated, Any, Literal

import msgspec
from litestar import Response, get, head, put
from msgspec import Meta, Struct

from podium.engine.commands import keep_output
from podium.gateway.api import (
    Api,
    Ask,
    Nothing,
    Page,
    api_of,
    attachment,
    by,
    encode,
    id_of,
    page_after,
    principal_of,
    query_of,
    scope_of,
    send_json,
)
from podium.gateway.blobs import send_bytes
from podium.gateway.routes import Listed, about
from podium.kernel.access import Scope, Verb
from podium.kernel.errors import Forbidden, InvalidRequest
from podium.kernel.ids import parse_id
from podium.kernel.nouns import Artifact, KeptOutput
from podium.store import queries, schema
from podium.store.retention import given_to_tasks
from podium.store.scope import require
from podium.store.unit import Unit

BYTES = "application/octet-stream"
MediaType = Annotated[
    str, Meta(max_length=100, pattern=r"^[a-z]+/[A-Za-z0-9.+-]+(; ?charset=[A-Za-z0-9-]+)?$")
]


class ArtifactPage(Page, frozen=True, kw_only=True, forbid_unknown_fields=True):
    task: Annotated[str, Meta(max_length=100)] | None = None


class Upload(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What the bytes are; `task` keeps them as long as that task needs them."""

    name: Annotated[str, Meta(min_length=1, max_length=200)] = "file"
    media_type: MediaType = BYTES
    task: Annotated[str, Meta(max_length=100)] | None = None
    run: Annotated[str, Meta(max_length=100)] | None = None
    """With `size`: a run that has ended, and the bytes are its raw output, packed with gzip."""
    stream: Literal["out", "err"] = "out"
    size: Annotated[int, Meta(ge=0, lt=1 << 53)] | None = None
    """How long that output is, unpacked."""


@put(
    "/artifacts/{id:str}",
    status_code=200,
    opt=about(
        "Store bytes; refused when they are not what the id says.",
        query=Upload,
        takes=BYTES,
        answer=Artifact,
        verbs=(Verb.WORK, Verb.STORE),
    ),
)
async def put_one(request: Ask) -> Response[bytes]:
    api, artifact_id, ask = api_of(request), id_of(request, "artifact"), query_of(request, Upload)
    task_id = parse_id("task", ask.task) if ask.task is not None else None
    run_id = parse_id("run", ask.run) if ask.run is not None else None
    if run_id is not None and Verb.STORE not in principal_of(request).verbs:
        raise Forbidden("only a worker keeps the output of runs", hint="leave `run` and `size` out")
    if (run_id is None) != (ask.size is None):
        raise InvalidRequest("`run` and `size` belong together", hint="give both, or none of them")
    stored, size = await api.store.artifacts.write(_body(request), expect=artifact_id)
    artifact = Artifact(
        id=stored,
        size=size,
        media_type=ask.media_type,
        name=ask.name,
        created_at=api.store.clock.now(),
    )
    who, scope = by(request), scope_of(request)

    def effect(unit: Unit) -> None:
        if task_id is not None:
            require(unit.connection, schema.tasks, task_id, scope)
        unit.artifact(artifact, task_id)
        if run_id is not None:
            keep_output(unit, run_id, ask.stream, KeptOutput(artifact=stored, size=ask.size or 0), by=who)

    await api.store.writer.run(effect)
    return send_json(encode(artifact))


@get("/artifacts", opt=about("List artifacts.", query=ArtifactPage, answer=Listed[Artifact], here=True))
async def list_them(request: Ask) -> Response[bytes]:
    ask, api = query_of(request, ArtifactPage), api_of(request)
    after, scope = page_after(ask, "artifact"), scope_of(request)
    return send_json(
        await api.store.reader.run(
            lambda c: queries.list_of_task(
                c, schema.artifacts, limit=ask.limit, after=after, task=ask.task, scope=scope
            )
        )
    )


@get(
    "/artifacts/{id:str}",
    opt=about(
        "The bytes of an artifact, as a download; with a `Range` header a part of them (206).",
        gives=BYTES,
        verbs=(Verb.READ, Verb.STORE),
        also=(206, 304, 416),
        parts=True,
    ),
)
async def fetch_one(request: Ask) -> Response[Any]:
    query_of(request, Nothing)
    api, artifact_id = api_of(request), id_of(request, "artifact")
    if Verb.READ not in principal_of(request).verbs:
        await _is_for_workers(api, artifact_id)
    artifact = await _artifact(api, artifact_id, scope_of(request))
    path, headers = api.store.artifacts.path(artifact.id), _headers(artifact)
    if headers["etag"] in request.headers.get("if-none-match", ""):
        return Response(None, status_code=304, headers={"etag": headers["etag"]})
    return send_bytes(request, path, artifact.size, artifact.media_type, headers)


@head("/artifacts/{id:str}", opt=about("Whether an artifact is here, and how large.", gives=BYTES))
async def look_at_one(request: Ask) -> Response[None]:
    query_of(request, Nothing)
    api = api_of(request)
    artifact = await _artifact(api, id_of(request, "artifact"), scope_of(request))
    api.store.artifacts.path(artifact.id)
    return Response(None, headers=_headers(artifact) | {"content-type": artifact.media_type})


def _headers(artifact: Artifact) -> dict[str, str]:
    # Always a download and never run: what agents make is data, also when it calls itself a page.
    return {
        "content-length": str(artifact.size),
        "content-security-policy": "default-src 'none'; frame-ancestors 'none'; sandbox",
        "etag": f'"{artifact.id}"',
        "accept-ranges": "bytes",
        **attachment(artifact.name),
    }


async def _body(request: Ask) -> AsyncIterator[bytes]:
    async for piece in request.stream():
        if piece:
            yield piece


async def _is_for_workers(api: Api, artifact_id: str) -> None:
    """Raises Forbidden unless an open task was given it: nothing else here is a worker's to read."""
    if artifact_id not in await api.store.reader.run(given_to_tasks):
        raise Forbidden("a worker may fetch only what open tasks were given", hint="use the owner's token")


async def _artifact(api: Api, artifact_id: str, scope: Scope | None) -> Artifact:
    doc = await api.store.reader.run(
        lambda c: queries.show(c, schema.artifacts, artifact_id, "artifact", scope=scope)
    )
    return msgspec.json.decode(doc, type=Artifact)


ROUTES = [put_one, list_them, fetch_one, look_at_one]
