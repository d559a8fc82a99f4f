"""`podium diagnose`: what a run is doing, how we know, what is likely wrong and what to do next. Pure."""

from __future__ import annotations

from enum import StrEnum

from msgspec import Struct

from podium.bus.messages import ProcessIs
from podium.kernel.nouns import Reason, Run, Task
from podium.kernel.states import RunState, State

QUIET_AFTER_S = 300.0


class Issue(StrEnum):
    """What is likely going on: a closed set that scripts may branch on."""

    NONE = "none"
    WAITING_FOR_SLOT = "waiting_for_slot"
    NO_WORKER = "no_worker"
    WORKER_SILENT = "worker_silent"
    PROCESS_GONE = "process_gone"
    QUIET = "quiet"
    AGENT_ERROR = "agent_error"
    AUTH_REQUIRED = "auth_required"
    RATE_LIMITED = "rate_limited"
    PROGRAM_MISSING = "program_missing"
    LAUNCH_FAILED = "launch_failed"
    WAITING_FOR_PERSON = "waiting_for_person"
    CANCELLED = "cancelled"
    COMPLETED = "completed"


class WorkerFacts(Struct, frozen=True, kw_only=True):
    id: str | None
    connected: bool
    silent_s: float | None


class Diagnosis(Struct, frozen=True, kw_only=True):
    task_id: str
    run_id: str
    status: State[str]
    state: State[RunState]
    attempt: int
    queue_position: int
    queued: int
    workers_connected: int
    worker: WorkerFacts
    process: ProcessIs | None
    """None when the worker could not be asked."""
    last_output_age_s: float | None
    exit_code: int | None
    issue: Issue
    explanation: str
    next_step: str


_BY_REASON = {
    Reason.AUTH_REQUIRED: (
        Issue.AUTH_REQUIRED,
        "the agent's program is not logged in",
        "log in with its own command on that machine, then: podium tasks retry TASK",
    ),
    Reason.RATE_LIMITED: (
        Issue.RATE_LIMITED,
        "the model's provider refused: too many requests or the plan's limit is reached",
        "wait for the limit to reset, then: podium tasks retry TASK",
    ),
    Reason.PROGRAM_MISSING: (
        Issue.PROGRAM_MISSING,
        "the agent's program is not installed on that machine",
        "install it, check with `podium doctor`, then: podium tasks retry TASK",
    ),
    Reason.LAUNCH_FAILED: (
        Issue.LAUNCH_FAILED,
        "its machine could not start the program, although that may be installed: nothing has run",
        "look for too little memory or too many processes there, then: podium tasks retry TASK",
    ),
}


def find_issue(
    run: Run, worker: WorkerFacts, process: ProcessIs | None, workers_connected: int, quiet_s: float | None
) -> tuple[Issue, str, str]:
    """(issue, explanation, next step) from the facts, the most certain first."""
    word, reason = run.state.word, run.outcome.reason if run.outcome else None
    if reason in _BY_REASON:
        return _BY_REASON[reason]
    if word is RunState.SUCCEEDED:
        return Issue.COMPLETED, "the run has succeeded", "look at its work: podium diff TASK"
    if word is RunState.CANCELLED or run.cancel is not None:
        return (
            Issue.CANCELLED,
            "somebody cancelled it",
            "nothing to do; podium tasks retry TASK opens it anew",
        )
    if word in {RunState.FAILED, RunState.LOST}:
        detail = run.state.evidence.detail or run.state.reason
        return Issue.AGENT_ERROR, f"the run ended: {detail}", "read its end: podium logs TASK"
    if word is RunState.QUEUED:
        if workers_connected == 0:
            return Issue.NO_WORKER, "no worker is connected", "start one: podium up, or podium worker"
        return Issue.WAITING_FOR_SLOT, "every slot is in use", "wait, or raise the worker's capacity"
    if word is RunState.WAITING:
        if run.state.reason == "message":
            return (
                Issue.WAITING_FOR_PERSON,
                "it waits for a message",
                "say what comes next: podium send TASK …",
            )
        return Issue.WAITING_FOR_PERSON, f"it waits for {run.state.reason}", "look and answer: podium inbox"
    return _running_issue(worker, process, quiet_s)


def _running_issue(
    worker: WorkerFacts, process: ProcessIs | None, quiet_s: float | None
) -> tuple[Issue, str, str]:
    if not worker.connected:
        return (
            Issue.WORKER_SILENT,
            "its worker is not connected; the agent itself may well go on",
            "wait for the worker, or restart it: podium up (agents survive that)",
        )
    if process is not None and process.word in {"vanished", "holder_gone"}:
        return (
            Issue.PROCESS_GONE,
            "the agent's process is gone",
            "nothing: the run ends or is re-run by itself",
        )
    if quiet_s is not None and quiet_s > QUIET_AFTER_S:
        return (
            Issue.QUIET,
            f"no output for {quiet_s:.0f} s",
            "look at it: podium logs -f TASK; or podium cancel TASK",
        )
    return Issue.NONE, "it is running", "follow it: podium logs -f TASK"


def diagnose(
    task: Task,
    run: Run,
    *,
    place: tuple[int, int],
    worker: WorkerFacts,
    workers_connected: int,
    process: ProcessIs | None,
    output_age_s: float | None,
) -> Diagnosis:
    issue, explanation, next_step = find_issue(run, worker, process, workers_connected, output_age_s)
    exit_code = run.outcome.exit_code if run.outcome else (process.exit_code if process else None)
    return Diagnosis(
        task_id=task.id,
        run_id=run.id,
        status=task.status,
        state=run.state,
        attempt=run.attempt,
        queue_position=place[0],
        queued=place[1],
        workers_connected=workers_connected,
        worker=worker,
        process=process,
        last_output_age_s=output_age_s,
        exit_code=exit_code,
        issue=issue,
        explanation=explanation,
        next_step=next_step.replace("TASK", task.id),
    )
