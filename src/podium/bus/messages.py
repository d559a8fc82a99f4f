"""Everything server and worker say to each other. Encoded as JSON even inside one process.

Readers tolerate unknown fields. The row in the store is the order; a RunOrder is only a hint that it is
there, so every message may be lost, doubled or late without harm: orders are idempotent by (run, fence),
reports by (run, fence, offset).
"""

from __future__ import annotations

from typing import Any, Literal

import msgspec
from msgspec import Struct

from podium.kernel.errors import PodiumError
from podium.kernel.events import RunFact
from podium.kernel.ids import ArtifactId, InquiryId, MessageId, ProjectId, RunId, TaskId, WorkerId
from podium.kernel.inquiry import Decision
from podium.kernel.nouns import Agent, Attachment, Check, CheckResult, Outcome
from podium.kernel.session import Mode

VERSION = 1


class _Message(Struct, frozen=True, kw_only=True, tag_field="type", omit_defaults=True):
    v: int = VERSION


# ---- worker → server, each answered ----------------------------------------------------------------


class Held(Struct, frozen=True, kw_only=True):
    """A run that the worker has on disk."""

    run_id: RunId
    fence: int


class Hello(_Message, frozen=True, kw_only=True, tag="hello"):
    """First message of every connection: who I am and what I hold. Answer: Welcome."""

    worker_id: WorkerId
    node: str
    capacity: int
    version: str
    isolation: str
    free_memory_bytes: int
    holding: tuple[Held, ...] = ()


class Renew(_Message, frozen=True, kw_only=True, tag="renew"):
    """Keeps the leases of everything the worker holds. Answer: Renewed."""

    worker_id: WorkerId
    holding: tuple[Held, ...] = ()
    free_memory_bytes: int = 0


class RunReport(Struct, frozen=True, kw_only=True):
    """What one run did since `from_offset`. `state` is the decoder's state after `offset`, encoded.

    A report whose offset does not advance may carry only facts that are harmless to repeat: starting,
    started, session known, finishing.
    """

    run_id: RunId
    fence: int
    from_offset: int
    offset: int
    state: bytes = b""
    events: tuple[RunFact, ...] = ()


class Reports(_Message, frozen=True, kw_only=True, tag="reports"):
    """Reports of several runs, committed together. Answer: Reported, one Receipt for each, in order."""

    worker_id: WorkerId
    reports: tuple[RunReport, ...]


class Captured(Struct, frozen=True, kw_only=True):
    """The work of a run, already safe in the node's mirror and uploaded as a bundle."""

    repository: str
    branch: str
    base: str
    tip: str
    commits: int
    leftover: bool = False
    drift: tuple[str, ...] = ()
    bundle: ArtifactId
    thin: bool = True
    """The bundle needs `base` to be present already."""


class RunFinished(_Message, frozen=True, kw_only=True, tag="run_finished"):
    """The agent is gone, its work captured, its checks run. Repeated until answered by Finished."""

    worker_id: WorkerId
    run_id: RunId
    fence: int
    outcome: Outcome
    captured: Captured | None = None
    checks: tuple[CheckResult, ...] = ()
    events: tuple[RunFact, ...] = ()
    """Closing notices that belong to no frame: the end of stderr, what was truncated."""


class Partials(_Message, frozen=True, kw_only=True, tag="partials"):
    """Text that is being said right now, for those who watch; may be lost. Answer: Accepted."""

    worker_id: WorkerId
    run_id: RunId
    task_id: TaskId
    item: str
    text: str
    thought: bool = False


# ---- gateway beside the server → server, each answered ----------------------------------------------


class Command(_Message, frozen=True, kw_only=True, tag="command"):
    """What another gateway was asked over HTTP, to be carried out as whoever's `secret` that is, and as
    nobody else. Answer: CommandAnswer.

    `headers`: names in lower case; only a few are looked at. `port` and `public_url`: of the gateway that was
    asked. `answer_bytes`: cut the body of the answer there, and say so; 0: all of it. `body_id`: the body
    comes as BodyPieces that name it.
    """

    method: str
    path: str
    query: bytes = b""
    headers: tuple[tuple[str, str], ...] = ()
    body: bytes = b""
    body_id: str | None = None
    secret: str | None = None
    caller: str = ""
    port: int
    public_url: str | None = None
    answer_bytes: int = 0


