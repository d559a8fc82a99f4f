"""The only place that turns facts into the word people see."""

from __future__ import annotations

from podium.kernel.nouns import Change, Run, Task
from podium.kernel.states import ChangeState, RunState, State, TaskState

QUEUED, RUNNING, NEEDS_YOU, REVIEW = "queued", "running", "needs you", "review"
DONE, FAILED, CANCELLED, UNKNOWN = "done", "failed", "cancelled", "unknown"
STATUSES = (QUEUED, RUNNING, NEEDS_YOU, REVIEW, DONE, FAILED, CANCELLED, UNKNOWN)

_SETTLED = frozenset({ChangeState.LANDED, ChangeState.ARCHIVED, ChangeState.REJECTED})
_ON_A_PERSON = frozenset({"question", "permission", "approval", "review", "takeover", "message"})


def status_of(task: Task, run: Run | None, change: Change | None) -> State[str]:
    """Status of a task with its evidence, from what is stored. Liveness is added by `with_silence`."""
    state = task.state
    evidence, since, reason = state.evidence, state.since, state.reason
    match state.word:
        case TaskState.BLOCKED | TaskState.QUEUED:
            word = QUEUED
        case TaskState.ACTIVE | TaskState.WAITING:
            word = RUNNING
            if run is not None:
                evidence, since, reason = run.state.evidence, run.state.since, str(run.state.word)
                if run.state.word is RunState.WAITING and run.state.reason in _ON_A_PERSON:
                    word, reason = NEEDS_YOU, run.state.reason
        case TaskState.DONE:
            word = DONE
            if change is not None and change.applied_at is None and change.state.word not in _SETTLED:
                word, evidence, since = REVIEW, change.state.evidence, change.state.since
        case TaskState.FAILED:
            word = FAILED
        case TaskState.CANCELLED:
            word = CANCELLED
    return State(word=word, reason=reason, since=since, evidence=evidence)


def with_silence(status: State[str], silent_since: object | None) -> State[str]:
    """`unknown` for a running task whose worker has not been heard: its last evidence stays shown."""
    if silent_since is None or status.word not in {RUNNING, NEEDS_YOU}:
        return status
    return State(word=UNKNOWN, reason="worker_silent", since=status.since, evidence=status.evidence)
