"""The log live: server-sent events for scripts, one WebSocket for pages. Both by cursor, both resumable.

A slow client is held back by its own connection and keeps nothing here but its cursor.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Annotated, Any, Final, cast

import anyio
import msgspec
from litestar import WebSocket, get, websocket
from litestar.exceptions import WebSocketDisconnect
from litestar.response import Stream
from msgspec import Meta, Struct
from msgspec.structs import replace

from podium.gateway.api import Api, Ask, api_of, query_of, scope_of
from podium.gateway.auth import PRINCIPAL
from podium.gateway.cursor import encode
from podium.gateway.errors import envelope
from podium.gateway.follow import Wanted, check_seen, follow, mailbox_of, named_in, place_of, wanted_of
from podium.gateway.hub import Chunk
from podium.gateway.partials import PartialFrame
from podium.gateway.rest.events import MAX_TYPES, types_of
from podium.gateway.routes import about
from podium.gateway.sockets import DIRECT, WriteFrame
from podium.kernel.access import Scope
from podium.kernel.errors import (
    CursorExpired,
    InvalidRequest,
    NotFound,
    PodiumError,
    RateLimited,
    Timeout,
    Unavailable,
)

SSE = "text/event-stream"
RETRY_MS = 500
"""How soon a browser comes back by itself."""
HELLO_S = 10.0
"""From the handshake to the subscription."""

CLOSE_CODES: Final[dict[type[PodiumError], int]] = {
    InvalidRequest: 4400,
    NotFound: 4404,
    Timeout: 4408,
    CursorExpired: 4410,
    RateLimited: 4429,
    Unavailable: 1012,
}
"""Browsers show only the code: 4000 + the HTTP status it stands for; 1012 is "come back in a moment"."""
Socket = WebSocket[Any, Any, Any]


class Following(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """From where (nothing: from now on) and what."""

    after: Annotated[str, Meta(max_length=100)] | None = None
    task: Annotated[str, Meta(max_length=100)] | None = None
    run: Annotated[str, Meta(max_length=100)] | None = None
    type: Annotated[str, Meta(max_length=2_000)] | None = None
    """One type, or several with commas between them."""
    partial: bool = False
    """Also text while it is being said, as events named `partial`; needs a task or a run."""


class Subscription(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The first message of a socket's client."""

    after: Annotated[str, Meta(max_length=100)] | None = None
    topics: tuple[Annotated[str, Meta(max_length=100)], ...] = ("events",)
    types: Annotated[tuple[Annotated[str, Meta(max_length=100)], ...], Meta(max_length=MAX_TYPES)] = ()
    """Only events of these types; none: of all."""
    partial: bool = False
    """Also text while it is being said, as `{"partial": {…}}`; needs topics that name tasks or runs."""


_subscription = msgspec.json.Decoder(Subscription)


@get(
    "/events/stream",
    opt=about(
        "Events as they are committed. The header Last-Event-ID goes before `after`.",
        query=Following,
        gives=SSE,
        here=True,
    ),
)
async def follow_events(request: Ask) -> Stream:
    ask, api = query_of(request, Following), api_of(request)
    wanted = Wanted(
        tasks=frozenset({ask.task} if ask.task else ()),
        runs=frozenset({ask.run} if ask.run else ()),
        types=frozenset(types_of(ask.type)),
        scope=scope_of(request),
    )
    await check_seen(api, wanted)
    if api.hub.closed:
        raise Unavailable("Podium is stopping", hint="reconnect in a moment")
    # Before the first byte, so that a cursor that cannot be served is an answer with a status of its own.
    place = await place_of(api, request.headers.get("last-event-id") or ask.after)
    with mailbox_of(api, wanted, ask.partial):
        pass  # refused here, likewise
    return Stream(
        _lines(api, place, wanted, ask.partial), media_type=SSE, headers={"x-accel-buffering": "no"}
    )


