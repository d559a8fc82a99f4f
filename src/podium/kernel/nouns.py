"""The nouns of Podium, as stored, sent and shown. One struct each; there is no second model of a noun."""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum
from typing import Annotated, Any

from msgspec import Meta, Struct

from podium.kernel.ids import ArtifactId, ChangeId, ProjectId, RunId, SessionId, TaskId, WorkerId
from podium.kernel.states import ChangeState, RunState, State, TaskState, Verdict

Priority = Annotated[int, Meta(ge=-10, le=10)]
Name = Annotated[str, Meta(min_length=1, max_length=100, pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$")]

Login = Annotated[str, Meta(pattern=r"^(user|isolated|key:[A-Za-z_][A-Za-z0-9_]{0,99})$")]

MAX_PROMPT_BYTES = 1024 * 1024
MAX_ATTACHMENTS = 20
MAX_ATTACHMENT_BYTES = 20 * 1024 * 1024
MAX_CHECKS = 32


class Source(StrEnum):
    """Where a Task came from."""

    API = "api"
    CLI = "cli"
    SESSION = "session"
    """It goes on with a conversation."""


class Permissions(StrEnum):
    """What an Agent may do without asking a person."""

    EDIT = "edit"
    """Change files in its workspace and run the task's checks; it asks for the rest."""
    ASK = "ask"
    """Look; it asks before it changes or runs anything."""
    FULL = "full"
    """Everything its user may do."""


class Reason(StrEnum):
    """Why a run ended as it did: the closed set that retries, reports and `diagnose` branch on."""

    COMPLETED = "completed"
    AGENT_FAILED = "agent_failed"
    REFUSED = "refused"
    AUTH_REQUIRED = "auth_required"
    RATE_LIMITED = "rate_limited"
    OVERLOADED = "overloaded"
    SERVER_ERROR = "server_error"
    BILLING = "billing"
    MODEL_UNAVAILABLE = "model_unavailable"
    CONTEXT_OVERFLOW = "context_overflow"
    NETWORK = "network"
    INTERRUPTED = "interrupted"
    MAX_TURNS = "max_turns"
    BUDGET = "budget"
    NO_RESULT = "no_result"
    KILLED = "killed"
    CANCELLED = "cancelled"
    PROGRAM_MISSING = "program_missing"
    LAUNCH_FAILED = "launch_failed"
    REPOSITORY = "repository"
    WORKSPACE = "workspace"
    CHECKS_FAILED = "checks_failed"
    CHECKS_CANNOT_TELL = "checks_cannot_tell"
    LIMIT_OUTPUT = "limit_output"
    LIMIT_IDLE = "limit_idle"
    LIMIT_TIME = "limit_time"
    WORKER_LOST = "worker_lost"
    RERUNS_EXHAUSTED = "reruns_exhausted"


class Check(Struct, frozen=True, kw_only=True):
    """A completion test: argv run in the workspace with the agent's environment; exit 0 passes."""

    name: Name
    argv: Annotated[tuple[str, ...], Meta(min_length=1, max_length=256)]
    timeout_s: Annotated[float, Meta(gt=0, le=86_400)] = 600.0


class CheckResult(Struct, frozen=True, kw_only=True):
    name: str
    verdict: Verdict
    exit_code: int | None = None
    """None when the program never ran or was killed at its deadline."""
    duration_s: float = 0.0
    detail: str = ""
    output: ArtifactId | None = None


class Limits(Struct, frozen=True, kw_only=True):
    """Every run ends at these; reaching one is a typed reason."""

    run_s: Annotated[float, Meta(gt=0)] = 4 * 3600.0
    idle_s: Annotated[float, Meta(gt=0)] = 1800.0
    """Seconds without a line of output."""
    output_bytes: Annotated[int, Meta(gt=0)] = 2 * 1024**3
    ask_s: Annotated[float, Meta(gt=0)] = 24 * 3600.0
    """How long an Inquiry waits for a person; then it counts as denied. The other limits stand still."""
    grace_s: Annotated[float, Meta(ge=0, le=600)] = 5.0
    """Seconds given to each step of interrupt, TERM, KILL."""


class McpServer(Struct, frozen=True, kw_only=True):
    """A server of tools: `url` (streamable HTTP) or `argv` (stdio), one of the two."""

    name: Name
    url: str = ""
    argv: tuple[str, ...] = ()
    secrets: dict[str, str] = {}
    """HTTP header, or variable of the program → `key:NAME`. Only the reference is stored."""


class Agent(Struct, frozen=True, kw_only=True):
    """A named configuration, never a process."""

    name: Name
    harness: Name
    model: str = ""
    instructions: str = ""
    options: dict[str, str] = {}
    """What the harness understands, e.g. `argv` of the command harness (JSON list) or `program`."""
    login: Login = "user"
    """`user`: the program's own login of the user that runs the worker. `isolated`: one of Podium's
    own, apart from it. `key:NAME`: the key NAME, from the worker's environment or its file of that name."""
    mcp_servers: tuple[McpServer, ...] = ()
    """Tools that the agent gets. Others, of the user or the repository, it does not see."""
    env: tuple[str, ...] = ()
    """Variables of the worker's own environment that the agent may see, beside the fixed allow-list."""
    permissions: Permissions = Permissions.EDIT
    limits: Limits = Limits()


class Project(Struct, frozen=True, kw_only=True):
    """Owns a repository and its policies."""

    id: ProjectId
    name: Name
    repository: str | None = None
    """Canonical URL or absolute path; None: its tasks start in an empty directory."""
    target: str | None = None
    """Branch that Changes are meant for; None: the repository's default branch."""
    max_running: int | None = None
    checks: tuple[Check, ...] = ()
    trusted_files: dict[str, str] = {}
    """File of the repository that configures an agent's program (hooks, settings, MCP servers) → SHA-256 of
    the content that is honoured. Everything else of that kind is not."""
    created_at: datetime


class Usage(Struct, frozen=True, kw_only=True):
    """Tokens and money. Unknown cost is None, never 0."""

    input_tokens: int = 0
    output_tokens: int = 0
    cached_tokens: int = 0
    cost_usd: float | None = None

    def plus(self, more: Usage) -> Usage:
        cost = more.cost_usd if self.cost_usd is None else self.cost_usd + (more.cost_usd or 0.0)
        return Usage(
            input_tokens=self.input_tokens + more.input_tokens,
            output_tokens=self.output_tokens + more.output_tokens,
            cached_tokens=self.cached_tokens + more.cached_tokens,
            cost_usd=cost,
        )


class CancelIntent(Struct, frozen=True, kw_only=True):
    """Stored before any signal is sent; from then on the run can only end cancelled or lost."""

    by: str
    at: datetime
    reason: str = ""


class Outcome(Struct, frozen=True, kw_only=True):
    """How an agent's program ended, judged by its harness from structured facts."""

    succeeded: bool
    reason: Reason
    detail: str = ""
    exit_code: int | None = None
    lost: bool = False
    """Ended without its own say (killed from outside): the Task may be re-run."""
    resets_at: datetime | None = None
    """When the provider's limit ends, where it says so."""
    structured: Any = None
    """The answer in the shape of the task's `output_schema`."""


class Attach(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A file for an agent: bytes that were stored before, and the name under which it finds them."""

    name: Annotated[str, Meta(min_length=1, max_length=200)]
    artifact: Annotated[str, Meta(max_length=100)]


class Attachment(Struct, frozen=True, kw_only=True):
    """A file that a Task was given."""

    name: str
    artifact: ArtifactId
    size: int
    media_type: str


class Task(Struct, frozen=True, kw_only=True):
    """Something somebody wants done; outlives attempts. The prompt is stored beside it, never in lists."""

    id: TaskId
    project_id: ProjectId | None = None
    title: str
    source: Source
    agent: str
    priority: int = 0
    repository: str | None = None
    base: str | None = None
    """What the run starts from: a branch, tag or commit; None: the repository's HEAD."""
    snapshot: ArtifactId | None = None
    """A git bundle with somebody's uncommitted work as one commit on `base`: the run starts from that."""
    target: str | None = None
    checks: tuple[Check, ...] = ()
    retry_of: TaskId | None = None
    session_id: SessionId | None = None
    """The conversation that it goes on with."""
    fork: bool = False
    """It goes on with a copy of that conversation."""
    output_schema: dict[str, Any] | None = None
    """JSON schema of the answer that the agent has to give."""
    attachments: tuple[Attachment, ...] = ()
    reruns: int = 0
    run_id: RunId | None = None
    change_id: ChangeId | None = None
    cancel: CancelIntent | None = None
    created_at: datetime
    state: State[TaskState]
    status: State[str]
    """Derived from the facts by `status.status_of`, kept here so that lists need no second look."""


class KeptOutput(Struct, frozen=True, kw_only=True):
    """Raw output of a run that has ended: a gzip file, and its bytes when unpacked."""

    artifact: ArtifactId
    size: int


class Run(Struct, frozen=True, kw_only=True):
    """One attempt at a Task by one Agent in one Workspace, under a lease with a fence."""

    id: RunId
    task_id: TaskId
    project_id: ProjectId | None = None
    agent: Agent
    """The configuration as it stood when the run was queued."""
    attempt: int = 1
    priority: int = 0
    resume_of: RunId | None = None
    workspace_of: RunId
    """The run that made the workspace this run works in (itself, unless it resumes)."""
    continues: RunId | None = None
    """The earlier run whose conversation and work it goes on with, in a workspace of its own."""
    fork: bool = False
    """It shall go on with a copy of that conversation, which does not exist yet."""
    start: str | None = None
    """Commit that its workspace starts from; None: its base."""
    affinity: WorkerId | None = None
    worker_id: WorkerId | None = None
    fence: int = 0
    session_id: SessionId | None = None
    conversation_id: str | None = None
    """The agent program's own id of the session."""
    isolation: str | None = None
    pid: int | None = None
    workspace: str = ""
    """Its directory on its node."""
    branch: str | None = None
    base_commit: str | None = None
    outcome: Outcome | None = None
    usage: Usage = Usage()
    cancel: CancelIntent | None = None
    checks: tuple[CheckResult, ...] = ()
    out: KeptOutput | None = None
    """What it wrote, once it has ended and its worker has sent that. None: ask the worker."""
    err: KeptOutput | None = None
    """Likewise; None beside an `out` that is there: it wrote nothing."""
    created_at: datetime
    started_at: datetime | None = None
    ended_at: datetime | None = None
    state: State[RunState]


class Change(Struct, frozen=True, kw_only=True):
    """What a Run produced: reviewed, applied and landed as one."""

    id: ChangeId
    task_id: TaskId
    run_id: RunId
    project_id: ProjectId | None = None
    title: str
    repository: str
    branch: str
    base: str
    tip: str
    target: str | None = None
    commits: int
    files: int
    additions: int
    deletions: int
    leftover: bool = False
    """Part of the work was not committed by the agent; Podium committed it."""
    drift: tuple[str, ...] = ()
    """What the agent did to its branch that was not expected, in typed words."""
    bundle: ArtifactId
    snapshot: ArtifactId | None = None
    """The bundle that has `base`, when that is a snapshot of uncommitted work."""
    checks: tuple[CheckResult, ...] = ()
    applied_at: datetime | None = None
    created_at: datetime
    state: State[ChangeState]


class Worker(Struct, frozen=True, kw_only=True):
    """The process on a machine that executes Runs."""

    id: WorkerId
    node: str
    capacity: int
    version: str
    isolation: str = "bare"
    joined_at: datetime
    left_at: datetime | None = None


class Artifact(Struct, frozen=True, kw_only=True):
    """Content-addressed output; the id is the SHA-256 of the bytes."""

    id: ArtifactId
    size: int
    media_type: str
    name: str
    created_at: datetime
