"""The outermost wrapper: what no request may get past, whatever route it names or fails to name.

Outside the framework, because the framework's own checks do not see unrouted addresses, sockets and mounts.
In order: Host, Origin, no token in the address, method, who asks (a bearer, or a browser by its cookie),
rate, content type, size. What a principal may do is decided with the route. There is no CORS: no other
origin is ever allowed to read an answer.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple, Protocol, cast
from urllib.parse import parse_qsl

from litestar.types import ASGIApp, Receive, Scope, Send

from podium.gateway.auth import PRINCIPAL, SECRET, Principal, Tokens, bearer_of
from podium.gateway.body import SEND_LESS, Body
from podium.gateway.buckets import Buckets
from podium.gateway.cookies import CSRF_HEADER, check_own_page, secret_in
from podium.gateway.errors import envelope, headers_of
from podium.gateway.exposure import caller_behind
from podium.gateway.settings import GatewaySettings
from podium.kernel.access import Verb
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

API = "/api/"
OPEN = frozenset({"/api/v1/health", "/api/v1/login"})
LONG = ("/stream", "/wait")
"""How addresses end whose requests last: they are cut off when their token becomes void."""
VOID_CODE = 4401
METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "DELETE"})
SECRETS = frozenset({"token", "access_token", "auth", "authorization", "api_key", "key", "secret"})
"""Query parameters that would carry a credential into logs and histories."""
_EVERYWHERE = (
    (b"x-content-type-options", b"nosniff"),
    (b"x-frame-options", b"DENY"),
    (b"referrer-policy", b"no-referrer"),
    (b"cross-origin-resource-policy", b"same-origin"),
    (b"cross-origin-opener-policy", b"same-origin"),
    (b"permissions-policy", b"camera=(), geolocation=(), microphone=(), payment=(), usb=()"),
)
API_HEADERS = (
    (b"content-security-policy", b"default-src 'none'; frame-ancestors 'none'; base-uri 'none'"),
    (b"cache-control", b"no-store"),
    *_EVERYWHERE,
)
PAGE_HEADERS = (
    (
        b"content-security-policy",
        b"default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; font-src 'self'; "
        b"connect-src 'self'; manifest-src 'self'; worker-src 'self'; form-action 'none'; base-uri 'none'; "
        b"frame-ancestors 'none'",
    ),
    *_EVERYWHERE,
)
ARTIFACTS = "/api/v1/artifacts/"


class _Asked(NamedTuple):
    """The headers the guard looks at; several of one name make the request ambiguous."""

    host: bytes
    origin: bytes | None
    site: bytes | None
    csrf: bool
    authorization: bytes | None
    cookies: bytes
    content_type: bytes
    length: int | None
    chunked: bool


class Alarm(Protocol):
    def __call__(self, address: str) -> None:
        """A wrong secret came from there."""


class Guard:
    def __init__(
        self,
        app: ASGIApp,
        tokens: Tokens,
        settings: GatewaySettings,
        clock: Clock,
        *,
        alarm: Alarm,
        methods_at: Callable[[str], Sequence[str]],
    ) -> None:
        self._app = app
        self._tokens = tokens
        self._settings = settings
        self._alarm = alarm
        self._methods_at = methods_at
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
            self._note_caller(raw)
            self._check_address(raw, asked)
            principal = await self._authenticate(raw, asked)
            if principal is not None and raw["type"] == "websocket" and Verb.READ not in principal.verbs:
                raise Forbidden("this token may not read", hint="use one that may: podium tokens add")
            body = self._expected_body(raw, asked, receive)
        except PodiumError as error:
            await _refuse(raw, error, send)
            return
        raw[PRINCIPAL] = principal
        reading = receive if body is None else cast("Receive", body)
        if principal is not None and (raw["type"] == "websocket" or raw["path"].endswith(LONG)):
            await self._serve_long(scope, reading, send, principal)
        else:
            await self._serve(scope, reading, send)

    async def _serve(self, scope: Scope, receive: Receive, send: Send) -> None:
        raw = cast("dict[str, Any]", scope)
        if raw["type"] == "websocket":
            await self._app(scope, receive, send)
            return
        headers = API_HEADERS if raw["path"].startswith(API) else PAGE_HEADERS
        try:
            await self._app(scope, receive, _hardened(send, headers, self._settings.stalled_s))
        except _StalledError:
            # The answer stays incomplete, so the server closes the connection.
            log.info("%s takes nothing of its answer; dropped", raw.get("client"))

    async def _serve_long(self, scope: Scope, receive: Receive, send: Send, principal: Principal) -> None:
        with self._tokens.held(principal) as held:
            await self._serve(scope, receive, send)
        if held.cancelled_caught and cast("dict[str, Any]", scope)["type"] == "websocket":
            closing: Any = {"type": "websocket.close", "code": VOID_CODE, "reason": "unauthorized"}
            with contextlib.suppress(OSError, RuntimeError):  # it went first
                await send(closing)

    def _note_caller(self, scope: dict[str, Any]) -> None:
        """Who asks, when a proxy of ours asks for somebody. Raises Forbidden."""
        proxies = self._settings.exposure.proxies
        if not proxies:
            return
        given = [(name, value.decode("latin-1")) for name, value in scope["headers"]]
        forwarded = [value for name, value in given if name == b"x-forwarded-for"]
        proto = next((value for name, value in given if name == b"x-forwarded-proto"), None)
        peer = scope.get("client") or ("", 0)
        scope["client"] = (caller_behind(str(peer[0]), forwarded, proto, proxies), peer[1])

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
            raise MethodNotAllowed(allow=", ".join(self._methods_at(scope["path"])))

    async def _authenticate(self, scope: dict[str, Any], asked: _Asked) -> Principal | None:
        """None: an address that is open to everybody."""
        client = scope.get("client")
        address = str(client[0]) if client else ""
        secret = self._secret(scope, asked)
        scope[SECRET] = secret
        path = scope["path"]
        is_open = scope["type"] == "http" and (path in OPEN or not path.startswith(API))
        return await self.admit(secret, address, is_open=is_open)

    async def admit(self, secret: bytes | None, address: str, *, is_open: bool) -> Principal | None:
        """Who that is, and that they do not ask too often. Raises Unauthorized, RateLimited."""
        if secret is None:
            self._anonymous.take(address)
            if is_open:
                return None
            raise Unauthorized(hint="send `Authorization: Bearer` with the token in $PODIUM_HOME/owner.token")
        try:
            principal = self._tokens.principal(secret)
        except Unauthorized:
            await self.punish(address)
            raise
        self._by_token.take(principal.token_id)
        return principal

    async def punish(self, address: str) -> None:
        """After a wrong secret. Only those wait: whoever has a right one is served all the while."""
        self._failures.take(address)
        log.warning("a wrong token from %s", address)
        self._alarm(address)
        await asyncio.sleep(self._settings.bad_token_delay_s)

    def _secret(self, scope: dict[str, Any], asked: _Asked) -> bytes | None:
        """What a script or one of our pages has shown; None when it shows nothing, or need not."""
        if asked.authorization is not None:
            return bearer_of(asked.authorization)
        path = scope["path"]
        if not asked.cookies or not path.startswith(API) or path in OPEN:
            return None
        secret = secret_in(asked.cookies, self._settings.port)
        if secret is not None:
            socket = scope["type"] == "websocket"
            method = scope.get("method", "GET")
            check_own_page(method, socket=socket, origin=asked.origin, site=asked.site, csrf=asked.csrf)
        return secret

    def _expected_body(self, scope: dict[str, Any], asked: _Asked, receive: Receive) -> Body | None:
        """The body under its limits; None when there is none to read."""
        if scope["type"] != "http":
            return None
        if not asked.chunked and not asked.length:
            return None
        upload = scope["method"] == "PUT" and scope["path"].startswith(ARTIFACTS)
        limit = MAX_ARTIFACT_BYTES if upload else self._settings.max_json_bytes
        if not upload and asked.content_type.split(b";")[0].strip().lower() != b"application/json":
            allowed = self._methods_at(scope["path"])
            if scope["method"] not in allowed:
                raise MethodNotAllowed(allow=", ".join(allowed))
            raise UnsupportedMediaType()
        if asked.length is not None and asked.length > limit:
            raise TooLarge(f"a body may have {limit} bytes here", hint=SEND_LESS, limit_bytes=limit)
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
        site=found.get(b"sec-fetch-site"),
        csrf=CSRF_HEADER in found,
        cookies=found.get(b"cookie", b""),
        authorization=found.get(b"authorization"),
        content_type=found.get(b"content-type", b""),
        length=int(length) if length is not None else None,
        chunked=b"transfer-encoding" in found,
    )


_LOOKED_AT = frozenset(
    {b"host", b"origin", b"authorization", b"content-type", b"content-length", b"transfer-encoding"}
    | {b"cookie", b"sec-fetch-site", CSRF_HEADER}
)


class _StalledError(Exception):
    """The client has taken nothing for too long."""


def _hardened(send: Send, extra: Sequence[tuple[bytes, bytes]], stalled_s: float) -> Send:
    """`send` that adds the headers every answer has, and gives up on a client that stops reading."""

    async def sending(message: Any) -> None:
        if message["type"] == "http.response.start":
            headers = list(message.get("headers", ()))
            given = {name for name, _ in headers}
            headers += [header for header in extra if header[0] not in given]
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
        *API_HEADERS,
        (b"content-type", b"application/json"),
        (b"content-length", str(len(body)).encode()),
        *((name.encode(), value.encode()) for name, value in headers_of(error).items()),
    ]
    await send({"type": f"{kind}.start", "status": error.http_status, "headers": headers})
    await send({"type": f"{kind}.body", "body": body if scope.get("method") != "HEAD" else b""})
