"""The order for a run, made from its row. The row is the order; the message is only how it travels."""

from __future__ import annotations

from sqlalchemy import select

from podium.bus.messages import RunOrder
from podium.engine.pending import pending_of
from podium.git.names import branch_for
from podium.kernel.ids import RunId, WorkerId
from podium.kernel.nouns import Run
from podium.kernel.states import RUN_HELD, RunState
from podium.store import schema
from podium.store.unit import Unit


def order_for(unit: Unit, run: Run) -> RunOrder:
    """Everything a worker needs to carry out `run` under its present fence."""
    task = unit.task(run.task_id)
    return RunOrder(
        run_id=run.id,
        task_id=task.id,
        project_id=task.project_id,
        fence=run.fence,
        agent=run.agent,
        prompt=unit.prompt(task.id),
        repository=task.repository,
        base=run.base_commit or task.base,
        snapshot=task.snapshot,
        branch=branch_for(task.id, task.title),
        checks=task.checks,
        workspace_of=run.workspace_of,
        conversation_id=run.conversation_id,
        again=run.resume_of is not None,
        login_of=run.resume_of or run.continues,
        follows=run.continues is not None,
        fork=run.fork,
        start=run.start,
        output_schema=task.output_schema,
        trusted_files=unit.project(task.project_id).trusted_files if task.project_id else {},
        attachments=task.attachments,
        pending=pending_of(unit.connection, [run.id]).get(run.id),
        attempt=run.attempt,
    )


def held_by(unit: Unit, worker: WorkerId) -> list[Run]:
    """Every run the worker has a lease for."""
    runs = schema.runs
    query = select(runs.c.id).where(
        runs.c.open == 1, runs.c.worker_id == worker, runs.c.state.in_([str(state) for state in RUN_HELD])
    )
    return [unit.run(RunId(row[0])) for row in unit.connection.execute(query).all()]


def orders_due(unit: Unit, worker: WorkerId, holding: set[RunId]) -> list[RunOrder]:
    """Orders for runs that are leased to the worker and that it does not have yet."""
    return [
        order_for(unit, run)
        for run in held_by(unit, worker)
        if run.state.word is RunState.LEASED and run.id not in holding
    ]