async def _lines(api: Api, place: int, wanted: Wanted, partial: bool) -> AsyncIterator[bytes]:
    yield b"retry: %d\nid: %s\n\n" % (RETRY_MS, encode(place).encode())
    try:
        with api.hub.joined(), mailbox_of(api, wanted, partial) as mailbox:
            async for chunk in follow(api, place, wanted, mailbox):
                yield chunk.lines
    except PodiumError as error:
        yield b"event: error\ndata: " + envelope(error) + b"\n\n"


@websocket("/stream", opt=about("Events and text by topics, for pages.", here=True))
async def follow_by_socket(socket: Socket) -> None:
    api = cast("Api", socket.app.state["api"])
    principal = cast("dict[str, Any]", socket.scope)[PRINCIPAL]
    await socket.accept()
    try:
        async with asyncio.timeout(HELLO_S):
            ask = _read_subscription(await socket.receive())
    except TimeoutError:
        await _close(socket, Timeout("say what you want within 10 s of connecting"))
        return
    except PodiumError as error:
        await _close(socket, error)
        return
    except WebSocketDisconnect:
        return
    ending: list[PodiumError] = []
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(_until_gone, socket, tasks.cancel_scope)
        ending.append(await _send_events(socket, api, ask, principal.scope))
        tasks.cancel_scope.cancel()
    for why in ending:
        await _close(socket, why)


async def _send_events(socket: Socket, api: Api, ask: Subscription, scope: Scope | None) -> PodiumError:
    """Until it cannot go on; returns why. Cancelled when the client has gone."""
    try:
        await check_seen(api, replace(named_in(ask.topics), scope=scope))
        wanted = replace(wanted_of(ask.topics), types=frozenset(ask.types), scope=scope)
        place = await place_of(api, ask.after)
        write = _writing(socket)
        with api.hub.joined(), mailbox_of(api, named_in(ask.topics), ask.partial) as mailbox:
            await _send(socket, api, Chunk(place, place, ()), write)
            async for chunk in follow(api, place, wanted, mailbox, write):
                await _send(socket, api, chunk, write)
    except PodiumError as error:
        return error
    return Unavailable("Podium is stopping", hint="reconnect in a moment")


def _writing(socket: Socket) -> WriteFrame | None:
    """The short way to this client, where the server has one."""
    return cast("WriteFrame | None", (socket.scope.get("extensions") or {}).get(DIRECT))


async def _send(socket: Socket, api: Api, chunk: Chunk | PartialFrame, write: WriteFrame | None) -> None:
    if write is not None and write(chunk.wire):
        return
    try:
        async with asyncio.timeout(api.settings.stalled_s):
            await socket.send_data(chunk.frame)
    except TimeoutError as error:
        raise Timeout("the client takes nothing") from error


async def _until_gone(socket: Socket, scope: anyio.CancelScope) -> None:
    """Somebody must listen, or a client that left is never noticed. What it says now is not for us."""
    while True:
        message: Any = await socket.receive()
        if message["type"] == "websocket.disconnect":
            scope.cancel()
            return


def _read_subscription(message: Any) -> Subscription:
    if message["type"] == "websocket.disconnect":
        raise WebSocketDisconnect(detail="gone", code=message.get("code", 1005))
    raw = message.get("text") or message.get("bytes") or ""
    try:
        return _subscription.decode(raw)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise InvalidRequest(f"that is no subscription: {error}") from error


async def _close(socket: Socket, error: PodiumError) -> None:
    """Say why, then close with the code that a browser can see."""
    code = next((code for kind, code in CLOSE_CODES.items() if isinstance(error, kind)), 1011)
    try:
        if not isinstance(error, Timeout):
            await socket.send_data(envelope(error).decode())
        await socket.close(code=code, reason=error.code)
    except (WebSocketDisconnect, RuntimeError, OSError):
        return  # it went first


ROUTES = [follow_events, follow_by_socket]
