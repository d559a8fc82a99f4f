"""Gives queued runs to free slots. Choosing and leasing are one transaction, so no slot is given twice."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from typing import Any

import msgspec
from sqlalchemy import Select, func, select

from podium.bus.messages import RunOrder
from podium.engine.orders import order_for
from podium.engine.rules import Waiting, choose
from podium.kernel import events as e
from podium.kernel.faultpoint import reach
from podium.kernel.ids import RunId, WorkerId
from podium.kernel.nouns import Project, Run
from podium.kernel.states import RUN_SLOTTED, RunState
from podium.store import schema
from podium.store.unit import Unit

LOOK_AHEAD = 500
"""Queued runs looked at in one pass: enough to pass by those that must wait for their node. After a whole
pass of projects that may run no more, the next one is without them."""

AFFINITY_WAIT_S = 60.0
"""How long a re-run waits for its own node before it begins afresh elsewhere."""

_runs = schema.runs
_SLOTTED = [str(state) for state in RUN_SLOTTED]
# Built once: a submitted task waits for these, and building costs more than running them.
_BY_WORKER, _BY_PROJECT = (
    select(column, func.count()).where(_runs.c.open == 1, _runs.c.state.in_(_SLOTTED)).group_by(column)
    for column in (_runs.c.worker_id, _runs.c.project_id)
)
_QUEUED = (
    select(_runs.c.id, _runs.c.project_id, _runs.c.doc)
    .where(_runs.c.open == 1, _runs.c.state == str(RunState.QUEUED))
    .order_by(_runs.c.priority.desc(), _runs.c.id)
    .limit(LOOK_AHEAD)
)


def dispatch(
    unit: Unit, capacities: Mapping[WorkerId, int], *, affinity_wait_s: float = AFFINITY_WAIT_S
) -> list[tuple[WorkerId, RunOrder]]:
    """Lease as many queued runs as there are free slots; returns the orders to send after the commit."""
    used = _counted(unit, _BY_WORKER)
    free = {worker: capacity - used.get(worker, 0) for worker, capacity in capacities.items()}
    if not any(slots > 0 for slots in free.values()):
        return []
    orders: list[tuple[WorkerId, RunOrder]] = []
    full: frozenset[str] = frozenset()
    while True:
        queue = _queue(unit, affinity_wait_s, full)
        for run_id, worker in choose(queue, free, _places(unit, queue)):
            orders.append((worker, lease(unit, unit.run(run_id), worker)))
            free[worker] -= 1
        if len(queue) < LOOK_AHEAD or not any(slots > 0 for slots in free.values()):
            break
        # A project that may run no more must not hold up those behind its thousands.
        unit.flush()
        more = full | {name for name, left in _places(unit, queue).items() if left <= 0}
        if more == full:
            break
        full = more
    if orders:
        reach("dispatch.leased")
    return orders


def lease(unit: Unit, run: Run, worker: WorkerId) -> RunOrder:
    """Give the run to the worker under the next fence."""
    leased = e.RunLeased(task_id=run.task_id, run_id=run.id, worker_id=worker, fence=run.fence + 1)
    unit.record(leased, by="dispatch")
    unit.record(e.TaskStarted(task_id=run.task_id, run_id=run.id), by="dispatch")
    return order_for(unit, unit.run(run.id))


def _queue(unit: Unit, affinity_wait_s: float, without: frozenset[str]) -> list[Waiting]:
    """`without`: projects that are passed by."""
    query = _QUEUED
    if without:
        query = query.where(_runs.c.project_id.is_(None) | _runs.c.project_id.not_in(without))
    waiting = []
    for row in unit.connection.execute(query).all():
        run = msgspec.json.decode(row.doc, type=Run)
        waiting.append(
            Waiting(
                run_id=RunId(row.id),
                project_id=row.project_id,
                affinity=run.affinity,
                affinity_over=unit.now - run.state.since > timedelta(seconds=affinity_wait_s),
            )
        )
    return waiting


def _places(unit: Unit, queue: list[Waiting]) -> dict[str, int]:
    wanted = {run.project_id for run in queue if run.project_id is not None}
    if not wanted:
        return {}
    projects = schema.projects
    rows = unit.connection.execute(select(projects.c.doc).where(projects.c.id.in_(wanted))).all()
    capped = [p for row in rows if (p := msgspec.json.decode(row.doc, type=Project)).max_running is not None]
    if not capped:
        return {}
    running = _counted(unit, _BY_PROJECT)
    return {p.id: (p.max_running or 0) - running.get(p.id, 0) for p in capped}


def _counted(unit: Unit, query: Select[Any]) -> dict[str, int]:
    return {row[0]: int(row[1]) for row in unit.connection.execute(query)}
