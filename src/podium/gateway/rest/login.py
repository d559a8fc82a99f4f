"""Signing in with a browser: a code from a terminal, exchanged for a cookie; and who one is."""

from __future__ import annotations

import os
from datetime import datetime
from typing import Annotated

import msgspec
from litestar import Response, get, post
from msgspec import Meta, Struct

from podium.engine.tokens import SESSION_LIFE, revoke_token, sign_in
from podium.gateway.api import Api, Ask, Nothing, api_of, body_of, encode, principal_of, query_of, send_json
from podium.gateway.auth import Principal
from podium.gateway.carry import place_of
from podium.gateway.cookies import set_cookie
from podium.gateway.logins import CODE_LIFE_S
from podium.gateway.routes import about
from podium.kernel.access import Kind, Token, Verb
from podium.kernel.errors import NotFound, Unauthorized
from podium.kernel.ids import ProjectId, TaskId, TokenId
from podium.store import queries, schema


class LoginCode(Struct, frozen=True, kw_only=True):
    """`path`, on this server's address, signs a browser in: once, within `expires_in_s`. `public_url`: that
    address, for those who come from elsewhere."""

    code: str
    path: str
    public_url: str | None
    expires_in_s: float


class Login(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    code: Annotated[str, Meta(max_length=200)]


class Me(Struct, frozen=True, kw_only=True):
    """Who asks. `projects` null: all. `task_id`: seen beside them."""

    token_id: TokenId
    kind: Kind
    subject: str
    verbs: tuple[Verb, ...]
    projects: tuple[ProjectId, ...] | None
    task_id: TaskId | None
    session: bool
    expires_at: datetime | None


@post(
    "/login-codes",
    opt=about(
        "A code that signs a browser in, as wide as this token.",
        Verb.READ,
        answer=LoginCode,
        status=201,
    ),
)
async def make_code(request: Ask) -> Response[bytes]:
    await body_of(request, Nothing)
    api = api_of(request)
    code = api.logins.issue(principal_of(request).token_id, os.urandom)
    told = LoginCode(
        code=code,
        path=f"/#login={code}",
        public_url=place_of(request).public_url,
        expires_in_s=CODE_LIFE_S,
    )
    return send_json(encode(told), status_code=201)


@post(
    "/login",
    status_code=200,
    opt=about("Exchange a code for a cookie.", body=Login, answer=Me, is_open=True, about_tokens=True),
)
async def log_in(request: Ask) -> Response[bytes]:
    ask, _ = await body_of(request, Login)
    api = api_of(request)
    try:
        token_id = api.logins.redeem(ask.code)
        token, secret = await api.store.writer.run(
            lambda unit: sign_in(unit, token_id, ids=api.engine.ids, entropy=os.urandom)
        )
    except (Unauthorized, NotFound) as error:
        await api.punish(str(request.client.host) if request.client else "")
        if isinstance(error, NotFound):
            raise Unauthorized("the token of that code is void", hint="get a new one: podium login") from None
        raise
    await api.tokens.refresh()
    cookie = set_cookie(place_of(request).port, secret, max_age_s=int(SESSION_LIFE.total_seconds()))
    return send_json(encode(_me(token)), headers={"set-cookie": cookie})


@post(
    "/logout",
    status_code=200,
    opt=about(
        "End a browser's login, here and at once.", answer=Nothing, verbs=tuple(Verb), about_tokens=True
    ),
)
async def log_out(request: Ask) -> Response[bytes]:
    await body_of(request, Nothing)
    api, mine = api_of(request), principal_of(request)
    token = await _token(api, mine)
    if token.session:
        await api.store.writer.run(
            lambda unit: revoke_token(unit, token.id, by=mine.subject, why="signed out")
        )
        await api.tokens.refresh()
    return send_json(b"{}", headers={"set-cookie": set_cookie(place_of(request).port, "", max_age_s=0)})


@get("/me", opt=about("Who asks, and what they may.", answer=Me, verbs=tuple(Verb), here=True))
async def show_me(request: Ask) -> Response[bytes]:
    query_of(request, Nothing)
    return send_json(encode(_me(await _token(api_of(request), principal_of(request)))))


async def _token(api: Api, mine: Principal) -> Token:
    doc = await api.store.reader.run(lambda c: queries.show(c, schema.tokens, mine.token_id, "token"))
    return msgspec.json.decode(doc, type=Token)


def _me(token: Token) -> Me:
    return Me(
        token_id=token.id,
        kind=token.kind,
        subject=token.subject,
        verbs=token.verbs,
        projects=token.projects,
        task_id=token.task_id,
        session=token.session,
        expires_at=token.expires_at,
    )


ROUTES = [make_code, log_in, log_out, show_me]
