"""The end of a run: its bundle has been imported, now one transaction says what follows."""

from __future__ import annotations

from pathlib import Path

from msgspec import Struct

from podium.bus.messages import Captured, RunFinished
from podium.engine.inbox import settle_inquiries
from podium.engine.mirrors import Imported
from podium.engine.rules import conclude
from podium.engine.talk import settle_messages
from podium.kernel import events as e
from podium.kernel.fold import Stamp, first_state
from podium.kernel.ids import ChangeId, IdMaker, RunId
from podium.kernel.nouns import Artifact, Change, Run, Task
from podium.kernel.states import RUN_TERMINAL, ChangeState, RunState
from podium.store.unit import Unit


class Bundle(Struct, frozen=True, kw_only=True):
    """An imported bundle: where its bytes are and what git found in it."""

    captured: Captured
    imported: Imported
    path: Path
    size: int


def finish(unit: Unit, report: RunFinished, bundle: Bundle | None, ids: IdMaker) -> bool:
    """Record the end of a run once. False when the fence is stale; True also when it was recorded before."""
    run = unit.run(report.run_id)
    if run.fence != report.fence or run.worker_id != report.worker_id:
        return False
    if run.state.word in RUN_TERMINAL:
        return run.state.word is not RunState.LOST
    by = f"worker:{report.worker_id}"
    task = unit.task(run.task_id)
    for notice in report.events:
        unit.append(notice, by=by)
    if run.state.word is not RunState.FINISHING:
        unit.record(e.RunFinishing(task_id=task.id, run_id=run.id, outcome=report.outcome), by=by)
    for result in report.checks:
        unit.record(e.CheckFinished(task_id=task.id, run_id=run.id, result=result), by=by)
    change_id = None
    if bundle is not None:
        change_id = _draft(unit, task, unit.run(run.id), report, bundle, ids)
    run = unit.run(run.id)
    new_run_id = RunId(ids.new("run"))
    for event in conclude(
        task, run, report.outcome, report.checks, change_id, new_run_id=new_run_id, now=unit.now
    ):
        unit.record(event, by="engine")
    settle_inquiries(unit, unit.run(run.id), ids)
    settle_messages(unit, unit.run(run.id))
    return True


def _draft(unit: Unit, task: Task, run: Run, report: RunFinished, bundle: Bundle, ids: IdMaker) -> ChangeId:
    captured, imported = bundle.captured, bundle.imported
    change = Change(
        id=ChangeId(ids.new("change")),
        task_id=task.id,
        run_id=run.id,
        project_id=task.project_id,
        title=task.title,
        repository=captured.repository,
        branch=captured.branch,
        base=captured.base,
        tip=captured.tip,
        target=task.target,
        commits=captured.commits,
        files=imported.files,
        additions=imported.additions,
        deletions=imported.deletions,
        leftover=captured.leftover,
        drift=captured.drift,
        bundle=captured.bundle,
        snapshot=task.snapshot,
        checks=report.checks,
        created_at=unit.now,
        state=first_state(ChangeState.DRAFT, Stamp(seq=0, at=unit.now, by="engine")),
    )
    artifact = Artifact(
        id=captured.bundle,
        size=bundle.size,
        media_type="application/x-git-bundle",
        name=f"{run.id}.bundle",
        created_at=unit.now,
    )
    unit.artifact(artifact, task.id)
    unit.record(e.ChangeDrafted(task_id=task.id, change=change), by="engine")
    return change.id
