"""As much of HTTP/1.1 as a scripted model needs, with full control of what goes wrong on the wire."""

from __future__ import annotations

import asyncio
import json
from typing import Any

from msgspec import Struct

MAX_BODY_BYTES = 64 * 1024 * 1024


class Request(Struct, frozen=True, kw_only=True):
    method: str
    path: str
    """Without the query."""
    headers: dict[str, str]
    """Lower-case names."""
    body: bytes


class Malformed(Exception):
    """Not a request that we can read."""


async def read_request(reader: asyncio.StreamReader) -> Request | None:
    """The next request of a connection; None when the peer closed it. Raises Malformed."""
    try:
        head = await reader.readuntil(b"\r\n\r\n")
    except asyncio.IncompleteReadError:
        return None
    except asyncio.LimitOverrunError as error:
        raise Malformed("the head is too long") from error
    first, *lines = head.decode("latin-1").split("\r\n")
    words = first.split(" ")
    if len(words) != 3:
        raise Malformed("no request line")
    headers = {
        name.strip().lower(): value.strip() for name, _, value in (x.partition(":") for x in lines if x)
    }
    if headers.get("transfer-encoding", "").lower() == "chunked":
        body = await _chunks(reader)
    else:
        length = headers.get("content-length", "0")
        if not length.isdecimal() or int(length) > MAX_BODY_BYTES:
            raise Malformed("no length that we take")
        body = await reader.readexactly(int(length))
    return Request(method=words[0], path=words[1].partition("?")[0], headers=headers, body=body)


async def _chunks(reader: asyncio.StreamReader) -> bytes:
    parts: list[bytes] = []
    total = 0
    while True:
        try:
            size = int((await reader.readline()).split(b";")[0], 16)
        except ValueError as error:
            raise Malformed("no chunk") from error
        total += size
        if total > MAX_BODY_BYTES or size < 0:
            raise Malformed("the body is too long")
        if size == 0:
            while await reader.readline() not in (b"\r\n", b""):
                pass
            return b"".join(parts)
        parts.append(await reader.readexactly(size))
        await reader.readexactly(2)


class Answer:
    """Writes one response. Every answer closes its connection, so that none can leak into the next."""

    def __init__(self, writer: asyncio.StreamWriter) -> None:
        self._writer = writer

    async def plain(self, status: int, body: Any, headers: dict[str, str] | None = None) -> None:
        raw = json.dumps(body).encode()
        given = {"content-type": "application/json", "content-length": str(len(raw)), **(headers or {})}
        self._writer.write(_head(status, given) + raw)
        await self._writer.drain()

    async def begin_stream(self) -> None:
        self._writer.write(_head(200, {"content-type": "text/event-stream", "transfer-encoding": "chunked"}))
        await self._writer.drain()

    async def event(self, body: Any) -> None:
        raw = f"event: {body['type']}\ndata: {json.dumps(body)}\n\n".encode()
        self._writer.write(f"{len(raw):x}\r\n".encode() + raw + b"\r\n")
        await self._writer.drain()

    async def end_stream(self) -> None:
        self._writer.write(b"0\r\n\r\n")
        await self._writer.drain()


def _head(status: int, headers: dict[str, str]) -> bytes:
    lines = [f"HTTP/1.1 {status} Scripted", "connection: close", "request-id: req_scripted"]
    lines += [f"{name}: {value}" for name, value in headers.items()]
    return "\r\n".join([*lines, "", ""]).encode("latin-1")
