"""Tokens only narrow: row A2 of the threat list."""

from __future__ import annotations

import random
import secrets
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from podium.kernel.access import MAX_CHAIN, MOST, Kind, MakeToken, Token, Verb, narrowed
from podium.kernel.errors import Forbidden, InvalidRequest
from podium.kernel.ids import ProjectId, TokenId

Link = tuple[MakeToken, tuple[ProjectId, ...] | None, datetime | None]
NOW = datetime(2026, 1, 1, tzinfo=UTC)
PROJECTS = tuple(ProjectId(f"project_{letter}") for letter in "abc")
OWNER = Token(
    id=TokenId("token_0"),
    name="owner",
    kind=Kind.OWNER,
    verbs=tuple(sorted(MOST[Kind.OWNER])),
    by="server",
    created_at=NOW,
)


def made(
    maker: Token,
    ask: MakeToken,
    projects: tuple[ProjectId, ...] | None = None,
    expires_at: datetime | None = None,
) -> Token:
    number = maker.depth + 1
    return narrowed(
        maker, ask, token_id=TokenId(f"token_{number}"), projects=projects, now=NOW, expires_at=expires_at
    )


asks = st.builds(
    MakeToken,
    name=st.just("n"),
    kind=st.sampled_from(Kind),
    verbs=st.none() | st.sets(st.sampled_from(Verb)).map(lambda found: tuple(sorted(found))),
)
scopes = st.none() | st.sets(st.sampled_from(PROJECTS)).map(lambda found: tuple(sorted(found)))
ends = st.none() | st.integers(1, 1_000).map(lambda seconds: NOW + timedelta(seconds=seconds))
chains = st.lists(st.tuples(asks, scopes, ends), min_size=1, max_size=12)


@settings(max_examples=300, deadline=None)
@given(chains)
def test_in_whatever_chain_each_token_is_within_the_one_before(chain: list[Link]) -> None:
    check_chain(chain)


def test_so_it_is_in_twenty_thousand_chains() -> None:
    """Drawn without the means to make a failure small, which cost a hundred times as much."""
    seed = secrets.randbits(32)
    draw = random.Random(seed)

    def some(of: Iterable[Any]) -> tuple[Any, ...] | None:
        return None if draw.random() < 0.3 else tuple(sorted(one for one in of if draw.random() < 0.6))

    def link() -> Link:
        ask = MakeToken(name="n", kind=draw.choice(list(Kind)), verbs=some(Verb))
        ends_at = None if draw.random() < 0.5 else NOW + timedelta(seconds=draw.randrange(1, 1_000))
        return ask, some(PROJECTS), ends_at

    for _ in range(20_000):
        check_chain([link() for _ in range(draw.randrange(1, 12))], f"seed {seed}")


def check_chain(chain: list[Link], said: str = "") -> None:
    maker = OWNER
    for ask, projects, expires_at in chain:
        try:
            token = made(maker, ask, projects, expires_at)
        except (Forbidden, InvalidRequest):
            continue
        assert token.verbs, said
        assert set(token.verbs) <= set(maker.verbs) & MOST[token.kind], said
        if maker.projects is not None:
            assert token.projects is not None, said
            assert set(token.projects) <= set(maker.projects), said
        if maker.expires_at is not None:
            assert token.expires_at is not None, said
            assert token.expires_at <= maker.expires_at, said
        assert token.parent == maker.id, said
        assert token.depth <= MAX_CHAIN, said
        maker = token


@pytest.mark.parametrize("kind", [Kind.VIEWER, Kind.WORKER, Kind.RUN])
def test_who_may_not_mint_makes_nothing(kind: Kind) -> None:
    verbs = tuple(sorted(MOST[kind]))
    maker = Token(id=TokenId("token_1"), name="x", kind=kind, verbs=verbs, by="owner", created_at=NOW)
    with pytest.raises(Forbidden, match="makes no tokens"):
        made(maker, MakeToken(name="y"))


def test_no_kind_but_the_owners_configures_or_ends_the_server() -> None:
    for kind, verbs in MOST.items():
        if kind is not Kind.OWNER:
            assert not verbs & {Verb.CONFIGURE, Verb.ADMIN}
    assert MOST[Kind.RUN] == {Verb.READ, Verb.WORK}


def test_what_is_left_out_is_as_wide_as_the_maker() -> None:
    soon = NOW + timedelta(days=1)
    maker = made(OWNER, MakeToken(name="a", kind=Kind.OPERATOR), PROJECTS[:1], soon)
    token = made(maker, MakeToken(name="b"))
    assert (token.projects, token.expires_at, token.verbs) == (PROJECTS[:1], soon, (Verb.READ,))
