"""Tokens: make a narrower one, list, show, replace the secret, revoke. Secrets are told once, when made."""

from __future__ import annotations

import os
from collections.abc import Callable

import msgspec
from litestar import Response, get, post
from msgspec import Struct
from sqlalchemy import Connection

from podium.engine import tokens as engine
from podium.gateway.api import (
    Api,
    Ask,
    Nothing,
    Page,
    api_of,
    body_of,
    by,
    encode,
    id_of,
    key_for,
    made,
    page_after,
    principal_of,
    query_of,
    replied,
    send_json,
)
from podium.gateway.auth import Principal
from podium.gateway.routes import Listed, about
from podium.gateway.token_files import IN_FILES, token_path, write_token
from podium.kernel.access import Kind, MakeToken, Token, Verb
from podium.kernel.errors import Forbidden, NotFound
from podium.store import queries, schema
from podium.store.idempotency import Answer, once
from podium.store.unit import Unit


class MadeToken(Struct, frozen=True, kw_only=True):
    """`secret` is told this once; a repeat under the same Idempotency-Key has null instead."""

    token: Token
    secret: str | None


class Revoke(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    why: str = ""


@post(
    "/tokens",
    opt=about(
        "Make a token, at most as wide as the one it is made with.",
        Verb.MINT,
        body=MakeToken,
        answer=MadeToken,
        status=201,
        changes=True,
        about_tokens=True,
    ),
)
async def make_one(request: Ask) -> Response[bytes]:
    ask, raw = await body_of(request, MakeToken)
    api, mine = api_of(request), principal_of(request)
    secrets: list[str] = []

    def effect(unit: Unit) -> Answer:
        token, secret = engine.make_token(unit, mine.token_id, ask, ids=api.engine.ids, entropy=os.urandom)
        secrets[:] = [secret]
        return made(MadeToken(token=token, secret=None), 201)

    return await _told(request, api, raw, effect, secrets)


@get(
    "/tokens",
    opt=about("List tokens: all for an owner, else this one and those made with it.", query=Page,
              answer=Listed[Token], here=True),
)  # fmt: skip
async def list_them(request: Ask) -> Response[bytes]:
    ask, mine = query_of(request, Page), principal_of(request)
    after = page_after(ask, "token")

    def read(connection: Connection) -> bytes:
        if _sees_all(mine):
            return queries.list_of_task(connection, schema.tokens, limit=ask.limit, after=after, task=None)
        return queries.list_below(connection, mine.token_id, limit=ask.limit, after=after)

    return send_json(await api_of(request).store.reader.run(read))


@get("/tokens/{id:str}", opt=about("One token.", answer=Token, here=True))
async def show_one(request: Ask) -> Response[bytes]:
    query_of(request, Nothing)
    token_id, mine = id_of(request, "token"), principal_of(request)

    def read(connection: Connection) -> bytes:
        _check_mine(connection, mine, token_id)
        return queries.show(connection, schema.tokens, token_id, "token")

    return send_json(await api_of(request).store.reader.run(read))


@post(
    "/tokens/{id:str}/rotate",
    status_code=200,
    opt=about(
        "Give a token a new secret; the old one fails from the next request on.",
        Verb.MINT,
        answer=MadeToken,
        changes=True,
        about_tokens=True,
    ),
)
async def rotate_one(request: Ask) -> Response[bytes]:
    _, raw = await body_of(request, Nothing)
    token_id, api, mine, who = id_of(request, "token"), api_of(request), principal_of(request), by(request)
    secrets: list[str] = []

    def effect(unit: Unit) -> Answer:
        _check_mine(unit.connection, mine, token_id)
        token, secret = engine.rotate_token(unit, token_id, by=who, entropy=os.urandom)
        secrets[:] = [secret]
        if token.parent is None and token.kind in IN_FILES:
            # Before the commit: a crash in between leaves a file that the next start makes good.
            write_token(token_path(api.store.home, token.kind), secret)
        return made(MadeToken(token=token, secret=None))

    return await _told(request, api, raw, effect, secrets)


@post(
    "/tokens/{id:str}/revoke",
    status_code=200,
    opt=about(
        "End a token and all that were made with it; again is no error. Everybody may end the own one.",
        body=Revoke,
        answer=Token,
        verbs=(Verb.READ, Verb.MINT, Verb.STORE),
        changes=True,
        about_tokens=True,
    ),
)
async def revoke_one(request: Ask) -> Response[bytes]:
    ask, raw = await body_of(request, Revoke)
    token_id, api, mine, who = id_of(request, "token"), api_of(request), principal_of(request), by(request)

    def effect(unit: Unit) -> Answer:
        _check_mine(unit.connection, mine, token_id)
        if token_id != mine.token_id and Verb.MINT not in mine.verbs:
            raise Forbidden("this token may end only itself", hint="use one that may mint")
        return made(engine.revoke_token(unit, token_id, by=who, why=ask.why[:200]))

    key = key_for(request, raw)
    answer = await api.store.writer.run(lambda unit: once(unit, key, effect))
    await api.tokens.refresh()
    return replied(answer)


async def _told(
    request: Ask, api: Api, raw: bytes, effect: Callable[[Unit], Answer], secrets: list[str]
) -> Response[bytes]:
    """The answer with its secret, which is not in what is remembered under the key."""
    key = key_for(request, raw)
    answer = await api.store.writer.run(lambda unit: once(unit, key, effect))
    await api.tokens.refresh()
    if answer.replayed or not secrets:
        return replied(answer)
    told = msgspec.structs.replace(msgspec.json.decode(answer.body, type=MadeToken), secret=secrets[0])
    return send_json(encode(told), status_code=answer.status)


def _sees_all(mine: Principal) -> bool:
    return mine.kind is Kind.OWNER and mine.scope is None


def _check_mine(connection: Connection, mine: Principal, token_id: str) -> None:
    """Raises NotFound for tokens that are neither this one nor made with it."""
    if not _sees_all(mine) and token_id not in queries.tokens_below(connection, mine.token_id):
        raise NotFound(f"there is no token {token_id[:80]}", hint="list them with: podium tokens list")


ROUTES = [make_one, list_them, show_one, rotate_one, revoke_one]
