"""The pure decisions of the engine: facts in, events out. No I/O, no clock; tested without a database."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime

from msgspec import Struct

from podium.kernel import events as e
from podium.kernel.fold import Stamp, first_state
from podium.kernel.ids import ChangeId, RunId, WorkerId
from podium.kernel.nouns import CheckResult, Outcome, Reason, Run, Task
from podium.kernel.states import RunState, Verdict

MAX_RERUNS = 2


class Waiting(Struct, frozen=True, kw_only=True):
    """A queued run as dispatch sees it. `affinity_over`: its own node has been away for too long."""

    run_id: RunId
    project_id: str | None
    affinity: WorkerId | None
    affinity_over: bool


def choose(
    queue: Iterable[Waiting],
    free: Mapping[WorkerId, int],
    projects: Mapping[str, int],
) -> list[tuple[RunId, WorkerId]]:
    """Who runs where now. `queue` in order of priority, then age; `free` slots by connected worker;
    `projects` free places by project, for those with a cap. A run goes to the emptiest worker, one that
    resumes to its own node. A run that cannot go does not hold up those behind it."""
    slots, places = dict(free), dict(projects)
    chosen: list[tuple[RunId, WorkerId]] = []
    for run in queue:
        if run.project_id in places and places[run.project_id] <= 0:
            continue
        if run.affinity is not None and not run.affinity_over:
            worker: WorkerId | None = run.affinity
        else:
            worker = max(slots, key=lambda w: slots[w], default=None)
        if worker is None or slots.get(worker, 0) <= 0:
            continue
        slots[worker] -= 1
        if run.project_id in places:
            places[run.project_id] -= 1
        chosen.append((run.run_id, worker))
    return chosen


def judge(outcome: Outcome, checks: Sequence[CheckResult]) -> tuple[Reason, str]:
    """COMPLETED, or why the work does not count as done: the agent's own end first, then the checks."""
    if not outcome.succeeded:
        return outcome.reason, outcome.detail
    failed = [check.name for check in checks if check.verdict is Verdict.FAIL]
    if failed:
        return Reason.CHECKS_FAILED, "failed: " + ", ".join(failed)
    unclear = [check.name for check in checks if check.verdict is Verdict.CANNOT_TELL]
    if unclear:
        return Reason.CHECKS_CANNOT_TELL, "no verdict: " + ", ".join(unclear)
    return Reason.COMPLETED, ""


def conclude(
    task: Task,
    run: Run,
    outcome: Outcome,
    checks: Sequence[CheckResult],
    change_id: ChangeId | None,
    *,
    new_run_id: RunId,
    now: datetime,
) -> list[e.Event]:
    """What follows from the end of an agent: of the run, its change and its task."""
    if run.cancel is not None:
        reason = run.cancel.reason
        return [
            e.RunCancelled(task_id=task.id, run_id=run.id),
            e.TaskCancelled(task_id=task.id, reason=reason, change_id=change_id),
        ]
    if outcome.lost:
        return lose(task, run, outcome.reason, outcome.detail, new_run_id=new_run_id, now=now)
    reason, detail = judge(outcome, checks)
    if reason is Reason.COMPLETED:
        proposed = [e.ChangeProposed(task_id=task.id, change_id=change_id)] if change_id else []
        return [
            e.RunSucceeded(task_id=task.id, run_id=run.id),
            *proposed,
            e.TaskDone(task_id=task.id, change_id=change_id),
        ]
    ended: e.Event = (
        e.RunSucceeded(task_id=task.id, run_id=run.id)
        if outcome.succeeded
        else e.RunFailed(task_id=task.id, run_id=run.id, reason=reason, detail=detail)
    )
    return [ended, e.TaskFailed(task_id=task.id, reason=reason, detail=detail, change_id=change_id)]


def lose(
    task: Task, run: Run, reason: Reason, detail: str, *, new_run_id: RunId, now: datetime
) -> list[e.Event]:
    """A run is lost: cancel was asked → cancelled; few enough re-runs → again; else failed."""
    lost = e.RunLost(task_id=task.id, run_id=run.id, reason=reason, detail=detail)
    if run.cancel is not None or task.cancel is not None:
        return [lost, e.TaskCancelled(task_id=task.id, reason="its run was lost while stopping")]
    if task.reruns >= MAX_RERUNS:
        failed = e.TaskFailed(
            task_id=task.id,
            reason=Reason.RERUNS_EXHAUSTED,
            detail=f"lost {task.reruns + 1} times, last: {reason}",
        )
        return [lost, failed]
    again = Run(
        id=new_run_id,
        task_id=task.id,
        project_id=task.project_id,
        agent=run.agent,
        attempt=run.attempt + 1,
        priority=run.priority,
        resume_of=run.id,
        workspace_of=run.workspace_of,
        affinity=run.worker_id,
        session_id=run.session_id,
        conversation_id=run.conversation_id,
        continues=run.continues,
        fork=run.fork,
        start=run.start,
        base_commit=run.base_commit,
        created_at=now,
        state=first_state(RunState.QUEUED, Stamp(seq=0, at=now, by="engine"), str(reason)),
    )
    return [
        lost,
        e.RunQueued(run=again),
        e.TaskRequeued(task_id=task.id, run_id=new_run_id, reason=reason),
    ]
