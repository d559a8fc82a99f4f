"""Leases of runs: what a worker may keep when it comes back, and what is lost when it does not."""

from __future__ import annotations

from sqlalchemy import select

from podium.bus.messages import Held, Hello, Resume, RunOrder
from podium.engine.inbox import settle_inquiries
from podium.engine.orders import held_by, order_for
from podium.engine.pending import pending_of
from podium.engine.rules import lose
from podium.engine.talk import settle_messages
from podium.kernel import events as e
from podium.kernel.errors import NotFound
from podium.kernel.ids import IdMaker, RunId, WorkerId
from podium.kernel.nouns import Reason, Run, Worker
from podium.kernel.states import RUN_HELD, RUN_TERMINAL, RunState
from podium.store import schema
from podium.store.unit import Unit

_CONCLUDED = RUN_TERMINAL - {RunState.LOST}


def welcome(
    unit: Unit, hello: Hello, ids: IdMaker
) -> tuple[tuple[Resume, ...], tuple[RunId, ...], tuple[RunOrder, ...]]:
    """What a worker that has just connected goes on with, must drop, and must begin.

    A run it should have and does not: still only leased → the order again; further on → lost, because what
    it had on disk is gone.
    """
    by = f"worker:{hello.worker_id}"
    unit.record(e.WorkerJoined(worker=_worker_of(unit, hello)), by=by)
    resume, drop, mine = [], [], set()
    for held in hello.holding:
        run = _mine(unit, hello.worker_id, held)
        if run is None:
            drop.append(held.run_id)
            continue
        mine.add(run.id)
        if run.state.word in RUN_TERMINAL:
            resume.append(_resume_of(unit, run))
            continue
        unit.record(e.RunAdopted(task_id=run.task_id, run_id=run.id, worker_id=hello.worker_id), by=by)
        resume.append(_resume_of(unit, run))
    orders = []
    for run in held_by(unit, hello.worker_id):
        if run.id in mine:
            continue
        if run.state.word is RunState.LEASED:
            orders.append(order_for(unit, run))
        else:
            lose_run(unit, run.id, Reason.WORKSPACE, "its node no longer has it", ids)
    return tuple(resume), tuple(drop), tuple(orders)


def refused(unit: Unit, worker: WorkerId, holding: tuple[Held, ...]) -> tuple[RunId, ...]:
    """Which of the runs a worker holds are not its to hold any more."""
    return tuple(held.run_id for held in holding if _mine(unit, worker, held) is None)


def expire_worker(unit: Unit, worker: WorkerId, ids: IdMaker) -> int:
    """The worker was silent for a whole lease: everything it held is lost. Returns how many runs."""
    held = held_by(unit, worker)
    for run in held:
        lose_run(unit, run.id, Reason.WORKER_LOST, "its worker was not heard for a whole lease", ids)
    known = select(schema.workers.c.id).where(schema.workers.c.id == worker)
    if unit.connection.execute(known).first() is not None:
        unit.record(e.WorkerLeft(worker_id=worker, why="not heard for a whole lease"), by="lease")
    return len(held)


def lose_run(unit: Unit, run_id: RunId, reason: Reason, detail: str, ids: IdMaker) -> None:
    """Record that a run is lost and what follows for its task."""
    run = unit.run(run_id)
    if run.state.word in RUN_TERMINAL:
        return
    task = unit.task(run.task_id)
    for event in lose(task, run, reason, detail, new_run_id=RunId(ids.new("run")), now=unit.now):
        unit.record(event, by="lease")
    settle_inquiries(unit, unit.run(run_id), ids)
    settle_messages(unit, unit.run(run_id))


def holders(unit: Unit) -> frozenset[WorkerId]:
    """Every worker that has a lease: at server start each is given time to come back."""
    runs = schema.runs
    query = select(runs.c.worker_id).where(
        runs.c.open == 1, runs.c.state.in_([str(state) for state in RUN_HELD])
    )
    return frozenset(WorkerId(row[0]) for row in unit.connection.execute(query.distinct()) if row[0])


def _mine(unit: Unit, worker: WorkerId, held: Held) -> Run | None:
    """The run, if the worker held it under the present fence: it still does, or it brought it to its end
    and has only not forgotten it yet. None when it was lost or is somebody else's."""
    try:
        run = unit.run(held.run_id)
    except NotFound:
        return None
    if run.worker_id != worker or run.fence != held.fence:
        return None
    return run if run.state.word in RUN_HELD or run.state.word in _CONCLUDED else None


def _resume_of(unit: Unit, run: Run) -> Resume:
    positions = schema.positions
    query = select(positions.c.out_offset, positions.c.decoder).where(positions.c.run_id == run.id)
    row = unit.connection.execute(query).first()
    return Resume(
        run_id=run.id,
        fence=run.fence,
        offset=0 if row is None else row.out_offset,
        state=b"" if row is None else bytes(row.decoder),
        phase=str(run.state.word),
        cancelled=run.cancel is not None,
        pending=pending_of(unit.connection, [run.id]).get(run.id),
    )


def _worker_of(unit: Unit, hello: Hello) -> Worker:
    return Worker(
        id=hello.worker_id,
        node=hello.node,
        capacity=hello.capacity,
        version=hello.version,
        isolation=hello.isolation,
        joined_at=unit.now,
    )
