"""Every event Podium records. Past tense, immutable, one tagged struct each; the log is a public contract.

`Recorded` is the envelope: the global sequence number, the time, who caused it. Readers tolerate unknown
fields; a stored event of an older shape is lifted by `upcast` before it is decoded.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any, ClassVar, Literal

import msgspec
from msgspec import Struct

from podium.kernel.access import Token
from podium.kernel.ids import (
    ChangeId,
    GrantId,
    InquiryId,
    MessageId,
    ProjectId,
    RunId,
    SessionId,
    TaskId,
    TokenId,
    WorkerId,
)
from podium.kernel.inquiry import Answer, Effect, Grant, Inquiry
from podium.kernel.nouns import (
    Agent,
    CancelIntent,
    Change,
    CheckResult,
    KeptOutput,
    Outcome,
    Project,
    Reason,
    Run,
    Task,
    Usage,
    Worker,
)
from podium.kernel.session import Message, Session


class _Event(Struct, frozen=True, kw_only=True, tag_field="type", omit_defaults=True):
    pass


class ServerStarted(_Event, frozen=True, kw_only=True, tag="server.started"):
    version: str
    clean: bool
    """False: the machine or the server died; the sequence may have skipped ahead."""


class DatabaseReturned(_Event, frozen=True, kw_only=True, tag="database.returned"):
    """The server writes again after its database was away."""

    away_s: float
    lost_events: int
    """Agents' output that had been shown and that a crash of the database took back: it is reported again."""


class ProjectAdded(_Event, frozen=True, kw_only=True, tag="project.added"):
    project: Project


class ProjectChanged(_Event, frozen=True, kw_only=True, tag="project.changed"):
    project: Project


class ProjectRemoved(_Event, frozen=True, kw_only=True, tag="project.removed"):
    project_id: ProjectId


class AgentDefined(_Event, frozen=True, kw_only=True, tag="agent.defined"):
    agent: Agent


class AgentRemoved(_Event, frozen=True, kw_only=True, tag="agent.removed"):
    name: str


class WorkerJoined(_Event, frozen=True, kw_only=True, tag="worker.joined"):
    worker: Worker


class WorkerLeft(_Event, frozen=True, kw_only=True, tag="worker.left"):
    worker_id: WorkerId
    why: str


class TokenMade(_Event, frozen=True, kw_only=True, tag="token.made"):
    """`session`: somebody signed in with a browser."""

    token: Token


class TokenRotated(_Event, frozen=True, kw_only=True, tag="token.rotated"):
    """It has a new secret; the old one is void."""

    token_id: TokenId


class TokenRevoked(_Event, frozen=True, kw_only=True, tag="token.revoked"):
    """It is void, and so are all that were made with it (an event for each)."""

    token_id: TokenId
    why: str = ""


class AccessRefused(_Event, frozen=True, kw_only=True, tag="access.refused"):
    """Somebody tries secrets out: `count` wrong ones from `address` within `within_s`."""

    address: str
    count: int
    within_s: float


class ServerStopAsked(_Event, frozen=True, kw_only=True, tag="server.stop_asked"):
    stop_agents: bool = False


class _TaskEvent(_Event, frozen=True, kw_only=True):
    task_id: TaskId


class TaskOpened(_Event, frozen=True, kw_only=True, tag="task.opened"):
    task: Task


class TaskStarted(_TaskEvent, frozen=True, kw_only=True, tag="task.started"):
    run_id: RunId


class TaskRequeued(_TaskEvent, frozen=True, kw_only=True, tag="task.requeued"):
    run_id: RunId
    """The new run."""
    reason: Reason


class TaskCancelRequested(_TaskEvent, frozen=True, kw_only=True, tag="task.cancel_requested"):
    intent: CancelIntent


class TaskDone(_TaskEvent, frozen=True, kw_only=True, tag="task.done"):
    change_id: ChangeId | None = None


class TaskFailed(_TaskEvent, frozen=True, kw_only=True, tag="task.failed"):
    reason: Reason
    detail: str = ""
    change_id: ChangeId | None = None


class TaskCancelled(_TaskEvent, frozen=True, kw_only=True, tag="task.cancelled"):
    reason: str = ""
    change_id: ChangeId | None = None


class _RunEvent(_Event, frozen=True, kw_only=True):
    task_id: TaskId
    run_id: RunId


class RunQueued(_Event, frozen=True, kw_only=True, tag="run.queued"):
    run: Run


class RunLeased(_RunEvent, frozen=True, kw_only=True, tag="run.leased"):
    worker_id: WorkerId
    fence: int


class RunStarting(_RunEvent, frozen=True, kw_only=True, tag="run.starting"):
    pass


class RunStarted(_RunEvent, frozen=True, kw_only=True, tag="run.started"):
    pid: int
    isolation: str
    workspace: str = ""
    conversation_id: str | None = None
    branch: str | None = None
    base_commit: str | None = None