class BodyPiece(_Message, frozen=True, kw_only=True, tag="body_piece"):
    """The next bytes of a body, sent once the piece before was answered. Answer: Accepted when somebody has
    taken them; Failure `not_found` when nobody reads that body (yet, or any more)."""

    body_id: str
    data: bytes
    last: bool = False


class SecretsRefused(_Message, frozen=True, kw_only=True, tag="secrets_refused"):
    """Somebody at `address` tries out secrets at another gateway. Answer: Accepted."""

    address: str
    count: int


class AskMain(_Message, frozen=True, kw_only=True, tag="ask_main"):
    """Who are you, and which workers do you hear? Answer: MainIs."""


# ---- server's answers ------------------------------------------------------------------------------


class SaidToRun(Struct, frozen=True, kw_only=True):
    """A person's message that the agent has not got yet."""

    message_id: MessageId
    text: str
    mode: Mode


class ReplyToRun(Struct, frozen=True, kw_only=True):
    """A person's answer that the agent has not got yet."""

    inquiry_id: InquiryId
    reply_token: str
    decision: Decision
    reason: str = ""


class Pending(Struct, frozen=True, kw_only=True):
    """What one run has not got yet. Repeated until the worker has reported it as delivered."""

    run_id: RunId
    said: tuple[SaidToRun, ...] = ()
    replies: tuple[ReplyToRun, ...] = ()


class RunOrder(_Message, frozen=True, kw_only=True, tag="run_order"):
    """Carry out this run. Also sent unasked (server → worker), then answered by Accepted."""

    run_id: RunId
    task_id: TaskId
    project_id: ProjectId | None = None
    fence: int
    agent: Agent
    prompt: str
    repository: str | None = None
    base: str | None = None
    snapshot: ArtifactId | None = None
    """The bundle whose commit is the base, to be fetched from the server."""
    branch: str
    checks: tuple[Check, ...] = ()
    workspace_of: RunId
    conversation_id: str | None = None
    again: bool = False
    """An earlier run of the task was lost."""
    login_of: RunId | None = None
    """The run whose conversation it goes on with: it keeps to that one's configuration directory."""
    follows: bool = False
    """The prompt goes on with a conversation that had ended."""
    fork: bool = False
    start: str | None = None
    """Commit that the workspace starts from, when it is not the base."""
    output_schema: dict[str, Any] | None = None
    trusted_files: dict[str, str] = {}
    attachments: tuple[Attachment, ...] = ()
    """To be fetched from the server and given to the agent as files."""
    pending: Pending | None = None
    attempt: int = 1


class Resume(Struct, frozen=True, kw_only=True):
    """Where the server stands with a run that the worker holds."""

    run_id: RunId
    fence: int
    offset: int
    state: bytes = b""
    phase: str
    """The run's state word."""
    cancelled: bool = False
    pending: Pending | None = None


class Welcome(_Message, frozen=True, kw_only=True, tag="welcome"):
    lease_ttl_s: float
    renew_every_s: float
    resume: tuple[Resume, ...] = ()
    drop: tuple[RunId, ...] = ()
    """Held by the worker, but not its to hold any more: stop the agent, save the work, forget it."""
    orders: tuple[RunOrder, ...] = ()
    """Leased to this worker and not among what it holds."""


class Renewed(_Message, frozen=True, kw_only=True, tag="renewed"):
    refused: tuple[RunId, ...] = ()
    """Held by the worker, but not its to hold any more."""
    cancelled: tuple[RunId, ...] = ()
    """To be stopped; repeated until they are over, so that a lost CancelRun does no harm."""
    pending: tuple[Pending, ...] = ()


class Receipt(Struct, frozen=True, kw_only=True):
    """`taken`: committed. `behind`: start again from `offset` with `state`. `refused`: the fence is stale."""

    run_id: RunId
    verdict: Literal["taken", "behind", "refused"]
    offset: int = 0
    state: bytes = b""


class Reported(_Message, frozen=True, kw_only=True, tag="reported"):
    receipts: tuple[Receipt, ...]


class Finished(_Message, frozen=True, kw_only=True, tag="finished"):
    """`taken`: recorded, forget the run. `need_full`: send a bundle without prerequisites.
    `refused`: the fence is stale."""

    verdict: Literal["taken", "need_full", "refused"]


