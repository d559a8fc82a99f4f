"""Versions, backups, retention, artifacts, idempotency: what must hold when things go wrong."""

from __future__ import annotations

import asyncio
import hashlib
import itertools
import sqlite3
from collections.abc import AsyncIterator
from datetime import timedelta

import pytest
from sqlalchemy import Connection, Engine, event, inspect, text

from podium.kernel import events as e
from podium.kernel.errors import CursorExpired, IdempotencyConflict, InvalidRequest, NewerDatabase, TooLarge
from podium.store import queries
from podium.store.artifacts import Artifacts
from podium.store.backup import back_up
from podium.store.database import Database, database_at
from podium.store.idempotency import Answer, key_of, once
from podium.store.migrate import upgrade
from podium.store.schema import HEAD, metadata
from podium.store.store import Store
from podium.store.unit import Unit

pytestmark = pytest.mark.anyio


async def stream(*pieces: bytes) -> AsyncIterator[bytes]:
    for piece in pieces:
        yield piece


@pytest.mark.only_on("sqlite")
async def test_a_newer_database_is_refused_and_stays_byte_identical(tmp_path, clock):
    store = Store(tmp_path, clock, boot_id="b")
    await store.open("test")
    await store.close()
    path = tmp_path / "podium.db"
    database = sqlite3.connect(path)
    database.execute("UPDATE alembic_version SET version_num = '9999'")
    database.commit()
    database.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    database.close()
    before = hashlib.sha256(path.read_bytes()).hexdigest()
    with pytest.raises(NewerDatabase, match="9999"):
        await Store(tmp_path, clock, boot_id="b").open("test")
    assert hashlib.sha256(path.read_bytes()).hexdigest() == before


async def test_the_migrations_make_the_tables_that_the_code_describes(store):
    def look(connection: Connection) -> tuple[str, dict[str, set[str]]]:
        found = inspect(connection)
        tables = {name: {c["name"] for c in found.get_columns(name)} for name in found.get_table_names()}
        return connection.execute(text("SELECT version_num FROM alembic_version")).scalar_one(), tables

    head, found = await store.reader.run(look)
    assert head == HEAD
    assert {name: columns for name, columns in found.items() if name != "alembic_version"} == {
        table.name: {column.name for column in table.columns} for table in metadata.sorted_tables
    }


async def test_a_migration_that_breaks_off_anywhere_leaves_nothing_and_is_done_by_the_next(
    tmp_path, database, request
):
    """At every fifth statement: killing a process there is the same to the database as ending its line."""
    url = request.getfixturevalue("databases").make(migrated=False) if database == "postgresql" else None
    for fatal in itertools.count(1, 5):
        statements = 0

        def count(*_: object) -> None:
            nonlocal statements
            statements += 1
            if statements == fatal:  # noqa: B023
                raise InterruptedError

        opened = database_at(tmp_path, url)
        event.listen(Engine, "before_cursor_execute", count)
        try:
            opened.open()
        except InterruptedError:
            assert tables_of(opened) == set()
        else:
            assert statements < fatal
            break
        finally:
            event.remove(Engine, "before_cursor_execute", count)
    assert {table.name for table in metadata.sorted_tables} < tables_of(opened)
    assert fatal > 30
    if url is not None:
        request.getfixturevalue("databases").drop(url)


async def test_where_the_output_of_runs_is_committed_to_is_moved_into_a_table_of_its_own(
    tmp_path, database, request
):
    url = request.getfixturevalue("databases").make(migrated=False) if database == "postgresql" else None
    engine = database_at(tmp_path, url).writing_engine()
    insert = text(
        "INSERT INTO runs"
        " (id, task_id, state, fence, priority, open, out_offset, decoder, last_output_at, doc) VALUES"
        " (:id, 'task_a', 'running', 1, 0, 1, :offset, :decoder, :at, :doc)"
    )
    said = {"id": "run_said", "offset": 70, "decoder": b"\x00state", "at": "2026-11-28", "doc": b"{}"}
    mute = {"id": "run_mute", "offset": 0, "decoder": b"", "at": None, "doc": b"{}"}
    try:
        with engine.connect() as connection, connection.begin():
            upgrade(connection, to="0003")
            connection.execute(insert, [said, mute])
            upgrade(connection)
            rows = connection.execute(text("SELECT * FROM positions")).all()
            assert [(*row[:2], bytes(row[2]), row[3]) for row in rows] == [
                ("run_said", 70, b"\x00state", "2026-11-28")
            ]
            assert connection.execute(text("SELECT count(*) FROM runs")).scalar_one() == 2
    finally:
        engine.dispose()
    if url is not None:
        request.getfixturevalue("databases").drop(url)


