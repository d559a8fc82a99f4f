"""Every read of the API: functions from a connection to JSON bytes. Rows are passed through, not decoded."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, TypeVar

import msgspec
from sqlalchemy import Connection, Select, Table, func, select

from podium.kernel.access import Scope
from podium.kernel.errors import CursorExpired, InvalidRequest, NotFound
from podium.kernel.states import RunState
from podium.store import schema
from podium.store.scope import within
from podium.store.unit import wire_of

Q = TypeVar("Q", bound=Select[Any])
MAX_PAGE = 500
DEFAULT_PAGE = 50
_encode = msgspec.json.Encoder().encode


def last_seq(connection: Connection) -> int:
    """The newest event's number; 0 for an empty log."""
    return int(connection.execute(select(func.max(schema.events.c.seq))).scalar() or 0)


def page_of(rows: Sequence[Any], limit: int) -> bytes:
    """`{"items": […], "next": id | null}` from rows (doc, key) of which one more than `limit` was asked."""
    more = len(rows) > limit
    items = b",".join(row[0] for row in rows[:limit])
    following = _encode(rows[limit - 1][1] if more else None)
    return b'{"items":[' + items + b'],"next":' + following + b"}"


def _page(connection: Connection, query: Select[Any], key: Any, after: str | None, limit: int) -> bytes:
    if after is not None:
        query = query.where(key < after)
    return page_of(connection.execute(query.order_by(key.desc()).limit(limit + 1)).all(), limit)


def narrow(query: Q, table: Table, scope: Scope | None) -> Q:
    """Only what a token with this scope sees; None sees everything."""
    return query if scope is None else query.where(within(table, scope))


def list_tasks(
    connection: Connection,
    *,
    limit: int,
    after: str | None,
    status: str | None,
    project: str | None,
    scope: Scope | None = None,
) -> bytes:
    """Newest first; an index for each filter, so page 1 and page 10,000 cost the same."""
    table = schema.tasks
    query = narrow(select(table.c.doc, table.c.id), table, scope)
    if status is not None:
        query = query.where(table.c.status == status)
    if project is not None:
        query = query.where(table.c.project_id == project)
    return _page(connection, query, table.c.id, after, limit)


def list_runs(
    connection: Connection,
    *,
    limit: int,
    after: str | None,
    task: str | None,
    is_open: bool,
    scope: Scope | None = None,
) -> bytes:
    table = schema.runs
    query = narrow(select(table.c.doc, table.c.id), table, scope)
    if task is not None:
        query = query.where(table.c.task_id == task)
    if is_open:
        query = query.where(table.c.open == 1)
    return _page(connection, query, table.c.id, after, limit)


def list_projects(
    connection: Connection, *, limit: int, after: str | None, scope: Scope | None = None
) -> bytes:
    table = schema.projects
    query = narrow(select(table.c.doc, table.c.id), table, scope)
    return _page(connection, query, table.c.id, after, limit)


def list_agents(connection: Connection, *, limit: int, after: str | None) -> bytes:
    table = schema.agents
    return _page(connection, select(table.c.doc, table.c.name), table.c.name, after, limit)


def list_workers(connection: Connection, *, limit: int, after: str | None) -> bytes:
    table = schema.workers
    return _page(connection, select(table.c.doc, table.c.id), table.c.id, after, limit)


def list_inquiries(
    connection: Connection,
    *,
    limit: int,
    after: str | None,
    state: str | None = None,
    task: str | None = None,
    run: str | None = None,
    scope: Scope | None = None,
) -> tuple[list[bytes], str | None]:
    """Their rows, newest first, and where the next page begins."""
    table = schema.inquiries
    query = narrow(select(table.c.doc, table.c.id), table, scope)
    if state is not None:
        query = query.where(table.c.state == state)
    if task is not None:
        query = query.where(table.c.task_id == task)
    if run is not None:
        query = query.where(table.c.run_id == run)
    if after is not None:
        query = query.where(table.c.id < after)
    rows = connection.execute(query.order_by(table.c.id.desc()).limit(limit + 1)).all()
    docs = [bytes(row[0]) for row in rows[:limit]]
    return docs, str(rows[limit - 1][1]) if len(rows) > limit else None


def list_of_task(
    connection: Connection,
    table: Table,
    *,
    limit: int,
    after: str | None,
    task: str | None,
    scope: Scope | None = None,
) -> bytes:
    """Changes, messages, sessions, grants or artifacts: newest first, of one task when that is given."""
    query = narrow(select(table.c.doc, table.c.id), table, scope)
    if task is not None:
        query = query.where(table.c.task_id == task)
    return _page(connection, query, table.c.id, after, limit)


def tokens_below(connection: Connection, token_id: str) -> set[str]:
    """A token and all that were made with it, directly or not."""
    table = schema.tokens
    found, edge = {token_id}, {token_id}
    while edge:
        rows = connection.execute(select(table.c.id).where(table.c.parent.in_(edge))).all()
        edge = {str(row[0]) for row in rows} - found
        found |= edge
    return found


