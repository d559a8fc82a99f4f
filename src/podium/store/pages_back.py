"""The log read backwards, for people who begin at its end."""

from __future__ import annotations

from collections.abc import Iterable

from sqlalchemy import Connection, select

from podium.kernel.access import Scope
from podium.store import schema
from podium.store.queries import narrow
from podium.store.unit import wire_of


def list_events_before(
    connection: Connection,
    *,
    before: int,
    limit: int,
    task: str | None = None,
    run: str | None = None,
    types: Iterable[str] = (),
    scope: Scope | None = None,
) -> tuple[list[bytes], int]:
    """The newest `limit` events whose place is `before` or earlier, oldest first, and the place before the
    first of them (0: there are none before)."""
    table = schema.events
    query = select(table.c.seq, table.c.at, table.c.by, table.c.v, table.c.body).where(table.c.seq <= before)
    query = narrow(query, table, scope)
    if task is not None:
        query = query.where(table.c.task_id == task)
    if run is not None:
        query = query.where(table.c.run_id == run)
    wanted = list(types)
    if wanted:
        query = query.where(table.c.type.in_(wanted))
    rows = connection.execute(query.order_by(table.c.seq.desc()).limit(limit)).all()
    place = rows[-1].seq - 1 if len(rows) == limit else 0
    return [wire_of(*row) for row in reversed(rows)], place
