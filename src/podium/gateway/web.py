"""The page: files that the build hook put into `web/`, served from memory, never from a path that was asked.

`/assets/*` have their content's hash in their name and are kept by browsers for ever; everything else is
index.html, asked for again each time (and answered 304), because the page finds its own way from the address.
Addresses of programs (`/api`, `/mcp`) are never answered here.
"""

from __future__ import annotations

import gzip
import hashlib
import mimetypes
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple, cast

import anyio.to_thread
from litestar.types import ASGIApp, Receive, Scope, Send

from podium.gateway.errors import JSON, envelope
from podium.kernel.errors import MethodNotAllowed, NotFound, PodiumError

WEB = Path(__file__).parent / "web"
INDEX = "/index.html"
ASSETS = "/assets/"
PROGRAMS = ("/api", "/mcp")
"""First parts of addresses that are not for people."""
MIN_GZIP_BYTES = 1024
FOREVER = b"public, max-age=31536000, immutable"
ASK_AGAIN = b"no-cache"
_TYPES = {".js": "text/javascript; charset=utf-8", ".webmanifest": "application/manifest+json"}
_PACKED = ("text/", "image/svg", "application/json", "application/manifest")

# No style and no script in it: the page's own policy would refuse both.
NOT_BUILT = b"""<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>Podium</title>
<h1>Podium runs; its dashboard is not built</h1>
<p>In a clone, type this, then load the page again:</p>
<pre>./podium ui</pre>
<p>It needs the npm registry, and says so when that cannot be reached. In an installation made with pip or uv,
install Podium again.</p>
<p>Everything else works: <code>podium run</code>, <code>podium ps</code>, <code>podium logs -f</code>.</p>
</html>
"""


class File(NamedTuple):
    body: bytes
    packed: bytes | None
    """Gzip, where that pays."""
    etag: bytes
    media_type: bytes
    cache: bytes


class Pages:
    """ASGI application for everything that is not for programs. A page that is built anew while the server
    runs is seen by the next load; files of the one before stay, for tabs that are open."""

    def __init__(self, web: Path = WEB) -> None:
        self._web = web
        self._files: dict[str, File] = {}
        self._seen: object = None

    async def __call__(self, scope: Scope, _receive: Receive, send: Send) -> None:
        raw = cast("dict[str, Any]", scope)
        if raw["method"] not in {"GET", "HEAD"}:
            await _refuse(raw, MethodNotAllowed(), send, ((b"allow", b"GET, HEAD"),))
            return
        path = raw["path"]
        if not path.startswith(ASSETS) or path not in self._files:
            await anyio.to_thread.run_sync(self._look)
        found = self._files.get(path)
        if found is None and path.startswith(ASSETS):
            hint = "load the page again: it was built anew, perhaps"
            await _refuse(raw, NotFound("there is no such file", hint=hint), send)
            return
        found = found or self._files.get(INDEX)
        if found is None:
            await _send(raw, send, 503, {b"content-type": _HTML, b"cache-control": b"no-store"}, NOT_BUILT)
            return
        await _send_file(raw, send, found)

    def _look(self) -> None:
        """Read everything again when the page is another than the one that was read."""
        try:
            found = (self._web / "index.html").stat()
        except FileNotFoundError:
            return
        seen = (found.st_ino, found.st_mtime_ns)
        if seen == self._seen:
            return
        files = {
            f"/{path.relative_to(self._web).as_posix()}": path
            for path in self._web.rglob("*")
            if path.is_file() and not path.name.startswith(".")
        }
        self._files = {**self._files, **{name: _read(name, path) for name, path in files.items()}}
        self._seen = seen


_HTML = b"text/html; charset=utf-8"


def joined(pages: ASGIApp, programs: ASGIApp) -> ASGIApp:
    """Requests of browsers for pages to `pages`, everything else (sockets and lifespan too) to `programs`."""

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        raw = cast("dict[str, Any]", scope)
        for_page = raw["type"] == "http" and "/" + raw["path"].split("/", 2)[1] not in PROGRAMS
        await (pages if for_page else programs)(scope, receive, send)

    return app


def _read(name: str, path: Path) -> File:
    body = path.read_bytes()
    kind = _TYPES.get(path.suffix) or mimetypes.guess_type(path.name)[0] or "application/octet-stream"
    if kind == "text/html" or kind == "text/css":
        kind += "; charset=utf-8"
    packed = None
    if len(body) >= MIN_GZIP_BYTES and kind.startswith(_PACKED):
        packed = gzip.compress(body, 9, mtime=0)
    etag = b'"%s"' % hashlib.sha256(body).hexdigest()[:32].encode()
    return File(body, packed, etag, kind.encode(), FOREVER if name.startswith(ASSETS) else ASK_AGAIN)


async def _send_file(scope: dict[str, Any], send: Send, found: File) -> None:
    asked = {name: value for name, value in scope["headers"] if name in _LOOKED_AT}
    packed = found.packed if b"gzip" in asked.get(b"accept-encoding", b"") else None
    headers = {b"content-type": found.media_type, b"cache-control": found.cache, b"etag": found.etag}
    if found.packed is not None:
        headers[b"vary"] = b"accept-encoding"
    if found.etag in asked.get(b"if-none-match", b"").replace(b"W/", b"").split(b", "):
        del headers[b"content-type"]
        await _send(scope, send, 304, headers, None)
        return
    if packed is not None:
        headers[b"content-encoding"] = b"gzip"
    await _send(scope, send, 200, headers, found.body if packed is None else packed)


_LOOKED_AT = frozenset({b"accept-encoding", b"if-none-match"})


async def _send(
    scope: dict[str, Any], send: Send, status: int, headers: Mapping[bytes, bytes], body: bytes | None
) -> None:
    """`body` None: an answer that has none, and says nothing of its length."""
    named = list(headers.items())
    if body is not None:
        named.append((b"content-length", str(len(body)).encode()))
    start: Any = {"type": "http.response.start", "status": status, "headers": named}
    await send(start)
    shown = body if body is not None and scope["method"] != "HEAD" else b""
    ending: Any = {"type": "http.response.body", "body": shown}
    await send(ending)


async def _refuse(
    scope: dict[str, Any], error: PodiumError, send: Send, more: tuple[tuple[bytes, bytes], ...] = ()
) -> None:
    headers = {b"content-type": JSON.encode(), b"cache-control": b"no-store", **dict(more)}
    await _send(scope, send, error.http_status, headers, envelope(error))
