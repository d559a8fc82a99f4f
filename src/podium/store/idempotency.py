"""Answers remembered by key, in the transaction of the effect they answer for."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from typing import NamedTuple

from sqlalchemy import insert, select

from podium.kernel.errors import IdempotencyConflict, InvalidRequest
from podium.store import schema
from podium.store.unit import Unit

MAX_KEY = 200


class Answer(NamedTuple):
    status: int
    body: bytes
    replayed: bool = False


class Key(NamedTuple):
    """Who asked what: keys of different principals are independent; `request` is the hash of the body."""

    principal: str
    key: str
    request: str


def key_of(principal: str, key: str, method: str, path: str, body: bytes) -> Key:
    """Raises InvalidRequest for a key that is empty, too long or not printable ASCII."""
    if not 0 < len(key) <= MAX_KEY or not key.isascii() or not key.isprintable():
        raise InvalidRequest(f"an Idempotency-Key has 1 to {MAX_KEY} printable ASCII characters")
    digest = hashlib.sha256(b"\0".join([method.encode(), path.encode(), body])).hexdigest()
    return Key(principal, key, digest)


def once(unit: Unit, key: Key | None, effect: Callable[[Unit], Answer]) -> Answer:
    """Carry out `effect`, or return what it answered the first time under this key.

    Because commands run one after the other, a hundred at once with one key have one effect and one answer.
    Raises IdempotencyConflict when the key was used for another request.
    """
    if key is None:
        return effect(unit)
    table = schema.idempotency
    row = unit.connection.execute(
        select(table.c.request, table.c.status, table.c.answer).where(
            table.c.principal == key.principal, table.c.key == key.key
        )
    ).first()
    if row is not None:
        if row.request != key.request:
            raise IdempotencyConflict()
        return Answer(row.status, bytes(row.answer), replayed=True)
    answer = effect(unit)
    unit.flush()
    unit.execute(
        insert(table).values(
            principal=key.principal,
            key=key.key,
            request=key.request,
            status=answer.status,
            answer=answer.body,
            created_s=unit.now.timestamp(),
        )
    )
    return answer
