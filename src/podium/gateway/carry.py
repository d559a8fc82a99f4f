"""Carries out what another gateway was asked: inside our own application, as whoever's secret came with it.

Whoever can open the bus can send commands, workers too, so a command is believed nothing: its secret is
looked up like one shown over HTTP, its headers are picked, and what a gateway answers itself is refused.
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable
from typing import Any, cast

import anyio
import anyio.abc
import anyio.lowlevel
from litestar.types import ASGIApp, Receive
from msgspec import Struct

from podium.bus import messages as m
from podium.gateway.alarm import Alarms
from podium.gateway.api import Ask, api_of
from podium.gateway.auth import PRINCIPAL
from podium.gateway.beside import COMMAND, PASSED
from podium.gateway.body import Body
from podium.gateway.errors import JSON, envelope, headers_of
from podium.gateway.guard import API, OPEN, Guard
from podium.gateway.settings import GatewaySettings
from podium.kernel.errors import InvalidRequest, NotFound, PodiumError, RateLimited, TooLarge, Unavailable
from podium.store.artifacts import MAX_ARTIFACT_BYTES

log = logging.getLogger("podium.gateway")
METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "DELETE"})
MAX_BODIES = 64
"""Bodies on their way in pieces at once."""
GAP_S = 30.0
"""Longest silence inside such a body; a gateway that died sends no more."""
MAX_ANSWER_BYTES = 32 * 1024 * 1024
"""Of an answer that does not come in parts."""


class Place(Struct, frozen=True, kw_only=True):
    """Of the gateway that was asked: cookies and links are for it."""

    port: int
    public_url: str | None


def place_of(request: Ask) -> Place:
    command = cast("dict[str, Any]", request.scope).get(COMMAND)
    if command is not None:
        return Place(port=command.port, public_url=command.public_url)
    settings = api_of(request).settings
    return Place(port=settings.port, public_url=settings.exposure.public_url)


class Carrier:
    """Started by `start` in the task group that the carried requests shall live in: a connection that goes
    away takes none of them with it half way."""

    def __init__(self, app: ASGIApp, guard: Guard, settings: GatewaySettings, alarms: Alarms) -> None:
        self._app = app
        self._alarms = alarms
        self._guard = guard
        self._settings = settings
        self._bodies: dict[str, _Pieces] = {}
        self._tasks: anyio.abc.TaskGroup | None = None

    def start(self, tasks: anyio.abc.TaskGroup) -> None:
        self._tasks = tasks

    async def __call__(self, asked: m.OfGateway) -> m.Answer:
        if self._tasks is None:
            raise Unavailable("Podium is starting")
        if isinstance(asked, m.BodyPiece):
            return await self._take_piece(asked)
        if isinstance(asked, m.SecretsRefused):
            self._alarms.take(asked.address, asked.count)
            return m.Accepted()
        body = self._body_of(asked)
        told: list[m.CommandAnswer] = []
        done = anyio.Event()
        self._tasks.start_soon(self._carry, asked, body, told.append, done)
        await done.wait()
        if not told:
            raise Unavailable("Podium is stopping")
        return told[0]

    async def _take_piece(self, piece: m.BodyPiece) -> m.Answer:
        body = self._bodies.get(piece.body_id)
        if body is None:
            raise NotFound("nobody reads that body")
        await body.put(piece)
        return m.Accepted()

    def _body_of(self, asked: m.Command) -> _Pieces | None:
        if asked.body_id is None:
            return None
        if len(self._bodies) >= MAX_BODIES:
            raise RateLimited(f"{MAX_BODIES} uploads are on their way already")
        if asked.body_id in self._bodies:
            raise InvalidRequest("that body is read already")
        self._bodies[asked.body_id] = body = _Pieces()
        return body

    async def _carry(
        self,
        asked: m.Command,
        body: _Pieces | None,
        tell: Callable[[m.CommandAnswer], None],
        done: anyio.Event,
    ) -> None:
        try:
            tell(await self._answer(asked, body))
        except PodiumError as error:
            headers = {"content-type": JSON, **headers_of(error)}
            tell(_told(error.http_status, list(headers.items()), envelope(error)))
        finally:
            if asked.body_id is not None:
                self._bodies.pop(asked.body_id, None)
            if body is not None:
                body.close()
            done.set()

    async def _answer(self, asked: m.Command, body: _Pieces | None) -> m.CommandAnswer:
        path, secret = asked.path, asked.secret
        if asked.method not in METHODS or not path.startswith(API):
            raise InvalidRequest("that is no command")
        principal = await self._guard.admit(
            None if secret is None else secret.encode("latin-1", "replace"),
            asked.caller[:100],
            is_open=path in OPEN,
        )
        scope = self._scope(asked)
        scope[PRINCIPAL] = principal
        answer = _Answer(asked.answer_bytes)
        receive: Any = _Receiving(self._next(asked, body), answer.complete)
        with answer.enough:
            await self._app(scope, receive, answer.send)  # type: ignore[arg-type]
        return _told(answer.status, answer.headers, bytes(answer.body), more=answer.more)

    def _scope(self, asked: m.Command) -> dict[str, Any]:
        headers = [
            (name.encode(), value.encode("latin-1", "replace"))
            for name, value in asked.headers
            if name in PASSED
        ]
        return {
            "type": "http",
            "asgi": {"version": "3.0", "spec_version": "2.3"},
            "http_version": "1.1",
            "scheme": self._settings.exposure.scheme,
            "method": asked.method,
            "root_path": "",
            "path": asked.path,
            "raw_path": asked.path.encode(),
            "query_string": asked.query,
            "headers": headers,
            "client": (asked.caller[:100], 0),
            "server": (self._settings.host, self._settings.port),
            "state": {},
            COMMAND: asked,
        }

    def _next(self, asked: m.Command, body: _Pieces | None) -> Callable[[], Awaitable[Any]]:
        if body is not None:
            return Body(cast("Receive", body.receive), MAX_ARTIFACT_BYTES, gap_s=GAP_S, total_s=None)
        if len(asked.body) > self._settings.max_json_bytes:
            raise TooLarge(f"a body may have {self._settings.max_json_bytes} bytes here")

        async def whole() -> Any:
            return {"type": "http.request", "body": asked.body, "more_body": False}

        return whole


class _Receiving:
    """The body, and after the answer what tells an application that nobody listens any more."""

    def __init__(self, following: Callable[[], Awaitable[Any]], complete: anyio.Event) -> None:
        self._following = following
        self._complete = complete
        self._over = False

    async def __call__(self) -> Any:
        if self._over:
            await self._complete.wait()
            return {"type": "http.disconnect"}
        message = await self._following()
        self._over = not message["more_body"]
        return message


class _Pieces:
    """A body that comes in pieces: each waits until the one before was taken."""

    def __init__(self) -> None:
        self._put, self._got = anyio.create_memory_object_stream[m.BodyPiece](0)

    async def put(self, piece: m.BodyPiece) -> None:
        """Raises NotFound when nobody reads it any more."""
        try:
            await self._put.send(piece)
        except (anyio.BrokenResourceError, anyio.ClosedResourceError) as error:
            raise NotFound("nobody reads that body") from error

    async def receive(self) -> Any:
        piece = await self._got.receive()
        return {"type": "http.request", "body": piece.data, "more_body": not piece.last}

    def close(self) -> None:
        self._got.close()
        self._put.close()


class _Answer:
    """Gathers an answer; the application is stopped once there is enough of it."""

    def __init__(self, limit: int) -> None:
        self.enough = anyio.CancelScope()
        self.complete = anyio.Event()
        self.status = 500
        self.headers: list[tuple[str, str]] = []
        self.body = bytearray()
        self.more = False
        self._limit = limit

    async def send(self, message: Any) -> None:
        if message["type"] == "http.response.start":
            self.status = message["status"]
            given = message.get("headers", ())
            self.headers = [(name.decode().lower(), value.decode("latin-1")) for name, value in given]
        elif message["type"] == "http.response.body":
            self.body += message.get("body", b"")
            if len(self.body) > MAX_ANSWER_BYTES:
                raise TooLarge("that answer is too long to be passed on")
            self.more = (
                bool(self._limit) and len(self.body) >= self._limit and message.get("more_body", False)
            )
            if not message.get("more_body", False):
                self.complete.set()
            if self.more:
                self.enough.cancel()
                await anyio.lowlevel.checkpoint()


def _told(status: int, headers: list[tuple[str, str]], body: bytes, *, more: bool = False) -> m.CommandAnswer:
    return m.CommandAnswer(status=status, headers=tuple(headers), body=body, more=more)
