"""The Writer: one order, one commit, gap-free numbers, refusals that sink nobody else."""

from __future__ import annotations

import asyncio
import sqlite3

import pytest
from msgspec.structs import replace
from sqlalchemy import select

from podium.kernel import events as e
from podium.kernel.errors import Conflict, InvalidRequest, Unavailable
from podium.store import queries, schema
from podium.store.sqlite import SqliteDatabase
from podium.store.store import SEQ_SKIP, Store
from podium.store.unit import Unit
from podium.testing.databases import chosen

pytestmark = pytest.mark.anyio


def said(text: str) -> e.RunSaid:
    return e.RunSaid(task_id="task_1", run_id="run_1", text=text)


async def numbers(store: Store) -> list[int]:
    return await store.reader.run(
        lambda c: [row[0] for row in c.execute(select(schema.events.c.seq).order_by(schema.events.c.seq))]
    )


async def test_numbers_are_contiguous_in_commit_order_whatever_runs_at_once(store):
    async def speak(index: int) -> int:
        return await store.writer.run(lambda unit: unit.append(said(str(index)), by="t"))

    got = await asyncio.gather(*[speak(index) for index in range(300)])
    assert sorted(got) == list(range(2, 302))
    assert await numbers(store) == list(range(1, 302))


async def test_a_refused_command_leaves_nothing_and_sinks_nobody(store):
    def writes_then_refuses(unit: Unit) -> None:
        unit.append(said("never"), by="t")
        raise Conflict("no")

    def refuses_at_once(unit: Unit) -> None:
        raise InvalidRequest("no")

    def speaks(unit: Unit) -> int:
        return unit.append(said("kept"), by="t")

    before = store.ring.last_seq
    results = await asyncio.gather(
        *[store.writer.run(c) for c in (speaks, writes_then_refuses, speaks, refuses_at_once, speaks)],
        return_exceptions=True,
    )
    assert [type(result) for result in results] == [int, Conflict, int, InvalidRequest, int]
    assert await numbers(store) == list(range(1, before + 4))
    assert [entry.seq for entry in store.ring.since(before) or []] == [before + 1, before + 2, before + 3]


async def test_a_bug_in_one_command_is_told_to_its_caller_only(store):
    def broken(unit: Unit) -> None:
        raise ZeroDivisionError

    good, bad = await asyncio.gather(
        store.writer.run(lambda unit: unit.append(said("x"), by="t")),
        store.writer.run(broken),
        return_exceptions=True,
    )
    assert isinstance(good, int)
    assert getattr(bad, "code", "") == "internal"


async def test_events_reach_the_ring_only_after_their_commit(store):
    seen: list[int] = []

    def look(unit: Unit) -> None:
        unit.append(said("x"), by="t")
        seen.append(store.ring.last_seq)

    before = store.ring.last_seq
    await store.writer.run(look)
    assert seen == [before]
    assert store.ring.last_seq == before + 1


@pytest.mark.only_on("sqlite")
async def test_a_database_locked_by_another_program_refuses_and_recovers(tmp_path, clock):
    store = Store(tmp_path, clock, boot_id="b")
    store.database = SqliteDatabase(tmp_path / "podium.db", busy_timeout_s=0.05)
    await store.open("test")
    other = sqlite3.connect(tmp_path / "podium.db", isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    with pytest.raises(Unavailable, match="locked"):
        await store.writer.run(lambda unit: unit.append(said("x"), by="t"))
    other.execute("ROLLBACK")
    other.close()
    assert await store.writer.run(lambda unit: unit.append(said("x"), by="t")) == 2
    await store.close()


async def test_after_a_stop_commands_are_refused(tmp_path, clock):
    store = Store(tmp_path, clock, boot_id="b", database_url=chosen.url(tmp_path))
    await store.open("test")
    await store.close()
    with pytest.raises(Unavailable):
        await store.writer.run(lambda unit: None)


@pytest.mark.only_on("sqlite")
@pytest.mark.parametrize(
    ("clean", "boot", "skipped"), [(True, "other", 0), (False, "same", 0), (False, "other", SEQ_SKIP)]
)
async def test_only_a_crash_of_the_machine_makes_the_sequence_jump(tmp_path, clock, clean, boot, skipped):
    store = Store(tmp_path, clock, boot_id="same")
    await store.open("test")
    if clean:
        await store.close()
    else:
        store.writer.stop()
        store.reader.stop()
    again = Store(tmp_path, clock, boot_id=boot)
    await again.open("test")
    assert again.ring.last_seq == 2 + skipped
    await again.close()


async def test_a_page_of_events_is_strictly_after_its_cursor_and_an_empty_one_keeps_it(store):
    for index in range(5):
        await store.writer.run(lambda unit, i=index: unit.append(said(str(i)), by="t"))
    page, cursor = await store.reader.run(lambda c: queries.list_events(c, after=2, limit=2))
    assert (len(page), cursor) == (2, 4)
    _, cursor = await store.reader.run(lambda c: queries.list_events(c, after=cursor, limit=100))
    assert await store.reader.run(lambda c: queries.list_events(c, after=cursor, limit=100)) == ([], cursor)


async def test_a_stored_event_decodes_to_what_was_recorded(store):
    event = said('tab\there, quote " and snowman ☃')
    await store.writer.run(lambda unit: unit.append(event, by='by "me"'))
    page, _ = await store.reader.run(lambda c: queries.list_events(c, after=1, limit=9))
    recorded = e.msgspec.json.decode(page[0], type=e.Recorded)
    assert (recorded.event, recorded.by, recorded.seq) == (event, 'by "me"', 2)
    assert replace(recorded, seq=2) == recorded
