"""What each event means for the noun it is about: pure `fold(noun, event, stamp) → noun`.

The store applies these when it records an event, a replay of the log applies the same functions, so the
rows are never more than the log says. Every move goes through `states.move`, which refuses illegal ones.
"""

from __future__ import annotations

from datetime import datetime
from typing import TypeVar

from msgspec import Struct
from msgspec.structs import replace

from podium.kernel import events as e
from podium.kernel.errors import IllegalMove
from podium.kernel.inquiry import Grant, Inquiry
from podium.kernel.nouns import Change, Run, Task
from podium.kernel.session import Message, Session
from podium.kernel.states import (
    CHANGE_MOVES,
    INQUIRY_MOVES,
    MESSAGE_MOVES,
    RUN_MOVES,
    TASK_MOVES,
    ChangeState,
    Evidence,
    InquiryState,
    MessageState,
    RunState,
    State,
    TaskState,
    Word,
    move,
)


class Stamp(Struct, frozen=True, kw_only=True):
    """Where and when an event stands in the log."""

    seq: int
    at: datetime
    by: str

    def evidence(self, detail: str = "") -> Evidence:
        return Evidence(source=self.by, seq=self.seq, at=self.at, detail=detail)


def first_state(word: Word, stamp: Stamp, reason: str = "") -> State[Word]:
    """The state of a noun that has just been opened."""
    return State(word=word, reason=reason, since=stamp.at, evidence=stamp.evidence())


N = TypeVar("N", Task, Run, Change, Message, Inquiry)


def opened(noun: N, stamp: Stamp) -> N:
    """A noun as its opening event makes it: the evidence of its first state is that event."""
    return replace(noun, state=replace(noun.state, since=stamp.at, evidence=stamp.evidence()))


def fold_task(task: Task, event: e.Event, stamp: Stamp) -> Task:
    """The task after the event; the same task when the event says nothing about it."""

    def to(word: TaskState, reason: str = "", detail: str = "") -> State[TaskState]:
        return move(TASK_MOVES, task.state, word, stamp.evidence(detail), reason)

    match event:
        case e.TaskStarted():
            return replace(task, state=to(TaskState.ACTIVE), run_id=event.run_id)
        case e.TaskRequeued():
            return replace(
                task,
                state=to(TaskState.QUEUED, str(event.reason)),
                run_id=event.run_id,
                reruns=task.reruns + 1,
            )
        case e.RunPaused():
            return replace(task, state=to(TaskState.WAITING, event.reason))
        case e.RunContinued():
            return replace(task, state=to(TaskState.ACTIVE))
        case e.TaskCancelRequested():
            return replace(task, cancel=event.intent)
        case e.TaskDone():
            return replace(task, state=to(TaskState.DONE), change_id=event.change_id)
        case e.TaskFailed():
            state = to(TaskState.FAILED, str(event.reason), event.detail)
            return replace(task, state=state, change_id=event.change_id)
        case e.TaskCancelled():
            return replace(task, state=to(TaskState.CANCELLED, event.reason), change_id=event.change_id)
        case e.RunQueued():
            return replace(task, run_id=event.run.id)
        case _:
            return task


