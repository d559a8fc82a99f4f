"""Tokens: make a narrower one, give one a new secret, end one with all that were made with it.

Secrets are returned once and never stored, logged or recorded; the store keeps their SHA-256, which is
enough because a secret has 256 random bits.
"""

from __future__ import annotations

import hashlib
from datetime import datetime, timedelta

import msgspec
from msgspec.structs import replace
from sqlalchemy import select

from podium.engine.commands import project_of
from podium.kernel import events as e
from podium.kernel.access import MOST, Kind, MakeToken, Token, narrowed
from podium.kernel.clock import Entropy
from podium.kernel.errors import Conflict, InvalidRequest, NotFound
from podium.kernel.ids import IdMaker, ProjectId, RunId, TokenId
from podium.kernel.nouns import Run
from podium.kernel.states import RUN_TERMINAL
from podium.store import schema
from podium.store.unit import Unit

SECRET_BYTES = 32
SESSION_LIFE = timedelta(days=30)
MAX_SESSIONS = 50
"""Of one token; signing in once more ends the oldest."""
_tokens = schema.tokens


def make_token(
    unit: Unit, maker_id: str, ask: MakeToken, *, ids: IdMaker, entropy: Entropy
) -> tuple[Token, str]:
    """(the token, its secret). Raises Forbidden, Conflict for a name in use, NotFound."""
    maker = token_of(unit, maker_id)
    _check_name(unit, ask.name)
    projects = None
    if ask.projects is not None:
        projects = tuple(_project(unit, maker, reference) for reference in ask.projects)
    expires_at = None if ask.expires_in_s is None else unit.now + timedelta(seconds=ask.expires_in_s)
    token = narrowed(
        maker,
        ask,
        token_id=TokenId(ids.new("token")),
        projects=projects,
        now=unit.now,
        expires_at=expires_at,
    )
    if ask.kind is Kind.RUN:
        token = _of_run(token, _open_run(unit, maker, ask))
    elif ask.run is not None:
        raise InvalidRequest("only a token of kind run belongs to a run", hint="leave `run` out")
    return token, _store(unit, token, entropy)


def sign_in(unit: Unit, maker_id: str, *, ids: IdMaker, entropy: Entropy) -> tuple[Token, str]:
    """A browser's token: as wide as the maker, for a while. Raises NotFound when the maker is void."""
    maker = token_of(unit, maker_id)
    _end_oldest_session(unit, maker)
    until = unit.now + SESSION_LIFE
    session = replace(
        maker,
        id=TokenId(ids.new("token")),
        session=True,
        by=maker.subject,
        parent=maker.parent if maker.session else maker.id,
        depth=maker.depth + 1,
        created_at=unit.now,
        rotated_at=None,
        expires_at=until if maker.expires_at is None else min(until, maker.expires_at),
    )
    return session, _store(unit, session, entropy)


def rotate_token(unit: Unit, token_id: str, *, by: str, entropy: Entropy) -> tuple[Token, str]:
    """A new secret for the same token; the old one is void from this commit on."""
    token = token_of(unit, token_id)
    if token.session:
        raise Conflict("a browser's token has no secret to replace", hint="end it, and sign in again")
    rotated = replace(token, rotated_at=unit.now)
    secret = new_secret(token.kind, entropy)
    unit.execute(
        _tokens.update()
        .where(_tokens.c.id == token.id)
        .values(hash=hash_of(secret), doc=msgspec.json.encode(rotated))
    )
    unit.append(e.TokenRotated(token_id=token.id), by=by)
    return rotated, secret


def revoke_token(unit: Unit, token_id: str, *, by: str, why: str = "") -> Token:
    """End a token and all that were made with it; again is no change. Raises NotFound."""
    token = any_token(unit, token_id)
    if token.revoked_at is not None:
        return token
    for child in unit.connection.execute(
        select(_tokens.c.id).where(_tokens.c.parent == token.id, _tokens.c.in_force == 1)
    ).all():
        revoke_token(unit, child[0], by=by, why=f"made with {token.id}")
    ended = replace(token, revoked_at=unit.now)
    unit.execute(
        _tokens.update().where(_tokens.c.id == token.id).values(in_force=0, doc=msgspec.json.encode(ended))
    )
    unit.append(e.TokenRevoked(token_id=token.id, why=why), by=by)
    return ended


