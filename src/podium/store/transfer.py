"""Moving an embedded home's database into an empty PostgreSQL database: all of it or nothing.

One transaction at the target holds the tables, every row and the comparison of both sides; whatever
interrupts it leaves the target as it was. The source is only read.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from typing import Any

from msgspec import Struct
from sqlalchemy import Column, Connection, Table, inspect, select, tuple_
from sqlalchemy.exc import DBAPIError

from podium.kernel.errors import Conflict, PodiumError
from podium.store import schema
from podium.store.migrate import upgrade
from podium.store.postgresql import PostgresqlDatabase
from podium.store.postgresql_seat import hold_alone
from podium.store.sqlite import SqliteDatabase

BATCH_ROWS = 2_000
MAX_NAMED = 10


class Copied(Struct, frozen=True, kw_only=True):
    """One table: how many rows, and the hash that both sides have."""

    table: str
    rows: int
    sha256: str


def transfer(source: SqliteDatabase, target: PostgresqlDatabase) -> list[Copied]:
    """Copy everything. The caller holds the home's lock, so that nobody writes to the source.

    Raises Conflict for open runs, a source of another version or a target that is not empty; Unavailable.
    """
    source.check()
    reading, writing = source.reading_engine(), target.writing_engine()
    try:
        with reading.connect() as old, writing.connect() as new:
            must_be_drained(old)
            target.must_be_usable(new)
            new.rollback()
            hold_alone(new)
            with new.begin():
                _must_be_empty(new, target.place)
                upgrade(new)
                return [_copy(old, new, table) for table in schema.metadata.sorted_tables]
    except DBAPIError as error:
        raise target.told(error) from error
    finally:
        reading.dispose()
        writing.dispose()


def must_be_drained(connection: Connection) -> None:
    """Raises Conflict while a run is open: an agent that works knows only the database it began with."""
    runs = schema.runs
    rows = connection.execute(
        select(runs.c.id, runs.c.task_id, runs.c.state).where(runs.c.open == 1).order_by(runs.c.id)
    ).all()
    if not rows:
        return
    named = ", ".join(f"{row.task_id} ({row.state})" for row in rows[:MAX_NAMED])
    more = f" and {len(rows) - MAX_NAMED} more" if len(rows) > MAX_NAMED else ""
    raise Conflict(
        f"{len(rows)} runs are open: {named}{more}",
        hint="podium up, then wait for them (podium wait ID) or end them (podium cancel ID), podium down",
    )


def _must_be_empty(connection: Connection, place: str) -> None:
    ours = {table.name for table in schema.metadata.sorted_tables} | {"alembic_version"}
    found = sorted(ours & set(inspect(connection).get_table_names()))
    if found:
        raise Conflict(
            f"{place} is not empty: it has the table {found[0]}", hint="make a new one: createdb NAME"
        )


def _copy(old: Connection, new: Connection, table: Table) -> Copied:
    here, rows = hashlib.sha256(), 0
    for batch in _batches(old, table):
        new.execute(table.insert(), [dict(row._mapping) for row in batch])
        rows += len(batch)
        for row in batch:
            _add(here, [_as_stored(value, column) for value, column in zip(row, table.columns, strict=True)])
    there, found = hashlib.sha256(), 0
    for batch in _batches(new, table):
        found += len(batch)
        for row in batch:
            _add(there, row)
    if (rows, here.digest()) != (found, there.digest()):
        raise PodiumError(f"{table.name} is not the same on both sides ({rows} and {found} rows)")
    return Copied(table=str(table.name), rows=rows, sha256=here.hexdigest())


def _batches(connection: Connection, table: Table) -> Iterator[Any]:
    """All rows by primary key, a page at a time."""
    key = list(table.primary_key.columns)
    query = select(table).order_by(*key).limit(BATCH_ROWS)
    if table is schema.meta:
        query = query.where(table.c.key != "writer")  # the seat's own, of each database
    page = connection.execute(query).all()
    while page:
        yield page
        last = page[-1]._mapping
        after = tuple_(*key) > tuple_(*[last[column.name] for column in key])
        page = connection.execute(query.where(after)).all()


def _as_stored(value: Any, column: Column[Any]) -> Any:
    """Homes of earlier versions may hold text that is stored otherwise today."""
    if isinstance(column.type, schema.ShortText):
        return column.type.process_bind_param(value, None)
    return value


def _add(digest: Any, row: Any) -> None:
    """Every value with its kind and length: no two rows look alike."""
    for value in row:
        if value is None:
            data, kind = b"", b"-"
        elif isinstance(value, str):
            data, kind = value.encode(), b"t"
        elif isinstance(value, bytes):
            data, kind = value, b"b"
        else:
            data, kind = repr(value).encode(), b"n"
        digest.update(b"%s%d:" % (kind, len(data)) + data)
