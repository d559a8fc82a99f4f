"""Bytes of a stored blob as a stream that never blocks the loop."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import anyio

PIECE_BYTES = 256 * 1024


async def pieces(path: Path) -> AsyncIterator[bytes]:
    """The file from its beginning. Closed also when the reader goes away half way."""
    async with await anyio.open_file(path, "rb") as file:
        while piece := await file.read(PIECE_BYTES):
            yield piece
