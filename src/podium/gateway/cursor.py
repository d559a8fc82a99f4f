"""A position in the event log as clients see it: opaque, and checked, so that a damaged one is noticed.

8 bytes of sequence number and 4 of CRC-32, in base 32: 20 characters that may be compared for equality only.
"""

from __future__ import annotations

import base64
import binascii
import struct

from podium.kernel.errors import CursorExpired, InvalidRequest

_SHAPE = struct.Struct("!QI")
_SALT = b"podium.cursor"
LENGTH = 20


def encode(seq: int) -> str:
    body = seq.to_bytes(8, "big")
    packed = body + binascii.crc32(_SALT + body).to_bytes(4, "big")
    return base64.b32encode(packed).decode().rstrip("=").lower()


def decode(cursor: str) -> int:
    """The sequence number. Raises InvalidRequest for anything `encode` did not make."""
    refusal = InvalidRequest("that is no cursor of this server", hint="use one as an answer gave it, or none")
    if len(cursor) != LENGTH or not cursor.isascii():
        raise refusal
    try:
        packed = base64.b32decode(cursor.upper() + "====")
        seq, _check = _SHAPE.unpack(packed)
    except (binascii.Error, struct.error):
        raise refusal from None
    if encode(seq) != cursor or seq >= 1 << 62:
        raise refusal
    return int(seq)


def expired(oldest_seq: int) -> CursorExpired:
    """`oldest_seq` is the oldest position from which the log is still complete."""
    return CursorExpired(oldest=encode(oldest_seq))
