"""Bytes of a stored blob as a stream that never blocks the loop, whole or a part of it."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from typing import Any

import anyio
from litestar import Request
from litestar.response import Stream

from podium.kernel.errors import PodiumError

PIECE_BYTES = 256 * 1024
_RANGE = re.compile(r"bytes=(\d{0,18})-(\d{0,18})")


class RangeNotSatisfiable(PodiumError):
    """That part of it does not exist."""

    code = "range_not_satisfiable"
    http_status = 416


async def pieces(path: Path, start: int = 0, length: int | None = None) -> AsyncIterator[bytes]:
    """The file from `start`. Closed also when the reader goes away half way."""
    left = length
    async with await anyio.open_file(path, "rb") as file:
        await file.seek(start)
        while left is None or left > 0:
            piece = await file.read(PIECE_BYTES if left is None else min(PIECE_BYTES, left))
            if not piece:
                return
            left = None if left is None else left - len(piece)
            yield piece


def part_of(header: str | None, size: int) -> tuple[int, int] | None:
    """(start, length) that a `Range` header asks for; None: the whole, also when it asks for several parts or
    in a way that is not understood, as RFC 9110 has it. Raises RangeNotSatisfiable."""
    found = _RANGE.fullmatch(header.strip()) if header is not None else None
    if found is None or found.group() == "bytes=-":
        return None
    first, last = found.groups()
    if not first:
        length = min(int(last), size)
        if length == 0:
            raise RangeNotSatisfiable(hint=f"it has {size} bytes", size=size)
        return size - length, length
    start = int(first)
    end = min(int(last), size - 1) if last else size - 1
    if last and int(last) < start:
        return None
    if start >= size:
        raise RangeNotSatisfiable(hint=f"it has {size} bytes", size=size)
    return start, end - start + 1


def send_bytes(
    request: Request[Any, Any, Any], path: Path, size: int, media_type: str, headers: Mapping[str, str]
) -> Stream:
    """All of them, or the part that a `Range` header asks for. `headers` hold an `etag` for bytes that never
    change: only another one in If-Range asks for the whole instead."""
    same = request.headers.get("if-range", headers["etag"]) == headers["etag"]
    part = part_of(request.headers.get("range") if same else None, size)
    if part is None:
        told = {**headers, "accept-ranges": "bytes", "content-length": str(size)}
        return Stream(pieces(path), media_type=media_type, headers=told)
    start, length = part
    told = {
        **headers,
        "accept-ranges": "bytes",
        "content-length": str(length),
        "content-range": f"bytes {start}-{start + length - 1}/{size}",
    }
    return Stream(pieces(path, start, length), status_code=206, media_type=media_type, headers=told)
