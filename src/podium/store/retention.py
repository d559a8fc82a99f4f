"""What may be forgotten: old events, artifacts and idempotency keys that no open task needs."""

from __future__ import annotations

from datetime import datetime, timedelta

import msgspec
from msgspec import Struct
from sqlalchemy import Connection, delete, exists, func, select
from sqlalchemy.sql import ColumnElement

from podium.kernel.states import TASK_TERMINAL
from podium.store import schema
from podium.store.schema import timestamp
from podium.store.unit import Unit

BATCH_ROWS = 5_000
KEEP_KEYS = timedelta(hours=48)


class _Attached(Struct):
    artifact: str


class _Needs(Struct):
    """The members of a task that matter here."""

    snapshot: str | None = None
    attachments: tuple[_Attached, ...] = ()


def given_to_tasks(connection: Connection) -> set[str]:
    """What open tasks were given: the snapshots that they start from, and attachments. One artifact may serve
    several tasks; its row names only the last."""
    tasks = schema.tasks
    terminal = [str(state) for state in TASK_TERMINAL]
    docs = connection.execute(select(tasks.c.doc).where(tasks.c.state.not_in(terminal)))
    needs = [msgspec.json.decode(doc, type=_Needs) for (doc,) in docs]
    snapshots = {need.snapshot for need in needs if need.snapshot is not None}
    return snapshots | {one.artifact for need in needs for one in need.attachments}


def _open_task(column: ColumnElement[str | None]) -> ColumnElement[bool]:
    tasks = schema.tasks
    terminal = [str(state) for state in TASK_TERMINAL]
    return exists(select(tasks.c.id).where(tasks.c.id == column, tasks.c.state.not_in(terminal)))


def prune_events(unit: Unit, *, before: datetime) -> int:
    """Remove the oldest events up to `before`, at most BATCH_ROWS, stopping at the first event of a task
    that is still open. A contiguous prefix only, so that "pruned" stays one number. Never the newest."""
    events = schema.events
    blocker = unit.connection.execute(
        select(func.min(events.c.seq)).where(
            (events.c.at >= timestamp(before)) | _open_task(events.c.task_id)
        )
    ).scalar()
    newest = unit.connection.execute(select(func.max(events.c.seq))).scalar()
    if newest is None:
        return 0
    stop = min(blocker if blocker is not None else newest, newest)
    oldest = unit.connection.execute(select(func.min(events.c.seq))).scalar() or 0
    return unit.execute(delete(events).where(events.c.seq < min(stop, oldest + BATCH_ROWS)))


def prunable_artifacts(connection: Connection, *, before: datetime) -> list[str]:
    """Artifacts older than `before` whose task is over (or that no task owns) and that neither a Change nor
    an open task needs."""
    table = schema.artifacts
    query = (
        select(table.c.id)
        .where(table.c.created_at < timestamp(before), ~_open_task(table.c.task_id))
        .limit(BATCH_ROWS)
    )
    candidates = [str(row[0]) for row in connection.execute(query)]
    needed = given_to_tasks(connection) if candidates else set()
    needed |= {
        artifact
        for (doc,) in connection.execute(
            select(schema.changes.c.doc).where(schema.changes.c.state.not_in(["archived", "landed"]))
        )
        for artifact in candidates
        if artifact.encode() in doc
    }
    return [artifact for artifact in candidates if artifact not in needed]


def forget_artifact(unit: Unit, artifact_id: str) -> bool:
    """Drop the row of an artifact, deciding again inside the transaction. The caller removes the bytes."""
    table = schema.artifacts
    gone = unit.execute(delete(table).where(table.c.id == artifact_id, ~_open_task(table.c.task_id)))
    return gone == 1


def prune_keys(unit: Unit) -> int:
    """Forget idempotency keys older than two days."""
    table = schema.idempotency
    limit = (unit.now - KEEP_KEYS).timestamp()
    return unit.execute(delete(table).where(table.c.created_s < limit))
