"""Raw output that was kept when its run ended: any part of a gzip file, unpacked as it is read."""

from __future__ import annotations

import zlib
from pathlib import Path
from typing import IO

from podium.kernel.errors import Unavailable
from podium.kernel.pieces import HEAD_BYTES, lengths

READ_BYTES = 64 * 1024
UNPACK_BYTES = 256 * 1024
"""What is in memory at once, beside the answer."""


def read_part(path: Path, offset: int, limit: int) -> bytes:
    """At most `limit` bytes of what is packed in `path`, from `offset`. Blocks.

    Members that say their lengths are passed over unread. Raises Unavailable when the file is damaged.
    """
    try:
        with path.open("rb") as file:
            return _read(file, _pass_over(file, offset), limit)
    except zlib.error as error:
        raise Unavailable(f"the kept output is damaged: {error}", hint="bring back a backup") from error


def _pass_over(file: IO[bytes], offset: int) -> int:
    """Move to the member that holds `offset`; gives the place of `offset` behind there."""
    while True:
        start = file.tell()
        found = lengths(file.read(HEAD_BYTES))
        if found is None or found[1] > offset:
            file.seek(start)
            return offset
        file.seek(start + found[0])
        offset -= found[1]


def _read(file: IO[bytes], skip: int, limit: int) -> bytes:
    parts: list[bytes] = []
    unpacker = zlib.decompressobj(zlib.MAX_WBITS | 16)
    packed = b""
    while limit > 0:
        if unpacker.eof:
            # One member ends, the next begins: together they are one gzip file.
            packed = unpacker.unused_data or file.read(READ_BYTES)
            unpacker = zlib.decompressobj(zlib.MAX_WBITS | 16)
        else:
            packed = unpacker.unconsumed_tail or file.read(READ_BYTES)
        plain = unpacker.decompress(packed, UNPACK_BYTES) if packed else b""
        if not packed and not plain:
            break
        part = plain[skip : skip + limit]
        skip -= min(skip, len(plain))
        limit -= len(part)
        parts.append(part)
    return b"".join(parts)