class RunAdopted(_RunEvent, frozen=True, kw_only=True, tag="run.adopted"):
    """A worker came back and still holds this run."""

    worker_id: WorkerId


class RunSessionKnown(_RunEvent, frozen=True, kw_only=True, tag="run.session_known"):
    """The agent named the conversation that can be resumed."""

    conversation_id: str


class RunPaused(_RunEvent, frozen=True, kw_only=True, tag="run.paused"):
    """The agent waits: `reason` is what for (permission, message)."""

    reason: str


class RunContinued(_RunEvent, frozen=True, kw_only=True, tag="run.continued"):
    """What it waited for has come."""


class RunModelChanged(_RunEvent, frozen=True, kw_only=True, tag="run.model_changed"):
    """The agent's program goes on with another model; so does a re-run."""

    model: str


class RunCancelRequested(_RunEvent, frozen=True, kw_only=True, tag="run.cancel_requested"):
    intent: CancelIntent


class RunFinishing(_RunEvent, frozen=True, kw_only=True, tag="run.finishing"):
    outcome: Outcome


class RunSucceeded(_RunEvent, frozen=True, kw_only=True, tag="run.succeeded"):
    pass


class RunFailed(_RunEvent, frozen=True, kw_only=True, tag="run.failed"):
    reason: Reason
    detail: str = ""


class RunCancelled(_RunEvent, frozen=True, kw_only=True, tag="run.cancelled"):
    pass


class RunLost(_RunEvent, frozen=True, kw_only=True, tag="run.lost"):
    reason: Reason
    detail: str = ""


class CheckFinished(_RunEvent, frozen=True, kw_only=True, tag="check.finished"):
    result: CheckResult


class _Transcript(_RunEvent, frozen=True, kw_only=True):
    under: str = ""
    """The tool call whose sub-agent this is about; empty: the agent itself."""


class RunSaid(_Transcript, frozen=True, kw_only=True, tag="run.said"):
    text: str
    final: bool = False


class RunThought(_Transcript, frozen=True, kw_only=True, tag="run.thought"):
    text: str


class RunToolCalled(_Transcript, frozen=True, kw_only=True, tag="run.tool_called"):
    call_id: str
    name: str
    input: msgspec.Raw = msgspec.Raw(b"{}")


class RunToolReturned(_Transcript, frozen=True, kw_only=True, tag="run.tool_returned"):
    call_id: str
    output: str
    is_error: bool = False


class RunAsked(_Transcript, frozen=True, kw_only=True, tag="run.asked"):
    """The agent asks whether it may; `reply_token` is opaque to all but its harness."""

    effect: Effect
    reply_token: str
    why: str = ""
    call_id: str = ""


class RunAskWithdrawn(_RunEvent, frozen=True, kw_only=True, tag="run.ask_withdrawn"):
    """The agent's program no longer waits for an answer."""

    reply_token: str


class RunUsed(_RunEvent, frozen=True, kw_only=True, tag="run.used"):
    """Usage since the last `run.used` of this run."""

    usage: Usage


class RunOutputKept(_RunEvent, frozen=True, kw_only=True, tag="run.output_kept"):
    """The raw output is stored on the server; from here on nobody needs its worker to read it."""

    stream: Literal["out", "err"]
    output: KeptOutput


class RunNoticed(_Transcript, frozen=True, kw_only=True, tag="run.noticed"):
    """Something worth telling that is none of the above: a gap, a truncation, a retry, stderr."""

    kind: str
    text: str


class SessionOpened(_RunEvent, frozen=True, kw_only=True, tag="session.opened"):
    """The run's program began (or forked) a conversation."""

    session: Session


class SessionJoined(_RunEvent, frozen=True, kw_only=True, tag="session.joined"):
    """A later run goes on with it."""

    session_id: SessionId


class MessageSent(_Event, frozen=True, kw_only=True, tag="message.sent"):
    message: Message


class _MessageEvent(_RunEvent, frozen=True, kw_only=True):
    message_id: MessageId


class MessageDelivered(_MessageEvent, frozen=True, kw_only=True, tag="message.delivered"):
    """It stands in the agent's input."""


class MessageStarted(_MessageEvent, frozen=True, kw_only=True, tag="message.started"):
    """The agent's program has taken it up."""


class MessageCompleted(_MessageEvent, frozen=True, kw_only=True, tag="message.completed"):
    """The agent has done what follows from it."""


class MessageRequeued(_MessageEvent, frozen=True, kw_only=True, tag="message.requeued"):
    """Its run was lost before it was done with: `run_id` is the next one, which gets it."""


class MessageUndelivered(_MessageEvent, frozen=True, kw_only=True, tag="message.undelivered"):
    """The agent ended, or dropped it, before it took it up."""

    why: str = ""


class InquiryOpened(_Event, frozen=True, kw_only=True, tag="inquiry.opened"):
    inquiry: Inquiry


class _InquiryEvent(_RunEvent, frozen=True, kw_only=True):
    inquiry_id: InquiryId


