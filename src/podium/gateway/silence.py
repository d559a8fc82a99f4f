"""Liveness laid over stored status: a running task whose worker is not heard is `unknown`, not `running`.

Liveness is in memory and never stored, so rows cannot know. Almost always every worker is there and a page
passes through untouched; only while one is missing are rows decoded.
"""

from __future__ import annotations

import msgspec
from msgspec.structs import replace
from sqlalchemy import Connection, bindparam, select

from podium.gateway.presence import Presence
from podium.kernel.access import Scope
from podium.kernel.ids import WorkerId
from podium.kernel.nouns import Task
from podium.kernel.status import NEEDS_YOU, RUNNING, UNKNOWN, with_silence
from podium.store import schema
from podium.store.queries import narrow, page_of
from podium.store.store import Store

MOMENT_S = 3.0
"""Silence shorter than this is a reconnect, not worth a word."""
LOOK_EVERY_S = 1.0
"""How long the set of workers that hold runs is believed."""


# Built once: while a worker is silent every list asks this.
_HELD = select(schema.runs.c.id).where(
    schema.runs.c.open == 1, schema.runs.c.worker_id.in_(bindparam("b_workers", expanding=True))
)


class _Listed(msgspec.Struct, frozen=True):
    items: list[msgspec.Raw]
    next: str | None


class _Named(msgspec.Struct, frozen=True):
    run_id: str | None = None


class _Peeked(msgspec.Struct, frozen=True):
    items: list[_Named]


_peek = msgspec.json.Decoder(_Peeked)
"""Which runs a page is about, and nothing else of it: a tenth of the cost of its tasks."""


class Silence:
    def __init__(self, store: Store, presence: Presence) -> None:
        self._store = store
        self._presence = presence
        self._holders: frozenset[WorkerId] = frozenset()
        self._looked_at: float | None = None

    async def silent(self) -> frozenset[WorkerId]:
        """Workers that hold open runs and have not been heard for a moment."""
        now = self._store.clock.monotonic()
        if self._looked_at is None or now - self._looked_at >= LOOK_EVERY_S:
            self._looked_at = now
            self._holders = await self._store.reader.run(_holders)
            if self._holders:
                await self._presence.refresh()
        return frozenset(worker for worker in self._holders if self._is_silent(worker))

    def _is_silent(self, worker: WorkerId) -> bool:
        if self._presence.is_connected(worker):
            return False
        silence_s = self._presence.silence_s(worker)
        return silence_s is None or silence_s > MOMENT_S


def overlay_page(
    connection: Connection, page: bytes, silent: frozenset[WorkerId], status: str | None
) -> bytes:
    """`page` with `unknown` where it is due. A page asked for `running` loses what turned out unknown."""
    held = _held_by(connection, silent)
    if held.isdisjoint(named.run_id for named in _peek.decode(page).items):
        return page
    listed = msgspec.json.decode(page, type=_Listed)
    rows = []
    for raw in listed.items:
        doc = overlay_task(bytes(raw), held)
        if status in {None, UNKNOWN} or msgspec.json.decode(doc, type=Task).status.word == status:
            rows.append(doc)
    following = msgspec.json.encode(listed.next)
    return b'{"items":[' + b",".join(rows) + b'],"next":' + following + b"}"


def overlay_one(connection: Connection, doc: bytes, silent: frozenset[WorkerId]) -> bytes:
    """One task's JSON, other members than a Task's (its prompt) kept."""
    task = msgspec.json.decode(doc, type=Task)
    if task.run_id not in _held_by(connection, silent):
        return doc
    whole = msgspec.json.decode(doc, type=dict[str, msgspec.Raw])
    whole["status"] = msgspec.Raw(msgspec.json.encode(with_silence(task.status, silent)))
    return msgspec.json.encode(whole)


def unknown_page(
    connection: Connection,
    silent: frozenset[WorkerId],
    *,
    limit: int,
    after: str | None,
    project: str | None,
    scope: Scope | None = None,
) -> bytes:
    """The tasks whose status is `unknown`: stored as running, their worker silent."""
    held = _held_by(connection, silent)
    tasks = schema.tasks
    runs = schema.runs
    ids = select(runs.c.task_id).where(runs.c.id.in_(held))
    query = select(tasks.c.doc, tasks.c.id).where(
        tasks.c.id.in_(ids), tasks.c.status.in_([RUNNING, NEEDS_YOU])
    )
    query = narrow(query, tasks, scope)
    if after is not None:
        query = query.where(tasks.c.id < after)
    if project is not None:
        query = query.where(tasks.c.project_id == project)
    rows = connection.execute(query.order_by(tasks.c.id.desc()).limit(limit + 1)).all()
    return page_of([(overlay_task(bytes(doc), held), key) for doc, key in rows], limit)


def overlay_task(doc: bytes, held: frozenset[str]) -> bytes:
    task = msgspec.json.decode(doc, type=Task)
    if task.run_id not in held:
        return doc
    return msgspec.json.encode(replace(task, status=with_silence(task.status, held)))


def _holders(connection: Connection) -> frozenset[WorkerId]:
    runs = schema.runs
    query = select(runs.c.worker_id).where(runs.c.open == 1, runs.c.worker_id.is_not(None)).distinct()
    return frozenset(WorkerId(row[0]) for row in connection.execute(query))


def _held_by(connection: Connection, workers: frozenset[WorkerId]) -> frozenset[str]:
    """Open runs that these workers hold."""
    return frozenset(str(row[0]) for row in connection.execute(_HELD, {"b_workers": list(workers)}))
