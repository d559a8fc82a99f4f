"""Typed, prefixed, sortable ids: `task_01j9…` (48 bits of milliseconds, 80 of entropy, base 32)."""

from __future__ import annotations

import re
from typing import NewType

from podium.kernel.clock import Clock, Entropy
from podium.kernel.errors import InvalidRequest

ProjectId = NewType("ProjectId", str)
TaskId = NewType("TaskId", str)
RunId = NewType("RunId", str)
ChangeId = NewType("ChangeId", str)
WorkerId = NewType("WorkerId", str)
TokenId = NewType("TokenId", str)
SessionId = NewType("SessionId", str)
MessageId = NewType("MessageId", str)
InquiryId = NewType("InquiryId", str)
GrantId = NewType("GrantId", str)
ArtifactId = NewType("ArtifactId", str)
"""`artifact_<sha256 in hex>`: the id is the content."""

KINDS: frozenset[str] = frozenset(
    {"project", "task", "run", "change", "worker", "token", "session", "message", "inquiry", "grant"}
)
_ALPHABET = "0123456789abcdefghjkmnpqrstvwxyz"
_SHAPE = re.compile(r"^([a-z]+)_([0-9a-hjkmnp-tv-z]{26})$")
_ARTIFACT = re.compile(r"^artifact_[0-9a-f]{64}$")


def make_id(kind: str, at_ms: int, entropy: bytes) -> str:
    """A new id of `kind`; sorts by `at_ms`. `entropy` is 10 random bytes given by the caller."""
    return make_from_number(kind, (at_ms & ((1 << 48) - 1)) << 80 | int.from_bytes(entropy[:10], "big"))


def make_from_number(kind: str, number: int) -> str:
    """The id of `kind` that holds this number of 128 bits."""
    digits = []
    for _ in range(26):
        digits.append(_ALPHABET[number & 31])
        number >>= 5
    return f"{kind}_{''.join(reversed(digits))}"


def id_number(made: str) -> int:
    """The 128 bits of an id: the inverse of `make_from_number`."""
    number = 0
    for digit in made.rpartition("_")[2]:
        number = number << 5 | _ALPHABET.index(digit)
    return number


def kind_of(raw: str) -> str | None:
    """The kind of a well-formed id, else None. The only way to branch on an id's kind."""
    if _ARTIFACT.match(raw):
        return "artifact"
    found = _SHAPE.match(raw)
    return found.group(1) if found and found.group(1) in KINDS else None


def parse_id(kind: str, raw: str) -> str:
    """`raw` when it is an id of `kind`. Raises InvalidRequest otherwise."""
    if kind_of(raw) != kind:
        raise InvalidRequest(f"{raw[:80]!r} is not a {kind} id", hint=f"{kind} ids look like {kind}_01j…")
    return raw


def time_of(made: str) -> int:
    """Seconds since 1970 at which an id was made: the first ten digits are its 48 bits of milliseconds."""
    milliseconds = 0
    for digit in made.rpartition("_")[2][:10]:
        milliseconds = milliseconds << 5 | _ALPHABET.index(digit)
    return milliseconds // 1000


class IdMaker:
    """Makes ids from the clock and the entropy it was given."""

    def __init__(self, clock: Clock, entropy: Entropy) -> None:
        self._clock = clock
        self._entropy = entropy

    def new(self, kind: str) -> str:
        return make_id(kind, int(self._clock.now().timestamp() * 1000), self._entropy(10))