class InquiryAnswered(_InquiryEvent, frozen=True, kw_only=True, tag="inquiry.answered"):
    answer: Answer


class InquiryExpired(_InquiryEvent, frozen=True, kw_only=True, tag="inquiry.expired"):
    """Nobody answered in time: it counts as denied."""

    answer: Answer


class InquiryWithdrawn(_InquiryEvent, frozen=True, kw_only=True, tag="inquiry.withdrawn"):
    why: str = ""


class InquiryDelivered(_InquiryEvent, frozen=True, kw_only=True, tag="inquiry.delivered"):
    """The answer stands in the agent's input."""


class GrantCreated(_TaskEvent, frozen=True, kw_only=True, tag="grant.created"):
    """An approval whose asker is gone: the same effect, asked again by the same task, is allowed once."""

    grant: Grant


class GrantUsed(_TaskEvent, frozen=True, kw_only=True, tag="grant.used"):
    grant_id: GrantId
    inquiry_id: InquiryId


class ChangeDrafted(_TaskEvent, frozen=True, kw_only=True, tag="change.drafted"):
    change: Change


class ChangeProposed(_TaskEvent, frozen=True, kw_only=True, tag="change.proposed"):
    change_id: ChangeId


class ChangeApplied(_TaskEvent, frozen=True, kw_only=True, tag="change.applied"):
    change_id: ChangeId
    where: str


Transcript = (
    RunSaid | RunThought | RunToolCalled | RunToolReturned | RunAsked | RunAskWithdrawn | RunUsed | RunNoticed
)
"""The same for every harness."""

RunFact = (
    RunStarting | RunStarted | RunSessionKnown | RunFinishing | RunPaused | RunContinued
    | RunSaid | RunThought | RunToolCalled | RunToolReturned | RunAsked | RunAskWithdrawn
    | RunUsed | RunNoticed
    | MessageDelivered | MessageStarted | MessageCompleted | MessageUndelivered | InquiryDelivered
)  # fmt: skip
"""What a worker may report about a run it holds. Everything else is the server's to decide."""

Event = (
    ServerStarted | DatabaseReturned | ServerStopAsked | AccessRefused
    | TokenMade | TokenRotated | TokenRevoked | ProjectAdded | ProjectChanged | ProjectRemoved
    | AgentDefined | AgentRemoved | WorkerJoined | WorkerLeft
    | TaskOpened | TaskStarted | TaskRequeued | TaskCancelRequested | TaskDone | TaskFailed | TaskCancelled
    | RunQueued | RunLeased | RunStarting | RunStarted | RunAdopted | RunSessionKnown | RunCancelRequested
    | RunPaused | RunContinued | RunFinishing | RunSucceeded | RunFailed | RunCancelled | RunLost
    | RunModelChanged | RunOutputKept | CheckFinished
    | RunSaid | RunThought | RunToolCalled | RunToolReturned | RunAsked | RunAskWithdrawn
    | RunUsed | RunNoticed
    | SessionOpened | SessionJoined
    | MessageSent | MessageDelivered | MessageStarted | MessageCompleted
    | MessageRequeued | MessageUndelivered
    | InquiryOpened | InquiryAnswered | InquiryExpired | InquiryWithdrawn | InquiryDelivered
    | GrantCreated | GrantUsed
    | ChangeDrafted | ChangeProposed | ChangeApplied
)  # fmt: skip


class Recorded(Struct, frozen=True, kw_only=True):
    """An event in the log. `v` is the version of the event's shape."""

    VERSION: ClassVar[int] = 2

    seq: int
    at: datetime
    by: str
    """The principal or part of Podium that caused it: `owner`, `worker:…`, `dispatch` …"""
    v: int = 2
    event: Event


def type_of(event: Event) -> str:
    """`run.leased` and so on."""
    return str(event.__struct_config__.tag)


def subject_of(event: Event) -> tuple[str | None, str | None]:
    """(task id, run id) the event is about, for indexes and filters."""
    match event:
        case TaskOpened(task=task):
            return task.id, None
        case RunQueued(run=run):
            return run.task_id, run.id
        case MessageSent(message=message):
            return message.task_id, message.run_id
        case InquiryOpened(inquiry=inquiry):
            return inquiry.task_id, inquiry.run_id
        case _:
            return getattr(event, "task_id", None), getattr(event, "run_id", None)


def decode_event(body: bytes, v: int) -> Event:
    """An event from its stored JSON, lifted to the present shape first. Raises msgspec errors on rubbish."""
    from podium.kernel.upcast import lift

    if v < Recorded.VERSION:
        plain: dict[str, Any] = msgspec.json.decode(body)
        # Through bytes again: parts of an event are kept as raw JSON.
        body = msgspec.json.encode(lift(plain, v))
    return _decoder.decode(body)


_decoder: msgspec.json.Decoder[Event] = msgspec.json.Decoder(Event)
