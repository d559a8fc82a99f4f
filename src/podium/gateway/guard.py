"""The outermost wrapper: what no request may get past, whatever route it names or fails to name.

Outside the framework, because the framework's own checks do not see unrouted addresses, sockets and mounts.
In order: Host, Origin, no token in the address, method, token, rate, right, content type, size. There is no
CORS: no other origin is ever allowed to read an answer.
"""

from __future__ import annotations

import asyncio
import logging
from typing import Any, NamedTuple, Protocol, cast
from urllib.parse import parse_qsl

from litestar.types import ASGIApp, Receive, Scope, Send

from podium.gateway.auth import Principal, Tokens, may
from podium.gateway.body import Body
from podium.gateway.buckets import Buckets
from podium.gateway.errors import envelope, headers_of
from podium.gateway.settings import GatewaySettings
from podium.kernel.clock import Clock
from podium.kernel.errors import (
    Forbidden,
    InvalidRequest,
    MethodNotAllowed,
    PodiumError,
    TooLarge,
    Unauthorized,
    UnsupportedMediaType,
)
from podium.store.artifacts import MAX_ARTIFACT_BYTES

log = logging.getLogger("podium.gateway")

PRINCIPAL = "podium.principal"
"""Where the principal stands in the scope."""
OPEN = frozenset({"/api/v1/health"})
METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "DELETE"})
SECRETS = frozenset({"token", "access_token", "auth", "authorization", "api_key", "key", "secret"})
"""Query parameters that would carry a credential into logs and histories."""
SECURITY_HEADERS = (
    (b"content-security-policy", b"default-src 'none'; frame-ancestors 'none'; base-uri 'none'"),
    (b"x-content-type-options", b"nosniff"),
    (b"x-frame-options", b"DENY"),
    (b"referrer-policy", b"no-referrer"),
    (b"cross-origin-resource-policy", b"same-origin"),
    (b"cache-control", b"no-store"),
)
ARTIFACTS = "/api/v1/artifacts/"


class _Asked(NamedTuple):
    """The headers the guard looks at; several of one name make the request ambiguous."""

    host: bytes
    origin: bytes | None
    authorization: bytes | None
    content_type: bytes
    length: int | None
    chunked: bool


class Recheck(Protocol):
    def __call__(self) -> Tokens: ...


class Guard:
    """`tokens` is called for each request, so that a changed set is in force at once."""

    def __init__(self, app: ASGIApp, tokens: Recheck, settings: GatewaySettings, clock: Clock) -> None:
        self._app = app
        self._tokens = tokens
        self._settings = settings
        self._hosts, self._origins = settings.hosts, settings.origins
        self._by_token = Buckets(settings.requests_per_s, clock.monotonic)
        self._anonymous = Buckets(settings.anonymous_per_s, clock.monotonic)
        self._failures = Buckets(settings.bad_tokens_per_s, clock.monotonic)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":  # type: ignore[comparison-overlap]
            await self._app(scope, receive, send)
            return
        raw = cast("dict[str, Any]", scope)
        try:
            asked = _read_headers(raw["headers"])
            self._check_address(raw, asked)
            principal = await self._authenticate(raw, asked)
            if principal is not None:
                may(principal, raw.get("method", "GET"), raw["path"])
            body = self._expected_body(raw, asked, receive)
        except PodiumError as error:
            await _refuse(raw, error, send)
            return
        raw[PRINCIPAL] = principal
        if raw["type"] == "websocket":
            await self._app(scope, receive, send)
            return
        try:
            reading = receive if body is None else cast("Receive", body)
            await self._app(scope, reading, _hardened(send, self._settings.stalled_s))
        except _StalledError:
            # The answer stays incomplete, so the server closes the connection.
            log.info("%s takes nothing of its answer; dropped", raw.get("client"))

    def _check_address(self, scope: dict[str, Any], asked: _Asked) -> None:
        if asked.host not in self._hosts:
            raise Forbidden("this server does not go by that name", hint="use http://127.0.0.1 and its port")
        if asked.origin is not None and asked.origin not in self._origins:
            raise Forbidden("pages of other sites may not use this server")
        query: bytes = scope["query_string"]
        if query:
            names = {name.lower() for name, _ in parse_qsl(query.decode("latin-1"), keep_blank_values=True)}
            if names & SECRETS:
                raise InvalidRequest(
                    "a token does not belong into an address",
                    hint="send it as the header `Authorization: Bearer …`, and replace it: it may be logged",
                )
        if scope["type"] == "http" and scope["method"] not in METHODS:
            raise MethodNotAllowed()

    async def _authenticate(self, scope: dict[str, Any], asked: _Asked) -> Principal | None:
        client = scope.get("client")
        address = str(client[0]) if client else ""
        if asked.authorization is None:
            self._anonymous.take(address)
            if scope["type"] == "http" and scope["path"] in OPEN:
                return None
            raise Unauthorized(hint="send `Authorization: Bearer` with the token in $PODIUM_HOME/owner.token")
        try:
            principal = self._tokens().principal(asked.authorization)
        except Unauthorized:
            # Only wrong tokens count and wait: whoever has the right one is served all the while.
            self._failures.take(address)
            log.warning("a wrong token from %s", address)
            await asyncio.sleep(self._settings.bad_token_delay_s)
            raise
        self._by_token.take(principal.token_id)
        return principal

    def _expected_body(self, scope: dict[str, Any], asked: _Asked, receive: Receive) -> Body | None:
        """The body under its limits; None when there is none to read."""
        if scope["type"] != "http":
            return None
        if not asked.chunked and not asked.length:
            return None
        upload = scope["method"] == "PUT" and scope["path"].startswith(ARTIFACTS)
        limit = MAX_ARTIFACT_BYTES if upload else self._settings.max_json_bytes
        if not upload and asked.content_type.split(b";")[0].strip().lower() != b"application/json":
            raise UnsupportedMediaType()
        if asked.length is not None and asked.length > limit:
            raise TooLarge(f"a body may have {limit} bytes here", limit_bytes=limit)
        total_s = None if upload else self._settings.body_total_s
        return Body(receive, limit, gap_s=self._settings.body_gap_s, total_s=total_s)


