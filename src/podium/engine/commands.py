"""What people and programs may ask for. Each command is one transaction: facts checked, events recorded."""

from __future__ import annotations

import unicodedata
from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta, Struct
from sqlalchemy import select

from podium.engine.attachments import attachments_of, claim_attachments
from podium.engine.inbox import settle_inquiries
from podium.engine.repositories import canonical_repository, parse_base
from podium.engine.talk import continued_run, session_to_continue, settle_messages, tip_of
from podium.engine.tools import check_servers
from podium.git.names import parse_branch
from podium.harness.registry import harness_class
from podium.kernel import events as e
from podium.kernel.errors import Conflict, IllegalMove, InvalidRequest, NotFound
from podium.kernel.fold import Stamp, first_state
from podium.kernel.ids import ArtifactId, ChangeId, IdMaker, ProjectId, RunId, TaskId, parse_id
from podium.kernel.nouns import (
    MAX_ATTACHMENTS,
    MAX_CHECKS,
    MAX_PROMPT_BYTES,
    Agent,
    Attach,
    CancelIntent,
    Check,
    KeptOutput,
    Limits,
    Login,
    McpServer,
    Name,
    Permissions,
    Priority,
    Project,
    Run,
    Source,
    Task,
)
from podium.kernel.states import RUN_TERMINAL, TASK_TERMINAL, RunState, State, TaskState
from podium.kernel.status import QUEUED
from podium.store import schema
from podium.store.unit import Unit

Stream = Literal["out", "err"]
DEFAULT_AGENT = "claude"
MAX_TITLE = 200
MAX_SCHEMA_BYTES = 64 * 1024
MAX_REASON = 2_000
Reference = Annotated[str, Meta(min_length=1, max_length=1_000)]