def fold_run(run: Run, event: e.Event, stamp: Stamp) -> Run:  # noqa: C901 (one arm per event is the point)
    """The run after the event."""

    def to(word: RunState, reason: str = "", detail: str = "") -> State[RunState]:
        return move(RUN_MOVES, run.state, word, stamp.evidence(detail), reason)

    match event:
        case e.RunLeased():
            leased = replace(run, state=to(RunState.LEASED), worker_id=event.worker_id, fence=event.fence)
            if run.affinity not in {None, event.worker_id}:
                # Another machine: neither the workspace nor the conversation is there, so begin afresh.
                leased = replace(
                    leased, workspace_of=run.id, conversation_id=None, session_id=None, continues=None
                )
            return leased
        case e.RunStarting():
            return replace(run, state=to(RunState.STARTING))
        case e.RunStarted():
            return replace(
                run,
                state=to(RunState.RUNNING),
                pid=event.pid,
                isolation=event.isolation,
                workspace=event.workspace,
                conversation_id=event.conversation_id or run.conversation_id,
                branch=event.branch,
                base_commit=event.base_commit,
                started_at=stamp.at,
            )
        case e.RunSessionKnown():
            return replace(run, conversation_id=event.conversation_id)
        case e.SessionOpened():
            return replace(run, session_id=event.session.id, fork=False)
        case e.SessionJoined():
            return replace(run, session_id=event.session_id)
        case e.RunPaused():
            return replace(run, state=to(RunState.WAITING, event.reason))
        case e.RunContinued():
            return replace(run, state=to(RunState.RUNNING))
        case e.RunModelChanged():
            return replace(run, agent=replace(run.agent, model=event.model))
        case e.RunCancelRequested():
            return replace(run, cancel=event.intent)
        case e.RunFinishing():
            state = to(RunState.FINISHING, str(event.outcome.reason), event.outcome.detail)
            return replace(run, state=state, outcome=event.outcome)
        case e.CheckFinished():
            others = tuple(check for check in run.checks if check.name != event.result.name)
            return replace(run, checks=(*others, event.result))
        case e.RunUsed():
            return replace(run, usage=run.usage.plus(event.usage))
        case e.RunOutputKept(stream="out"):
            return replace(run, out=event.output)
        case e.RunOutputKept():
            return replace(run, err=event.output)
        case e.RunSucceeded():
            return replace(run, state=to(RunState.SUCCEEDED, "completed"), ended_at=stamp.at)
        case e.RunFailed():
            return replace(run, state=to(RunState.FAILED, str(event.reason), event.detail), ended_at=stamp.at)
        case e.RunCancelled():
            return replace(run, state=to(RunState.CANCELLED, "cancelled"), ended_at=stamp.at)
        case e.RunLost():
            return replace(run, state=to(RunState.LOST, str(event.reason), event.detail), ended_at=stamp.at)
        case _:
            return run


def fold_change(change: Change, event: e.Event, stamp: Stamp) -> Change:
    """The change after the event."""
    match event:
        case e.ChangeProposed():
            state = move(CHANGE_MOVES, change.state, ChangeState.PROPOSED, stamp.evidence())
            return replace(change, state=state)
        case e.ChangeApplied():
            return replace(change, applied_at=stamp.at)
        case _:
            return change


def fold_inquiry(inquiry: Inquiry, event: e.Event, stamp: Stamp) -> Inquiry:
    """The inquiry after the event."""

    def to(word: InquiryState, reason: str = "") -> State[InquiryState]:
        return move(INQUIRY_MOVES, inquiry.state, word, stamp.evidence(), reason)

    match event:
        case e.InquiryAnswered():
            decision = str(event.answer.decision)
            return replace(inquiry, state=to(InquiryState.ANSWERED, decision), answer=event.answer)
        case e.InquiryExpired():
            return replace(inquiry, state=to(InquiryState.EXPIRED), answer=event.answer)
        case e.InquiryWithdrawn():
            return replace(inquiry, state=to(InquiryState.WITHDRAWN, event.why))
        case e.InquiryDelivered():
            return replace(inquiry, delivered_at=stamp.at)
        case _:
            return inquiry


def fold_message(message: Message, event: e.Event, stamp: Stamp) -> Message:
    """The message after the event."""

    def to(word: MessageState, reason: str = "") -> State[MessageState]:
        return move(MESSAGE_MOVES, message.state, word, stamp.evidence(), reason)

    match event:
        case e.MessageDelivered():
            return replace(message, state=to(MessageState.DELIVERED))
        case e.MessageStarted():
            return replace(message, state=to(MessageState.STARTED))
        case e.MessageCompleted():
            return replace(message, state=to(MessageState.COMPLETED))
        case e.MessageRequeued():
            state = (
                to(MessageState.QUEUED) if message.state.word is not MessageState.QUEUED else message.state
            )
            return replace(message, state=state, run_id=event.run_id)
        case e.MessageUndelivered():
            return replace(message, state=to(MessageState.UNDELIVERED, event.why))
        case _:
            return message


def fold_session(session: Session, event: e.Event, stamp: Stamp) -> Session:
    """The session after the event."""
    match event:
        case e.SessionJoined():
            return replace(session, run_id=event.run_id, runs=session.runs + 1, last_at=stamp.at)
        case _:
            return session


def fold_grant(grant: Grant, event: e.Event, stamp: Stamp) -> Grant:
    """The grant after the event. Raises IllegalMove when it is used a second time."""
    match event:
        case e.GrantUsed():
            if grant.used_by is not None:
                raise IllegalMove(f"{grant.id} was used already")
            return replace(grant, used_by=event.inquiry_id)
        case _:
            return grant
