"""git killed while it held a lock: the lock does not refuse the next write for ever."""

from __future__ import annotations

import os
import time

import pytest

from podium.git import locks, mirror
from podium.git.command import Place
from podium.kernel.errors import GitFailed

from .conftest import House

pytestmark = pytest.mark.anyio


async def test_a_stale_lock_is_removed_and_the_write_done(house: House):
    ours = await house.mirrored()
    lock = ours.path / "refs/remotes/origin/main.lock"
    lock.parent.mkdir(parents=True, exist_ok=True)
    lock.touch()
    past = time.time() - locks.LOCK_STALE_S - 1
    os.utime(lock, (past, past))
    tip = await mirror.resolve(house.podium, ours, "main")

    async def write() -> None:
        await house.podium.run(Place(git_dir=ours.path), "update-ref", "refs/remotes/origin/main", tip)

    await locks.past_stale_locks(ours.path, write)
    assert not lock.exists()


async def test_a_young_lock_is_left_alone_and_told(house: House):
    ours = await house.mirrored()
    lock = ours.path / "refs/podium/x.lock"
    lock.parent.mkdir(parents=True, exist_ok=True)
    lock.touch()
    tip = await mirror.resolve(house.podium, ours, "main")

    async def write() -> None:
        await house.podium.run(Place(git_dir=ours.path), "update-ref", "refs/podium/x", tip)

    with pytest.raises(GitFailed) as failed:
        await locks.past_stale_locks(ours.path, write)
    assert failed.value.details["locked"] is True
    assert lock.exists()
