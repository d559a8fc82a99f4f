"""Who may do what: kinds of principals, verbs, scopes. Pure.

A token can only be narrower than the one that made it, in every direction at once: kind, verbs, projects,
time. `narrowed` is the only way to make one, and ending a token ends all that were made with it.
"""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum
from typing import Annotated, Final

from msgspec import Meta, Struct

from podium.kernel.errors import Forbidden, InvalidRequest
from podium.kernel.ids import ProjectId, RunId, TaskId, TokenId
from podium.kernel.nouns import Name

MAX_CHAIN: Final = 10
"""How many tokens deep one may be made of another."""


class Kind(StrEnum):
    """Of principals."""

    OWNER = "owner"
    OPERATOR = "operator"
    VIEWER = "viewer"
    WORKER = "worker"
    RUN = "run"


class Verb(StrEnum):
    """What a route needs of whoever asks."""

    READ = "read"
    WORK = "work"
    """Open, cancel and retry tasks, with what goes with them."""
    STEER = "steer"
    """Speak to agents."""
    ANSWER = "answer"
    """Decide what agents ask for."""
    CONFIGURE = "configure"
    """Projects and agents, which name programs that are run here."""
    MINT = "mint"
    """Make narrower tokens."""
    ADMIN = "admin"
    """The server itself."""
    STORE = "store"
    """A worker's up- and downloads."""


MOST: Final[dict[Kind, frozenset[Verb]]] = {
    Kind.OWNER: frozenset(Verb),
    Kind.OPERATOR: frozenset({Verb.READ, Verb.WORK, Verb.STEER, Verb.ANSWER, Verb.MINT}),
    Kind.VIEWER: frozenset({Verb.READ}),
    Kind.WORKER: frozenset({Verb.STORE}),
    Kind.RUN: frozenset({Verb.READ, Verb.WORK}),
}
"""What a token of each kind can hold. A run's never answers, configures or makes tokens."""

MAKES: Final[dict[Kind, frozenset[Kind]]] = {
    Kind.OWNER: frozenset(Kind),
    Kind.OPERATOR: frozenset({Kind.OPERATOR, Kind.VIEWER, Kind.RUN}),
    Kind.VIEWER: frozenset(),
    Kind.WORKER: frozenset(),
    Kind.RUN: frozenset(),
}


class Scope(Struct, frozen=True, kw_only=True):
    """The tasks, and what belongs to them, that a narrow token sees: those of `projects`, and `task_id`."""

    projects: frozenset[ProjectId] = frozenset()
    task_id: TaskId | None = None


class Token(Struct, frozen=True, kw_only=True):
    """What is known of a token. Its secret is kept by whoever holds it, and here only as a hash.

    projects: None sees everything. run_id, fence: it dies with that run, or when the run is given out again.
    session: a browser holds it, in a cookie. `parent`: the token it was made with; ends with it.
    """

    id: TokenId
    name: Name
    kind: Kind
    verbs: tuple[Verb, ...]
    projects: tuple[ProjectId, ...] | None = None
    run_id: RunId | None = None
    task_id: TaskId | None = None
    fence: int = 0
    session: bool = False
    by: str
    parent: TokenId | None = None
    depth: int = 0
    created_at: datetime
    expires_at: datetime | None = None
    rotated_at: datetime | None = None
    revoked_at: datetime | None = None

    @property
    def subject(self) -> str:
        """Who events name as their cause."""
        return str(self.kind) if self.name == self.kind else f"{self.kind}:{self.name}"

    @property
    def scope(self) -> Scope | None:
        """None: everything."""
        if self.projects is None and self.run_id is None:
            return None
        return Scope(projects=frozenset(self.projects or ()), task_id=self.task_id)


class MakeToken(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Body of `POST /tokens`. What is left out is as wide as the maker's own token and the kind allow."""

    name: Name
    kind: Kind = Kind.VIEWER
    verbs: Annotated[tuple[Verb, ...], Meta(max_length=len(Verb))] | None = None
    projects: Annotated[tuple[str, ...], Meta(max_length=100)] | None = None
    """By id or name."""
    run: str | None = None
    """For kind `run`: whose."""
    expires_in_s: Annotated[float, Meta(gt=0, le=10 * 365 * 86_400)] | None = None


def narrowed(
    maker: Token,
    ask: MakeToken,
    *,
    token_id: TokenId,
    projects: tuple[ProjectId, ...] | None,
    now: datetime,
    expires_at: datetime | None,
) -> Token:
    """The token that `maker` may make, `projects` and `expires_at` being what was asked for (None: nothing).

    Raises Forbidden for what the maker does not have itself.
    """
    if Verb.MINT not in maker.verbs or ask.kind not in MAKES[maker.kind]:
        makes = ", ".join(sorted(MAKES[maker.kind])) if Verb.MINT in maker.verbs else "none"
        raise Forbidden(
            f"{_article(maker.kind)} token makes no tokens of kind {ask.kind}", hint=f"it makes: {makes}"
        )
    if maker.depth + 1 > MAX_CHAIN:
        raise Forbidden(
            f"tokens are made of each other at most {MAX_CHAIN} deep", hint="ask the owner for one"
        )
    most = MOST[ask.kind] & frozenset(maker.verbs)
    verbs = most if ask.verbs is None else frozenset(ask.verbs)
    if not verbs:
        raise InvalidRequest(
            "a token without a verb can do nothing", hint=f"verbs: {', '.join(sorted(most))}"
        )
    if not verbs <= most:
        beyond = ", ".join(sorted(verbs - most))
        raise Forbidden(f"not given from here: {beyond}", hint=f"it may have: {', '.join(sorted(most))}")
    return Token(
        id=token_id,
        name=ask.name,
        kind=ask.kind,
        verbs=tuple(sorted(verbs)),
        projects=_within(maker.projects, projects),
        by=maker.subject,
        parent=maker.id,
        depth=maker.depth + 1,
        created_at=now,
        expires_at=_sooner(maker.expires_at, expires_at),
    )


def _within(
    own: tuple[ProjectId, ...] | None, asked: tuple[ProjectId, ...] | None
) -> tuple[ProjectId, ...] | None:
    if asked is None or own is None:
        return own if asked is None else asked
    if not set(asked) <= set(own):
        raise Forbidden("a project among them is not this token's", hint="name only projects you can see")
    return asked


def _sooner(own: datetime | None, asked: datetime | None) -> datetime | None:
    if own is None or asked is None:
        return own or asked
    return min(own, asked)


def _article(kind: Kind) -> str:
    return f"an {kind}" if kind in (Kind.OWNER, Kind.OPERATOR) else f"a {kind}"