def list_below(connection: Connection, token_id: str, *, limit: int, after: str | None) -> bytes:
    """Those tokens, newest first."""
    table = schema.tokens
    query = select(table.c.doc, table.c.id).where(table.c.id.in_(tokens_below(connection, token_id)))
    return _page(connection, query, table.c.id, after, limit)


def show_task(connection: Connection, task_id: str, scope: Scope | None = None) -> bytes:
    """The task with its prompt."""
    table = schema.tasks
    query = narrow(select(table.c.doc, table.c.prompt), table, scope)
    row = connection.execute(query.where(table.c.id == task_id)).first()
    if row is None:
        raise NotFound(f"there is no task {task_id[:80]}", hint="list them with: podium tasks list")
    doc: bytes = row[0]
    return doc[:-1] + b',"prompt":' + _encode(row[1]) + b"}"


def show(
    connection: Connection,
    table: Table,
    key: str,
    what: str,
    *,
    hint: str = "",
    scope: Scope | None = None,
) -> bytes:
    """One noun by the primary key of its table."""
    column = next(iter(table.primary_key.columns))
    row = connection.execute(narrow(select(table.c.doc), table, scope).where(column == key)).first()
    if row is None:
        hint = hint or f"list them with: podium {what}s list"
        raise NotFound(f"there is no {what} {key[:80]}", hint=hint)
    return bytes(row[0])


def list_events(
    connection: Connection,
    *,
    after: int,
    limit: int,
    task: str | None = None,
    run: str | None = None,
    types: Iterable[str] = (),
    scope: Scope | None = None,
) -> tuple[list[bytes], int]:
    """At most `limit` events strictly after `after`, oldest first, and the cursor behind them.

    Raises CursorExpired when events after `after` were pruned, InvalidRequest for a cursor that lies in
    the future. With a filter the cursor still moves over what was filtered out, so an empty page at the
    end of the log returns the end of the log.
    """
    table = schema.events
    oldest, newest = connection.execute(select(func.min(table.c.seq), func.max(table.c.seq))).one()
    if oldest is None:
        oldest, newest = 1, 0
    if after > newest:
        raise InvalidRequest("that cursor lies in the future", hint="start again without a cursor")
    if after < oldest - 1 and after != 0:
        raise CursorExpired(oldest=str(oldest - 1))
    query = select(table.c.seq, table.c.at, table.c.by, table.c.v, table.c.body).where(table.c.seq > after)
    query = narrow(query, table, scope)
    if task is not None:
        query = query.where(table.c.task_id == task)
    if run is not None:
        query = query.where(table.c.run_id == run)
    wanted = list(types)
    if wanted:
        query = query.where(table.c.type.in_(wanted))
    rows = connection.execute(query.order_by(table.c.seq).limit(limit)).all()
    full = len(rows) == limit
    # Rows are read after `newest` and may reach beyond it.
    cursor = rows[-1].seq if full else max(newest, rows[-1].seq if rows else 0)
    return [wire_of(*row) for row in rows], max(cursor, after)


def run_facts(
    connection: Connection, run_id: str, scope: Scope | None = None
) -> tuple[bytes, int, str | None]:
    """(doc, committed output offset, time of the last output) of a run."""
    table = schema.runs
    position = schema.positions
    query = (
        select(table.c.doc, position.c.out_offset, position.c.last_output_at)
        .outerjoin(position, position.c.run_id == table.c.id)
        .where(table.c.id == run_id)
    )
    row = connection.execute(narrow(query, table, scope)).first()
    if row is None:
        raise NotFound(f"there is no run {run_id[:80]}", hint="list them with: podium runs list")
    return bytes(row[0]), row[1] or 0, row[2]


def queue_position(connection: Connection, run_id: str) -> tuple[int, int]:
    """(place of a queued run counted from 1, how many are queued); place 0 when it is not queued."""
    table = schema.runs
    mine = connection.execute(select(table.c.priority, table.c.state).where(table.c.id == run_id)).first()
    waiting = (table.c.open == 1) & (table.c.state == str(RunState.QUEUED))
    total = connection.execute(select(func.count()).select_from(table).where(waiting)).scalar_one()
    if mine is None or mine.state != RunState.QUEUED:
        return 0, int(total)
    ahead = (table.c.priority > mine.priority) | ((table.c.priority == mine.priority) & (table.c.id < run_id))
    before = connection.execute(select(func.count()).select_from(table).where(waiting & ahead)).scalar_one()
    return int(before) + 1, int(total)


def counts(connection: Connection) -> dict[str, int]:
    """Open runs by state, for `podium status`."""
    table = schema.runs
    query = select(table.c.state, func.count()).where(table.c.open == 1).group_by(table.c.state)
    return {str(state): int(count) for state, count in connection.execute(query)}
