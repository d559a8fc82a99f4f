"""Token files and what a token may do: rows W10, W12."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from sqlalchemy import select

from podium.engine.tokens import revoke_token
from podium.gateway.auth import Tokens, bearer_of
from podium.gateway.token_files import ensure_tokens, token_path
from podium.kernel.errors import Unauthorized, Unavailable
from podium.store import schema
from podium.store.store import Store
from podium.testing.clock import FakeClock

pytestmark = pytest.mark.anyio


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[Store]:
    opened = Store(tmp_path, FakeClock(), boot_id="boot-1")
    await opened.open("test")
    yield opened
    await opened.close()


async def in_force(store: Store) -> Tokens:
    tokens = Tokens(store)
    await tokens.refresh()
    return tokens


async def test_tokens_are_made_once_in_files_only_we_can_read(store: Store, tmp_path: Path) -> None:
    first = await ensure_tokens(store, tmp_path)
    again = await ensure_tokens(store, tmp_path)
    assert first == again
    assert first.owner != first.worker
    for kind in ("owner", "worker"):
        assert token_path(tmp_path, kind).stat().st_mode & 0o777 == 0o600


async def test_the_database_holds_hashes_only(store: Store, tmp_path: Path) -> None:
    tokens = await ensure_tokens(store, tmp_path)
    rows = await store.reader.run(lambda c: c.execute(select(schema.tokens)).all())
    assert len(rows) == 2
    assert tokens.owner not in repr(rows)
    await store.writer.run(lambda unit: None)
    assert tokens.owner.encode() not in (tmp_path / "podium.db").read_bytes()
    assert tokens.owner.encode() not in (tmp_path / "podium.db-wal").read_bytes()


@pytest.mark.parametrize("mode", [0o644, 0o640, 0o604, 0o660])
async def test_a_file_that_others_may_read_is_refused(store: Store, tmp_path: Path, mode: int) -> None:
    await ensure_tokens(store, tmp_path)
    token_path(tmp_path, "owner").chmod(mode)
    with pytest.raises(Unavailable, match="can be read by others"):
        await ensure_tokens(store, tmp_path)


async def test_a_link_in_place_of_the_file_is_refused(store: Store, tmp_path: Path) -> None:
    (tmp_path / "elsewhere").write_text("podium_owner_known\n")
    (tmp_path / "elsewhere").chmod(0o600)
    token_path(tmp_path, "owner").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(Unavailable):
        await ensure_tokens(store, tmp_path)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a file to somebody else")
async def test_a_file_of_another_user_is_refused(store: Store, tmp_path: Path) -> None:
    await ensure_tokens(store, tmp_path)
    os.chown(token_path(tmp_path, "owner"), 12_345, -1)
    with pytest.raises(Unavailable, match="another user"):
        await ensure_tokens(store, tmp_path)


async def test_a_removed_file_gives_a_new_token_and_a_revoked_one_too(store: Store, tmp_path: Path) -> None:
    first = await ensure_tokens(store, tmp_path)
    token_path(tmp_path, "owner").unlink()
    second = await ensure_tokens(store, tmp_path)
    assert second.owner != first.owner
    assert second.worker == first.worker
    worker = (await in_force(store)).principal(second.worker.encode()).token_id
    await store.writer.run(lambda unit: revoke_token(unit, worker, by="test"))
    third = await ensure_tokens(store, tmp_path)
    assert third.worker != first.worker
    tokens = await in_force(store)
    assert tokens.principal(third.worker.encode()).kind == "worker"
    for void in (first.owner, first.worker):
        with pytest.raises(Unauthorized):
            tokens.principal(void.encode())


async def test_a_crash_between_file_and_row_is_mended_at_the_next_start(store: Store, tmp_path: Path) -> None:
    path = token_path(tmp_path, "owner")
    path.write_text("podium_owner_half\n")
    path.chmod(0o600)
    assert (await ensure_tokens(store, tmp_path)).owner == "podium_owner_half"
    assert (await in_force(store)).principal(b"podium_owner_half").subject == "owner"


@pytest.mark.parametrize(
    "header", [b"", b"Bearer", b"Bearer ", b"Basic x", b"Bearer x y", b"Bearer " + b"x" * 500]
)
async def test_what_is_no_token_is_refused(store: Store, tmp_path: Path, header: bytes) -> None:
    await ensure_tokens(store, tmp_path)
    tokens = await in_force(store)
    with pytest.raises(Unauthorized):
        tokens.principal(bearer_of(header))
