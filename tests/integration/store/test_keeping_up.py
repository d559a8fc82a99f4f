"""The ring of a process that only reads: every event once and in order, whatever happens to its lines."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import anyio
import psycopg
import pytest

from podium.kernel import events as e
from podium.kernel.ids import RunId, TaskId
from podium.store.store import Store
from podium.testing.databases import chosen
from tests.support import eventually_in_loop

pytestmark = [pytest.mark.anyio, pytest.mark.only_on("postgresql")]


@pytest.fixture
async def beside(store: Store, tmp_path: Path, clock) -> AsyncIterator[Store]:
    made = Store(tmp_path / "beside", clock, boot_id="b", database_url=chosen.url(store.home))
    await made.open_to_read()
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(made.keep_up)
        yield made
        tasks.cancel_scope.cancel()
    await made.close_reading()


async def speak(store: Store, times: int = 1) -> None:
    said = e.RunSaid(task_id=TaskId("task_x"), run_id=RunId("run_x"), text="t")

    def append(unit) -> None:
        for _ in range(times):
            unit.append(said, by="test")

    await store.writer.run(append, durable=False)


async def test_what_another_process_commits_is_in_the_ring_as_it_is_in_that_one(store, beside):
    begin = beside.ring.last_seq
    assert begin == store.ring.last_seq
    for times in (1, 3, 2_500, 1):
        await speak(store, times)
    await eventually_in_loop(lambda: beside.ring.last_seq == store.ring.last_seq)
    assert beside.ring.since(begin) == store.ring.since(begin)


async def test_it_tells_who_watches_for_certain_types_and_wakes_who_waits(store, beside):
    told: list[bool] = []
    beside.ring.watch(frozenset({"run.said"}), lambda: told.append(True))
    place = beside.ring.last_seq
    await speak(store)
    assert await beside.ring.wait(place, 20)
    assert told == [True]


async def test_lines_that_are_cut_while_others_commit_leave_neither_gap_nor_double(store, beside):
    begin = beside.ring.last_seq
    for _ in range(5):
        await speak(store, 50)
        await asyncio.to_thread(_cut_all_but_the_writer, chosen.url(store.home))
        await speak(store, 50)
    await eventually_in_loop(lambda: beside.ring.last_seq == store.ring.last_seq)
    seen = beside.ring.since(begin) or []
    assert [entry.seq for entry in seen] == list(range(begin + 1, store.ring.last_seq + 1))


def _cut_all_but_the_writer(url: str | None) -> None:
    with psycopg.connect(url or "", autocommit=True) as connection:
        connection.execute(
            "SELECT pg_terminate_backend(a.pid) FROM pg_stat_activity a WHERE datname = current_database() "
            "AND a.pid <> pg_backend_pid() AND a.pid NOT IN (SELECT pid FROM pg_locks "
            "WHERE locktype = 'advisory')"
        )