def keep_file_token(unit: Unit, kind: Kind, secret: str, *, ids: IdMaker) -> None:
    """Let the token of a file of this machine count; what the file held before no longer does."""
    row = unit.connection.execute(select(_tokens.c.id).where(_tokens.c.hash == hash_of(secret))).first()
    if row is not None:
        return
    earlier = unit.connection.execute(
        select(_tokens.c.id).where(
            _tokens.c.name == str(kind), _tokens.c.parent.is_(None), _tokens.c.in_force == 1
        )
    ).all()
    for (token_id,) in earlier:
        revoke_token(unit, token_id, by="server", why="its file was replaced")
    token = Token(
        id=TokenId(ids.new("token")),
        name=str(kind),
        kind=kind,
        verbs=tuple(sorted(MOST[kind])),
        by="server",
        created_at=unit.now,
    )
    _insert(unit, token, secret)


def token_of(unit: Unit, token_id: str) -> Token:
    """One that is in force. Raises NotFound."""
    token = any_token(unit, token_id)
    if token.revoked_at is not None or not is_in_time(token, unit.now):
        raise NotFound(f"{token_id} is void", hint="list those in force with: podium tokens list")
    return token


def any_token(unit: Unit, token_id: str) -> Token:
    row = unit.connection.execute(select(_tokens.c.doc).where(_tokens.c.id == token_id)).first()
    if row is None:
        raise NotFound(f"there is no token {token_id[:80]}", hint="list them with: podium tokens list")
    return msgspec.json.decode(row[0], type=Token)


def is_in_time(token: Token, now: datetime) -> bool:
    return token.expires_at is None or now < token.expires_at


def hash_of(secret: str) -> str:
    return hashlib.sha256(secret.encode()).hexdigest()


def new_secret(kind: Kind, entropy: Entropy) -> str:
    return f"podium_{kind}_{entropy(SECRET_BYTES).hex()}"


def _store(unit: Unit, token: Token, entropy: Entropy) -> str:
    secret = new_secret(token.kind, entropy)
    _insert(unit, token, secret)
    return secret


def _insert(unit: Unit, token: Token, secret: str) -> None:
    unit.execute(
        _tokens.insert().values(
            id=token.id,
            hash=hash_of(secret),
            name=token.name,
            parent=token.parent,
            run_id=token.run_id,
            in_force=1,
            doc=msgspec.json.encode(token),
        )
    )
    unit.append(e.TokenMade(token=token), by=token.by)


def _project(unit: Unit, maker: Token, reference: str) -> ProjectId:
    """What the maker cannot see is not there."""
    project = project_of(unit, reference)
    if maker.projects is not None and project.id not in maker.projects:
        raise NotFound(f"there is no project {reference!r}", hint="list them with: podium projects list")
    return project.id


def _of_run(token: Token, run: Run) -> Token:
    # It sees its own task, and nothing else of the project.
    return replace(token, run_id=run.id, task_id=run.task_id, fence=run.fence, projects=())


def _open_run(unit: Unit, maker: Token, ask: MakeToken) -> Run:
    if ask.run is None:
        raise InvalidRequest("a token of kind run belongs to a run", hint="say which: run")
    run = unit.run(RunId(ask.run))
    scope = maker.scope
    if scope is not None and run.project_id not in scope.projects:
        raise NotFound(f"there is no run {ask.run[:80]}", hint="list them with: podium runs list")
    if run.state.word in RUN_TERMINAL:
        raise Conflict(f"{run.id} has ended", hint="a run's token ends with it")
    return run


def _check_name(unit: Unit, name: str) -> None:
    if name in set(Kind):
        raise Conflict(f"{name!r} names a kind of token", hint="give it a name of its own")
    query = select(_tokens.c.id).where(_tokens.c.name == name, _tokens.c.in_force == 1).limit(1)
    if unit.connection.execute(query).first() is not None:
        raise Conflict(f"a token is called {name!r} already", hint="revoke it first, or take another name")


def _end_oldest_session(unit: Unit, maker: Token) -> None:
    query = select(_tokens.c.doc).where(_tokens.c.parent == maker.id, _tokens.c.in_force == 1)
    made = [msgspec.json.decode(row[0], type=Token) for row in unit.connection.execute(query)]
    sessions = sorted((token for token in made if token.session), key=lambda token: token.id)
    for session in sessions[: max(0, len(sessions) - MAX_SESSIONS + 1)]:
        revoke_token(unit, session.id, by="server", why=f"more than {MAX_SESSIONS} browsers")
