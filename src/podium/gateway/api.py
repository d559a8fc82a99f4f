"""What every handler has at hand, and the few steps they all share: parse, change once, answer bytes."""

from __future__ import annotations

import difflib
from collections.abc import Awaitable, Callable, Mapping
from functools import lru_cache
from typing import Annotated, Any, TypeVar, cast
from urllib.parse import parse_qsl

import msgspec
from litestar import Request, Response
from msgspec import Meta, Struct
from sqlalchemy import Table

from podium.engine.engine import Engine
from podium.gateway.auth import PRINCIPAL, Principal, Tokens
from podium.gateway.errors import JSON, BadRequestBody
from podium.gateway.hub import Hub
from podium.gateway.logins import Logins
from podium.gateway.main_server import MainServer
from podium.gateway.presence import AskedPresence, Presence
from podium.gateway.settings import GatewaySettings
from podium.gateway.silence import Silence
from podium.gateway.snapshots import Snapshots
from podium.kernel.access import Scope
from podium.kernel.errors import InvalidRequest, NotFound, Unauthorized, Unavailable
from podium.kernel.ids import kind_of, parse_id
from podium.store.idempotency import Answer, Key, key_of, once
from podium.store.queries import DEFAULT_PAGE, MAX_PAGE
from podium.store.scope import require
from podium.store.store import Store
from podium.store.unit import Unit

Ask = Request[Any, Any, Any]
S = TypeVar("S", bound=Struct)
MAX_PARAMETERS = 20
DESCRIBED = "what this address takes stands in /api/v1/openapi.json"
encode = msgspec.json.Encoder().encode


class Api:
    """One per gateway. `engine` None: it follows the server `main`, which has one."""

    def __init__(
        self, engine: Engine | None, store: Store, settings: GatewaySettings, main: MainServer | None = None
    ) -> None:
        self._engine = engine
        self.main = main
        self.store = store
        self.settings = settings
        self.hub = Hub(store.ring, max_followers=settings.max_followers)
        self.presence: Presence
        if engine is not None:
            self.presence = engine.roster
        else:
            self.presence = AskedPresence(store.clock, self.following.who)
        self.silence = Silence(store, self.presence)
        self.snapshots = Snapshots(store.clock)
        self.tokens = Tokens(store)
        self.logins = Logins(store.clock)
        self.punish: Callable[[str], Awaitable[None]]
        """What the guard does about a wrong secret from an address; set with the guard."""

    @property
    def engine(self) -> Engine:
        """Only for what the server itself carries out."""
        if self._engine is None:
            raise Unavailable("this gateway follows another server, which has to do that")
        return self._engine

    @property
    def following(self) -> MainServer:
        """Only for what a gateway that follows has to do."""
        if self.main is None:
            raise Unavailable("this server follows nobody")
        return self.main