class Failure(_Message, frozen=True, kw_only=True, tag="failure"):
    """The request could not be carried out; `retry` says whether the same may work later."""

    code: str
    message: str
    retry: bool = False


class CommandAnswer(_Message, frozen=True, kw_only=True, tag="command_answer"):
    """An HTTP answer. `more`: the body was cut where the command said."""

    status: int
    headers: tuple[tuple[str, str], ...] = ()
    body: bytes = b""
    more: bool = False


class HeardWorker(Struct, frozen=True, kw_only=True):
    """`silent_s`: since it was last heard."""

    worker_id: WorkerId
    capacity: int
    connected: bool
    silent_s: float


class MainIs(_Message, frozen=True, kw_only=True, tag="main_is"):
    """`epoch`: what the server marks its writes to a shared database with; None: its database is a file."""

    version: str
    epoch: str | None = None
    workers: tuple[HeardWorker, ...] = ()


# ---- server → worker, each answered ----------------------------------------------------------------


class CancelRun(_Message, frozen=True, kw_only=True, tag="cancel_run"):
    run_id: RunId
    fence: int
    reason: str = ""


class Deliver(_Message, frozen=True, kw_only=True, tag="deliver"):
    """Tell the agent. Answer: Accepted; that it was done is reported as events of the run."""

    fence: int
    pending: Pending


class AskDiff(_Message, frozen=True, kw_only=True, tag="ask_diff"):
    """The live diff of a run's workspace against its base. Answer: DiffIs."""

    run_id: RunId
    limit_bytes: int = 4 * 1024 * 1024


class AskProcess(_Message, frozen=True, kw_only=True, tag="ask_process"):
    """What the machine knows about a run's process. Answer: ProcessIs."""

    run_id: RunId


class AskOutput(_Message, frozen=True, kw_only=True, tag="ask_output"):
    """Raw bytes of `out` or `err`. Answer: OutputIs."""

    run_id: RunId
    stream: Literal["out", "err"] = "out"
    offset: int = 0
    limit_bytes: int = 256 * 1024


class Accepted(_Message, frozen=True, kw_only=True, tag="accepted"):
    pass


class DiffIs(_Message, frozen=True, kw_only=True, tag="diff_is"):
    patch: bytes
    truncated: bool = False


class ProcessIs(_Message, frozen=True, kw_only=True, tag="process_is"):
    """`word`: not_started, alive, holder_gone, exited, vanished. `argv` has its values masked."""

    word: str
    pid: int | None = None
    holder_pid: int | None = None
    argv: tuple[str, ...] = ()
    exit_code: int | None = None
    out_bytes: int = 0
    output_age_s: float | None = None
    phase: str = ""


class OutputIs(_Message, frozen=True, kw_only=True, tag="output_is"):
    data: bytes
    offset: int
    size: int


class StopAgents(_Message, frozen=True, kw_only=True, tag="stop_agents"):
    """Stop every agent; their runs are resumed at the next start. Accepted once none is left."""


OfGateway = Command | BodyPiece | SecretsRefused
ToServer = Hello | Renew | Reports | RunFinished | Partials | OfGateway | AskMain
ToWorker = RunOrder | CancelRun | Deliver | StopAgents | AskDiff | AskProcess | AskOutput
OfServer = Welcome | Renewed | Reported | Finished | CommandAnswer | MainIs
Answer = OfServer | Failure | Accepted | DiffIs | ProcessIs | OutputIs
Message = ToServer | ToWorker | Answer

_encoder = msgspec.json.Encoder()
_decoder: msgspec.json.Decoder[Message] = msgspec.json.Decoder(Message)
_answer_decoder: msgspec.json.Decoder[Answer] = msgspec.json.Decoder(Answer)


def encode(message: Message) -> bytes:
    return _encoder.encode(message)


def decode(raw: bytes) -> Message:
    """Raises msgspec.DecodeError / ValidationError on bytes that are no message of ours."""
    return _decoder.decode(raw)


def decode_answer(raw: bytes) -> Answer:
    return _answer_decoder.decode(raw)


def failure_of(error: PodiumError) -> Failure:
    """How an error travels. `retry`: it comes from the state of the machine, not from the request."""
    retry = error.http_status in {503, 504, 507, 408}
    return Failure(code=error.code, message=error.message, retry=retry)