class CheckBody(Check, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A Check as it is asked for, where an unknown member is a mistake; stored and sent it is passed over."""


class LimitsBody(Limits, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Limits as they are asked for."""


class McpServerBody(McpServer, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """An McpServer as it is asked for."""


class OpenTask(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Body of `POST /tasks`. `project` is an id or a name; its repository, target and checks are defaults."""

    prompt: Annotated[str, Meta(extra_json_schema={"minLength": 1, "pattern": r"\S"})]
    title: Annotated[str, Meta(max_length=MAX_TITLE)] = ""
    agent: Name | None = None
    """None: `claude`, or the agent of the session."""
    project: Annotated[str, Meta(max_length=100)] | None = None
    repository: Reference | None = None
    base: Reference | None = None
    snapshot: Annotated[str, Meta(max_length=100)] | None = None
    """Artifact: a git bundle with one commit, `refs/podium/snapshot`, that the run starts from."""
    target: Reference | None = None
    checks: Annotated[tuple[CheckBody, ...], Meta(max_length=MAX_CHECKS)] | None = None
    priority: Priority = 0
    source: Source = Source.API
    session: Annotated[str, Meta(max_length=100)] | None = None
    """Go on with this conversation (a session, or a task or run in it): the prompt is what is said next, and
    the work goes on from where its last run left it. Repository, target and checks are its last task's."""
    fork: bool = False
    """With a copy of the conversation, which itself stays as it is."""
    output_schema: dict[str, Any] | None = None
    """JSON schema of the answer that the agent has to give."""
    attachments: Annotated[tuple[Attach, ...], Meta(max_length=MAX_ATTACHMENTS)] = ()
    """Files of at most 20 MB each, for the agent to read. Store their bytes first: `PUT /artifacts/{id}`."""


class CancelTask(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    reason: Annotated[str, Meta(max_length=MAX_REASON)] = ""


class AddProject(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    name: Name
    repository: Reference | None = None
    target: Reference | None = None
    max_running: Annotated[int, Meta(ge=1, le=10_000)] | None = None
    checks: Annotated[tuple[CheckBody, ...], Meta(max_length=MAX_CHECKS)] = ()


class DefineAgent(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Body of `PUT /agents/{name}`."""

    harness: Name
    model: Annotated[str, Meta(max_length=200)] = ""
    instructions: Annotated[str, Meta(max_length=100_000)] = ""
    options: dict[str, str] = {}
    login: Login = "user"
    mcp_servers: tuple[McpServerBody, ...] = ()
    env: tuple[Annotated[str, Meta(pattern=r"^[A-Za-z_][A-Za-z0-9_]*$", max_length=100)], ...] = ()
    permissions: Permissions = Permissions.EDIT
    limits: LimitsBody = LimitsBody()


def open_task(
    unit: Unit,
    ask: OpenTask,
    *,
    by: str,
    ids: IdMaker,
    organisation: str | None = None,
    harnesses: Mapping[str, str] | None = None,
) -> Task:
    """Open a task and queue its first run. Raises InvalidRequest or NotFound, nothing half-created."""
    prompt = ask.prompt.strip()
    if not prompt:
        raise InvalidRequest("the prompt is empty", hint="say what the agent shall do")
    if len(ask.prompt.encode()) > MAX_PROMPT_BYTES:
        raise InvalidRequest(
            f"the prompt is larger than {MAX_PROMPT_BYTES // 1024} KiB",
            hint="put long material into the repository and refer to it",
        )
    if "\0" in prompt:
        raise InvalidRequest("the prompt holds a NUL character", hint="send text; give files by their paths")
    if ask.session is not None:
        return _open_next(unit, ask, prompt, by=by, ids=ids, harnesses=harnesses)
    if ask.fork:
        raise InvalidRequest("fork needs a session", hint="name the session, or a task in it")
    agent = _agent(unit, ask.agent or DEFAULT_AGENT)
    project = project_of(unit, ask.project) if ask.project is not None else None
    repository = ask.repository or (project.repository if project else None)
    if repository is None and (ask.base or ask.target or ask.snapshot):
        raise InvalidRequest(
            "a base, target or snapshot needs a repository",
            hint="name the repository too, or a project that has one",
        )
    task = Task(
        id=TaskId(ids.new("task")),
        project_id=project.id if project else None,
        title=_one_line(ask.title) or _title_from(prompt),
        source=ask.source,
        agent=agent.name,
        priority=ask.priority,
        repository=canonical_repository(repository, organisation=organisation) if repository else None,
        base=parse_base(ask.base) if ask.base else None,
        snapshot=ArtifactId(parse_id("artifact", ask.snapshot)) if ask.snapshot else None,
        target=parse_branch(ask.target) if ask.target else (project.target if project else None),
        checks=_checks(ask.checks if ask.checks is not None else (project.checks if project else ())),
        output_schema=_schema(ask.output_schema),
        attachments=attachments_of(unit, ask.attachments),
        created_at=unit.now,
        state=_first_state(unit, by),
        status=_first_status(unit, by),
    )
    return _record_opened(unit, task, ask.prompt, agent, by=by, ids=ids)


def _open_next(
    unit: Unit, ask: OpenTask, prompt: str, *, by: str, ids: IdMaker, harnesses: Mapping[str, str] | None
) -> Task:
    """A task that goes on with a session: where its last run left the work, on the node that keeps it."""
    if ask.repository or ask.project or ask.base or ask.snapshot:
        raise InvalidRequest(
            "a task that goes on with a session keeps its repository, project and base",
            hint="leave them out, or open a task without a session",
        )
    session, _, earlier = session_to_continue(unit, ask.session or "")
    task = Task(
        id=TaskId(ids.new("task")),
        project_id=earlier.project_id,
        title=_one_line(ask.title) or _title_from(prompt),
        source=Source.SESSION,
        agent=_agent(unit, ask.agent or session.agent).name,
        priority=ask.priority,
        repository=earlier.repository,
        base=earlier.base,
        target=parse_branch(ask.target) if ask.target else earlier.target,
        checks=_checks(ask.checks) if ask.checks is not None else earlier.checks,
        session_id=session.id,
        fork=ask.fork,
        output_schema=_schema(ask.output_schema),
        attachments=attachments_of(unit, ask.attachments),
        created_at=unit.now,
        state=_first_state(unit, by),
        status=_first_status(unit, by),
    )
    agent = _agent(unit, task.agent)
    return _record_opened(unit, task, ask.prompt, agent, by=by, ids=ids, harnesses=harnesses)


def retry_task(
    unit: Unit, task_id: str, *, by: str, ids: IdMaker, harnesses: Mapping[str, str] | None = None
) -> Task:
    """Open a new task that tries the same again; the old one stays. Raises Conflict while it runs."""
    old = unit.task(task_id)
    if old.state.word not in TASK_TERMINAL:
        raise Conflict(f"{task_id} is still {old.status.word}", hint="cancel it first, or wait for its end")
    agent = _agent(unit, old.agent)
    task = msgspec.structs.replace(
        old,
        id=TaskId(ids.new("task")),
        retry_of=old.id,
        reruns=0,
        run_id=None,
        change_id=None,
        cancel=None,
        created_at=unit.now,
        state=_first_state(unit, by),
        status=_first_status(unit, by),
    )
    return _record_opened(unit, task, unit.prompt(task_id), agent, by=by, ids=ids, harnesses=harnesses)


def cancel_task(
    unit: Unit, task_id: str, ask: CancelTask, *, by: str, ids: IdMaker
) -> tuple[Task, Run | None]:
    """Store the intent; a queued task ends at once. Returns the task and the run that a worker must stop.

    Again is no error: the first intent stands. Raises IllegalMove for a task that has ended otherwise.
    """
    task = unit.task(task_id)
    if task.state.word in TASK_TERMINAL:
        if task.state.word is TaskState.CANCELLED:
            return task, None
        raise IllegalMove(f"{task_id} has already ended: {task.state.word}")
    run = unit.run(task.run_id) if task.run_id else None
    if task.cancel is None:
        intent = CancelIntent(by=by, at=unit.now, reason=ask.reason)
        unit.record(e.TaskCancelRequested(task_id=task.id, intent=intent), by=by)
        if run is not None:
            unit.record(e.RunCancelRequested(task_id=task.id, run_id=run.id, intent=intent), by=by)
    if run is None or run.state.word is RunState.QUEUED:
        if run is not None:
            unit.record(e.RunCancelled(task_id=task.id, run_id=run.id), by=by)
        unit.record(e.TaskCancelled(task_id=task.id, reason=ask.reason), by=by)
        if run is not None:
            settle_inquiries(unit, run, ids)
            settle_messages(unit, run)
        run = None
    unit.flush()
    return unit.task(task_id), run


def add_project(
    unit: Unit, ask: AddProject, *, by: str, ids: IdMaker, organisation: str | None = None
) -> Project:
    """Raises Conflict when the name is taken."""
    if unit.project_named(ask.name) is not None:
        raise Conflict(f"there is already a project {ask.name!r}", hint="choose another name")
    repository = ask.repository and canonical_repository(ask.repository, organisation=organisation)
    project = Project(
        id=ProjectId(ids.new("project")),
        name=ask.name,
        repository=repository,
        target=parse_branch(ask.target) if ask.target else None,
        max_running=ask.max_running,
        checks=_checks(ask.checks),
        created_at=unit.now,
    )
    unit.record(e.ProjectAdded(project=project), by=by)
    return project


def remove_project(unit: Unit, reference: str, *, by: str) -> None:
    """Forget a project; its tasks stay. Raises Conflict while one of them is open."""
    project = project_of(unit, reference)
    tasks = schema.tasks
    still_open = select(tasks.c.id).where(
        tasks.c.project_id == project.id, tasks.c.state.not_in([str(state) for state in TASK_TERMINAL])
    )
    if unit.connection.execute(still_open.limit(1)).first() is not None:
        raise Conflict(f"{project.name} has open tasks", hint="cancel them or wait for their end")
    unit.record(e.ProjectRemoved(project_id=project.id), by=by)


def define_agent(
    unit: Unit, name: str, ask: DefineAgent, *, by: str, harnesses: Mapping[str, str] | None = None
) -> Agent:
    """Create or replace an agent. Runs already queued keep the configuration they were queued with.

    `harnesses`: those of the configuration. Raises InvalidRequest for an unknown one, naming the known.
    """
    implementation = harness_class(ask.harness, harnesses)
    check_servers(ask.mcp_servers)
    agent = msgspec.convert({"name": name, **msgspec.to_builtins(ask)}, Agent)
    implementation.validate(agent)
    unit.record(e.AgentDefined(agent=agent), by=by)
    return agent


def remove_agent(unit: Unit, name: str, *, by: str) -> None:
    if unit.agent(name) is None:
        raise NotFound(f"there is no agent {name!r}", hint="list them with: podium agents list")
    unit.record(e.AgentRemoved(name=name), by=by)


def note_applied(unit: Unit, change_id: str, where: str, *, by: str) -> None:
    """Somebody took the commits into their own checkout."""
    change = unit.change(change_id)
    unit.record(e.ChangeApplied(task_id=change.task_id, change_id=ChangeId(change.id), where=where), by=by)


def keep_output(unit: Unit, run_id: str, stream: Stream, output: KeptOutput, *, by: str) -> None:
    """A run's raw output is stored; again is no change. Raises NotFound, Conflict while the run is open."""
    run = unit.run(run_id)
    if run.state.word not in RUN_TERMINAL:
        raise Conflict(f"{run_id} has not ended", hint="its output is read from its worker until then")
    unit.claim_artifact(output.artifact, run.task_id)
    if (run.out if stream == "out" else run.err) != output:
        kept = e.RunOutputKept(task_id=run.task_id, run_id=run.id, stream=stream, output=output)
        unit.record(kept, by=by)


def _record_opened(
    unit: Unit,
    task: Task,
    prompt: str,
    agent: Agent,
    *,
    by: str,
    ids: IdMaker,
    harnesses: Mapping[str, str] | None = None,
) -> Task:
    stamp = Stamp(seq=0, at=unit.now, by=by)
    run_id = RunId(ids.new("run"))
    run = Run(
        id=run_id,
        task_id=task.id,
        project_id=task.project_id,
        agent=agent,
        priority=task.priority,
        workspace_of=run_id,
        created_at=unit.now,
        state=first_state(RunState.QUEUED, stamp),
    )
    if task.session_id is not None:
        session, last, _ = session_to_continue(unit, task.session_id)
        start = tip_of(unit, last)
        run = continued_run(run, session, last, start=start, fork=task.fork, harnesses=harnesses)
    if task.snapshot is not None:
        _claim(unit, task.snapshot, task.id)
    claim_attachments(unit, task.attachments, task.id)
    unit.set_prompt(task.id, prompt)
    unit.record(e.TaskOpened(task=task), by=by)
    unit.record(e.RunQueued(run=run), by=by)
    unit.flush()
    return unit.task(task.id)


def _agent(unit: Unit, name: str) -> Agent:
    agent = unit.agent(name)
    if agent is None:
        raise NotFound(f"there is no agent {name!r}", hint="list them with: podium agents list")
    return agent


def _schema(given: dict[str, Any] | None) -> dict[str, Any] | None:
    """A JSON schema small enough to travel with every order."""
    if given is not None and len(msgspec.json.encode(given)) > MAX_SCHEMA_BYTES:
        raise InvalidRequest(f"the output schema is larger than {MAX_SCHEMA_BYTES // 1024} KiB")
    return given


def _claim(unit: Unit, snapshot: ArtifactId, task_id: TaskId) -> None:
    """The task owns the snapshot from here on, so that retention leaves it. Raises NotFound."""
    if not unit.claim_artifact(snapshot, task_id):
        raise NotFound(
            f"the snapshot {snapshot} is not here (any more)",
            hint="send its bytes first, PUT /artifacts/ID; or open the task anew: podium run --include-dirty",
        )


def _first_state(unit: Unit, by: str) -> State[TaskState]:
    return first_state(TaskState.QUEUED, Stamp(seq=0, at=unit.now, by=by))


def _first_status(unit: Unit, by: str) -> State[str]:
    stamp = Stamp(seq=0, at=unit.now, by=by)
    return State(word=QUEUED, since=unit.now, evidence=stamp.evidence())


def project_of(unit: Unit, reference: str) -> Project:
    """By id or name. Raises NotFound."""
    if reference.startswith("project_"):
        return unit.project(reference)
    project = unit.project_named(reference)
    if project is None:
        raise NotFound(f"there is no project {reference!r}", hint="list them with: podium projects list")
    return project


def _checks(checks: Sequence[Check]) -> tuple[Check, ...]:
    names = [check.name for check in checks]
    if len(set(names)) != len(names):
        raise InvalidRequest("two checks have the same name", hint="give each a name of its own")
    for check in checks:
        if not check.argv[0] or any("\0" in word for word in check.argv):
            raise InvalidRequest(
                f"the check {check.name!r} names no program that could be started",
                hint='give its words without NUL, the program first, e.g. ["pytest", "-q"]',
            )
    return tuple(Check(**msgspec.structs.asdict(check)) for check in checks)


def _title_from(prompt: str) -> str:
    """Its first line that says something; of control characters alone comes no title."""
    line = next((line for line in map(_one_line, prompt.splitlines()) if line), "untitled")
    return line if len(line) <= 80 else line[:79] + "…"


def _one_line(text: str) -> str:
    """Titles are shown in terminals, branches and messages: no control character gets into one."""
    return " ".join("".join(" " if unicodedata.category(c) == "Cc" else c for c in text).split())