class Nothing(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """An address that takes no parameters, or a body that may be absent."""


class Page(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Part of a list, newest first. `after` is the `next` of the page before."""

    limit: Annotated[int, Meta(ge=1, le=MAX_PAGE)] = DEFAULT_PAGE
    after: Annotated[str, Meta(min_length=1, max_length=100)] | None = None


def api_of(request: Ask) -> Api:
    return cast("Api", request.app.state["api"])


def principal_of(request: Ask) -> Principal:
    principal = cast("dict[str, Any]", request.scope).get(PRINCIPAL)
    if principal is None:
        raise Unauthorized()
    return cast("Principal", principal)


def scope_of(request: Ask) -> Scope | None:
    """What of all there is the principal sees; None is everything. For every query and every change."""
    return principal_of(request).scope


def by(request: Ask) -> str:
    """Who events name as their cause."""
    return principal_of(request).subject


# ---- what was asked ----------------------------------------------------------------------------------


def id_of(request: Ask, kind: str) -> str:
    """The id in the address. One of another kind, or none at all, is simply not there: NotFound."""
    raw = str(request.path_params["id"])
    if kind_of(raw) != kind:
        look = "the 64 hexadecimal digits of a SHA-256" if kind == "artifact" else f"{kind}_01j…"
        raise NotFound(f"{raw[:80]!r} is not the id of any {kind}", hint=f"{kind} ids look like {look}")
    return raw


def query_of(request: Ask, kind: type[S]) -> S:
    """The query string as `kind`. Raises InvalidRequest, naming the parameter that was probably meant."""
    return parse_query(request.scope["query_string"], kind)


def parse_query(raw: bytes, kind: type[S]) -> S:
    if not raw:
        return cast("S", _nothing_asked(kind))
    try:
        pairs = parse_qsl(
            raw.decode("ascii"),
            keep_blank_values=True,
            strict_parsing=True,
            errors="strict",
            max_num_fields=MAX_PARAMETERS,
        )
    except ValueError as error:
        raise InvalidRequest("the query string cannot be read", hint=DESCRIBED) from error
    values: dict[str, str] = {}
    for name, value in pairs:
        if name not in kind.__struct_fields__:
            close = difflib.get_close_matches(name, kind.__struct_fields__, n=1)
            known = ", ".join(kind.__struct_fields__) or "none"
            hint = f"did you mean {close[0]!r}?" if close else f"known here: {known}"
            raise InvalidRequest(f"there is no parameter {name[:80]!r}", hint=hint)
        if name in values:
            raise InvalidRequest(f"the parameter {name!r} may stand only once", hint=DESCRIBED)
        values[name] = value
    try:
        asked: S = msgspec.convert(values, kind, strict=False)
    except msgspec.ValidationError as error:
        raise InvalidRequest(f"a parameter is not right: {error}", hint=DESCRIBED) from error
    return asked


@lru_cache(maxsize=128)
def _nothing_asked(kind: type[S]) -> S:
    try:
        nothing: S = msgspec.convert({}, kind)
    except msgspec.ValidationError as error:
        raise InvalidRequest(f"a parameter is missing: {error}", hint=DESCRIBED) from error
    return nothing


def page_after(page: Page, kind: str) -> str | None:
    """`after` as an id of `kind`. Raises InvalidRequest."""
    return None if page.after is None else parse_id(kind, page.after)


async def body_of(request: Ask, kind: type[S]) -> tuple[S, bytes]:
    """The JSON body as `kind`, and its bytes. Raises BadRequestBody with the path of what is wrong."""
    raw = await request.body()
    if not raw.strip():
        if not any(field.required for field in msgspec.structs.fields(kind)):
            return kind(), b""
        raise BadRequestBody("a JSON body is needed here", hint=DESCRIBED)
    try:
        return cast("S", _decoder(kind).decode(raw)), raw
    except msgspec.ValidationError as error:
        problem, _, path = str(error).partition(" - at ")
        where = path.strip("`") or "$"
        raise BadRequestBody(
            f"the body is not right at {where}: {problem}", hint=DESCRIBED, path=where
        ) from error
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise BadRequestBody(
            f"the body is not JSON: {error}", hint="send one JSON object in UTF-8"
        ) from error
    except RecursionError as error:
        raise BadRequestBody("the body is nested too deeply", hint=DESCRIBED) from error


@lru_cache(maxsize=64)
def _decoder(kind: type[Struct]) -> msgspec.json.Decoder[Struct]:
    return msgspec.json.Decoder(kind)


# ---- what is changed -----------------------------------------------------------------------------------


def key_for(request: Ask, body: bytes) -> Key | None:
    """The Idempotency-Key of a mutation, if it has one. Raises InvalidRequest."""
    raw = request.headers.get("idempotency-key")
    if raw is None:
        return None
    principal = principal_of(request)
    method, path = str(request.scope["method"]), str(request.scope["path"])
    return key_of(principal.token_id, raw, method, path, body)


async def change(
    request: Ask, body: bytes, effect: Callable[[Unit], Answer], *, of: tuple[Table, str] | None = None
) -> Response[bytes]:
    """Carry out `effect` once for its key, in one transaction with the answer that is remembered.

    `of`: the noun that is changed. Raises NotFound when the principal does not see it.
    """
    key, scope = key_for(request, body), scope_of(request)

    def seen(unit: Unit) -> Answer:
        if of is not None:
            require(unit.connection, *of, scope)
        return once(unit, key, effect)

    return replied(await api_of(request).store.writer.run(seen))


def replied(answer: Answer) -> Response[bytes]:
    headers = {"idempotency-replayed": "true"} if answer.replayed else None
    return send_json(answer.body, status_code=answer.status, headers=headers)


def made(noun: Struct, status: int = 200) -> Answer:
    return Answer(status, encode(noun))


GONE = Answer(200, b"{}")
"""What a removal answers."""


# ---- what is answered ----------------------------------------------------------------------------------


def send_json(
    body: bytes, *, status_code: int = 200, headers: Mapping[str, str] | None = None
) -> Response[bytes]:
    return Response(
        body, status_code=status_code, media_type=JSON, headers=dict(headers) if headers else None
    )


def attachment(name: str) -> dict[str, str]:
    """A file name safe inside a header, whatever an agent called its file."""
    safe = "".join(char if (char.isalnum() and char.isascii()) or char in "._-" else "_" for char in name)
    return {"content-disposition": f'attachment; filename="{safe[:100] or "file"}"'}
