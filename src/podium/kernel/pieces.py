"""Long output as gzip in pieces: any gzip program reads it, and we can go to an offset without unpacking all
that is before it, since every member says in its header how long it is, packed and unpacked."""

from __future__ import annotations

import struct
import zlib

PIECE_BYTES = 4 * 1024 * 1024
"""Unpacked, at most, of one member."""
LEVEL = 3

# RFC 1952: magic, deflate, FEXTRA; no time (the same output gives the same bytes); unknown system; then one
# extra field of ours, "PD", with the two lengths.
_HEAD = struct.Struct("<4sIBBH2sHQQ")
_MAGIC = b"\x1f\x8b\x08\x04"
_TAIL = struct.Struct("<II")
HEAD_BYTES = _HEAD.size


def pack(data: bytes) -> bytes:
    """One member."""
    packer = zlib.compressobj(LEVEL, zlib.DEFLATED, -zlib.MAX_WBITS)
    body = packer.compress(data) + packer.flush()
    whole = _HEAD.size + len(body) + _TAIL.size
    head = _HEAD.pack(_MAGIC, 0, 0, 255, 20, b"PD", 16, whole, len(data))
    return head + body + _TAIL.pack(zlib.crc32(data), len(data) & 0xFFFFFFFF)


def lengths(head: bytes) -> tuple[int, int] | None:
    """(packed, unpacked) of the member that begins with these HEAD_BYTES; None when it does not say."""
    if len(head) < _HEAD.size:
        return None
    magic, _, _, _, extra, name, size, packed, plain = _HEAD.unpack_from(head)
    if (magic, extra, name, size) != (_MAGIC, 20, b"PD", 16) or packed <= _HEAD.size:
        return None
    return packed, plain
