"""Who is asking: the secrets in force, by their hashes, and what each may do.

Kept in memory and brought up to date from the store whenever the log tells of tokens: after a revocation the
next request fails, and whoever is still being served by that token is cut off.
"""

from __future__ import annotations

import hashlib
import hmac
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime

import anyio
import msgspec
from msgspec import Struct
from sqlalchemy import Connection, select

from podium.kernel.access import Kind, Scope, Token, Verb
from podium.kernel.clock import Clock
from podium.kernel.errors import Unauthorized, Unavailable
from podium.kernel.ids import TokenId
from podium.kernel.nouns import Run
from podium.kernel.states import RUN_TERMINAL
from podium.store import schema
from podium.store.store import Store

MAX_SECRET = 200
AGAIN_S = 0.5
PRINCIPAL = "podium.principal"
"""Where the principal stands in the scope of a request."""
SECRET = "podium.secret"  # noqa: S105 (a name)
"""Where its secret stands there, as it was shown: what a gateway that follows passes on."""
TOLD_BY = frozenset({"token.made", "token.rotated", "token.revoked"})
ENDS_A_RUN = frozenset({"run.leased", "run.succeeded", "run.failed", "run.cancelled", "run.lost"})
"""Events after which a run's token is void: the run has ended, or is somebody else's now."""


class Principal(Struct, frozen=True, kw_only=True):
    """An authenticated actor. `subject` is what events name as their cause; `scope` None sees everything."""

    token_id: TokenId
    kind: Kind
    subject: str
    verbs: frozenset[Verb]
    scope: Scope | None = None
    expires_at: datetime | None = None
    of_run: bool = False
    of_file: bool = False


class Tokens:
    """The hashes of every secret in force."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._clock: Clock = store.clock
        self._known: dict[str, Principal] = {}
        self._in_force: frozenset[TokenId] = frozenset()
        self._held: dict[TokenId, set[anyio.CancelScope]] = defaultdict(set)
        self._news = anyio.Event()

    async def refresh(self) -> None:
        """As the store has them now. Who is served by one that is void is cut off."""
        self._known = await self._store.reader.run(_in_force)
        self._in_force = frozenset(principal.token_id for principal in self._known.values())
        self._watch()
        for token_id in [token_id for token_id in self._held if token_id not in self._in_force]:
            for held in self._held[token_id]:
                held.cancel()

    async def keep_fresh(self) -> None:
        """Refresh after every event that concerns tokens, whoever caused it. Until cancelled."""
        while True:
            await self._news.wait()
            self._news = anyio.Event()
            if not await self._could_refresh():
                # A moment without the database must not leave a token in force that is not.
                self._news.set()
                await anyio.sleep(AGAIN_S)

    async def _could_refresh(self) -> bool:
        try:
            await self.refresh()
        except Unavailable:
            return False
        return True

    def principal(self, secret: bytes) -> Principal:
        """Whose secret that is. Raises Unauthorized, always with the same words."""
        if not 0 < len(secret) <= MAX_SECRET:
            raise refusal()
        digest = hashlib.sha256(secret).hexdigest()
        # Looked up by the hash of 256 random bits: what the time of that tells is of no use to anybody.
        found = self._known.get(digest)
        if found is None or not self._is_in_time(found):
            raise refusal()
        return found

    def of_owner(self) -> TokenId:
        """The one of this machine's own file."""
        return next(
            principal.token_id
            for principal in self._known.values()
            if principal.kind is Kind.OWNER and principal.of_file
        )

    @contextmanager
    def held(self, principal: Principal) -> Iterator[anyio.CancelScope]:
        """For a request that may take long: cancelled within when the token becomes void."""
        with anyio.CancelScope() as scope:
            if principal.expires_at is not None:
                left = principal.expires_at - self._clock.now()
                scope.deadline = anyio.current_time() + left.total_seconds()
            mine = self._held[principal.token_id]
            mine.add(scope)
            try:
                yield scope
            finally:
                mine.discard(scope)
                if not mine:
                    self._held.pop(principal.token_id, None)

    def _is_in_time(self, principal: Principal) -> bool:
        return principal.expires_at is None or self._clock.now() < principal.expires_at

    def _watch(self) -> None:
        of_runs = any(principal.of_run for principal in self._known.values())
        self._store.ring.watch(TOLD_BY | ENDS_A_RUN if of_runs else TOLD_BY, self._hear)

    def _hear(self) -> None:
        self._news.set()


def bearer_of(authorization: bytes) -> bytes:
    """The secret in an `Authorization` header. Raises Unauthorized for another scheme."""
    scheme, _, raw = authorization.partition(b" ")
    if not hmac.compare_digest(scheme.lower(), b"bearer"):
        raise refusal()
    return raw.strip()


def refusal() -> Unauthorized:
    return Unauthorized("that token is not valid here", hint="the owner's is in $PODIUM_HOME/owner.token")


def _in_force(connection: Connection) -> dict[str, Principal]:
    table = schema.tokens
    rows = connection.execute(select(table.c.hash, table.c.doc).where(table.c.in_force == 1)).all()
    tokens = {row.hash: msgspec.json.decode(row.doc, type=Token) for row in rows}
    return {
        digest: _principal(token)
        for digest, token in tokens.items()
        if token.run_id is None or _run_is_open(connection, token)
    }


def _principal(token: Token) -> Principal:
    return Principal(
        token_id=token.id,
        kind=token.kind,
        subject=token.subject,
        verbs=frozenset(token.verbs),
        scope=token.scope,
        expires_at=token.expires_at,
        of_run=token.run_id is not None,
        of_file=token.parent is None,
    )


def _run_is_open(connection: Connection, token: Token) -> bool:
    runs = schema.runs
    row = connection.execute(select(runs.c.doc).where(runs.c.id == token.run_id)).first()
    if row is None:
        return False
    run = msgspec.json.decode(row.doc, type=Run)
    return run.state.word not in RUN_TERMINAL and run.fence == token.fence