def _read_headers(headers: list[tuple[bytes, bytes]]) -> _Asked:
    found: dict[bytes, bytes] = {}
    for name, value in headers:
        if name in _LOOKED_AT:
            if name in found:
                raise InvalidRequest(f"the header {name.decode()} may stand only once")
            found[name] = value
    length = found.get(b"content-length")
    if length is not None and not length.isdigit():
        raise InvalidRequest("Content-Length is not a number")
    return _Asked(
        host=found.get(b"host", b"").lower(),
        origin=found.get(b"origin"),
        authorization=found.get(b"authorization"),
        content_type=found.get(b"content-type", b""),
        length=int(length) if length is not None else None,
        chunked=b"transfer-encoding" in found,
    )


_LOOKED_AT = frozenset(
    {b"host", b"origin", b"authorization", b"content-type", b"content-length", b"transfer-encoding"}
)


class _StalledError(Exception):
    """The client has taken nothing for too long."""


def _hardened(send: Send, stalled_s: float) -> Send:
    """`send` that adds the headers every answer has, and gives up on a client that stops reading."""

    async def sending(message: Any) -> None:
        if message["type"] == "http.response.start":
            headers = list(message.get("headers", ()))
            given = {name for name, _ in headers}
            headers += [header for header in SECURITY_HEADERS if header[0] not in given]
            message = {**message, "headers": headers}
        try:
            async with asyncio.timeout(stalled_s):
                await send(message)
        except TimeoutError as error:
            raise _StalledError from error

    return sending


async def _refuse(scope: dict[str, Any], error: PodiumError, send: Any) -> None:
    """The envelope, also to a socket's handshake where the server can send one."""
    socket = scope["type"] == "websocket"
    if socket and "websocket.http.response" not in (scope.get("extensions") or {}):
        await send({"type": "websocket.close", "code": 1008, "reason": error.code})
        return
    kind = "websocket.http.response" if socket else "http.response"
    body = envelope(error)
    headers = [
        *SECURITY_HEADERS,
        (b"content-type", b"application/json"),
        (b"content-length", str(len(body)).encode()),
        *((name.encode(), value.encode()) for name, value in headers_of(error).items()),
    ]
    await send({"type": f"{kind}.start", "status": error.http_status, "headers": headers})
    await send({"type": f"{kind}.body", "body": body if scope.get("method") != "HEAD" else b""})