def tables_of(opened: Database) -> set[str]:
    engine = opened.reading_engine()
    try:
        with engine.connect() as connection:
            return set(inspect(connection).get_table_names())
    finally:
        engine.dispose()


@pytest.mark.only_on("sqlite")
async def test_a_backup_taken_under_load_opens_as_a_home_and_replays_to_its_own_sequence(
    store, tmp_path, clock
):
    stop = asyncio.Event()

    async def load() -> None:
        while not stop.is_set():
            await store.writer.run(
                lambda unit: unit.append(e.RunSaid(task_id="t", run_id="r", text="x"), by="t")
            )

    loading = asyncio.ensure_future(load())
    artifact, _ = await store.artifacts.write(stream(b"kept"))
    await asyncio.to_thread(back_up, tmp_path, tmp_path / "copy" / "home")
    stop.set()
    await loading
    restored = Store(tmp_path / "copy" / "home", clock, boot_id="boot-1")
    await restored.open("test")
    page, _ = await restored.reader.run(lambda c: queries.list_events(c, after=0, limit=100_000))
    numbers = [e.msgspec.json.decode(line, type=e.Recorded).seq for line in page]
    assert numbers == list(range(1, len(numbers) + 1))
    assert restored.artifacts.verify(artifact)
    await restored.close()


async def test_retention_never_goes_past_the_first_event_of_an_open_task(store, clock):
    def speak(unit: Unit) -> None:
        for _ in range(10):
            unit.append(e.RunSaid(task_id="t", run_id="r", text="old"), by="t")

    await store.writer.run(speak)
    clock.advance(100)
    gone, _ = await store.prune(keep_events=timedelta(seconds=50), keep_artifacts=timedelta(seconds=50))
    assert gone > 0
    with pytest.raises(CursorExpired):
        await store.reader.run(lambda c: queries.list_events(c, after=2, limit=5))


async def test_an_artifact_is_its_content_and_exists_whole_or_not_at_all(tmp_path):
    artifacts = Artifacts(tmp_path / "a")
    artifacts.open()
    artifact, size = await artifacts.write(stream(b"hello ", b"world"))
    assert artifact == "artifact_" + hashlib.sha256(b"hello world").hexdigest()
    assert (size, b"".join(artifacts.read(artifact))) == (11, b"hello world")
    with pytest.raises(InvalidRequest, match="do not match"):
        await artifacts.write(stream(b"other"), expect=artifact)
    with pytest.raises(TooLarge):
        await artifacts.write(stream(b"x" * 100), limit_bytes=10)
    assert [path.name for path in artifacts.everything()] == [artifact.removeprefix("artifact_")]
    assert list((tmp_path / "a" / "incoming").iterdir()) == []


async def test_one_key_has_one_effect_and_one_answer_however_often_it_is_used(store):
    effects: list[int] = []

    def effect(unit: Unit) -> Answer:
        effects.append(unit.append(e.RunSaid(task_id="t", run_id="r", text="x"), by="t"))
        return Answer(201, b'{"n":%d}' % len(effects))

    key = key_of("owner", "key-1", "POST", "/tasks", b"{}")
    answers = await asyncio.gather(*[store.writer.run(lambda u: once(u, key, effect)) for _ in range(100)])
    assert {(answer.status, answer.body) for answer in answers} == {(201, b'{"n":1}')}
    assert len(effects) == 1
    with pytest.raises(IdempotencyConflict):
        await store.writer.run(lambda u: once(u, key_of("owner", "key-1", "POST", "/tasks", b"[]"), effect))
    other = key_of("worker:1", "key-1", "POST", "/tasks", b"{}")
    assert (await store.writer.run(lambda u: once(u, other, effect))).body == b'{"n":2}'
