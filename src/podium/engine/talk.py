"""Conversations: messages to an agent that works, and tasks that go on with a session that has ended."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from msgspec import Struct
from msgspec.structs import replace
from sqlalchemy import select

from podium.harness.registry import harness_class
from podium.kernel import events as e
from podium.kernel.errors import Conflict, InvalidRequest, NotFound
from podium.kernel.fold import Stamp, first_state
from podium.kernel.ids import IdMaker, MessageId, RunId, SessionId
from podium.kernel.nouns import Run, Task
from podium.kernel.session import MAX_MESSAGE_BYTES, MAX_MODEL_CHARS, Message, Mode, Session
from podium.kernel.states import RUN_TERMINAL, TASK_TERMINAL, MessageState, RunState
from podium.store import schema
from podium.store.unit import Unit

MAX_MESSAGES = 500
"""Of people to one run."""
_messages = schema.messages


class SendMessage(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Body of `POST /tasks/{id}/messages`. `mode` None: the usual one of the agent's program."""

    text: str = ""
    mode: Mode | None = None


def send_message(
    unit: Unit,
    task_id: str,
    ask: SendMessage,
    *,
    by: str,
    ids: IdMaker,
    harnesses: Mapping[str, str] | None = None,
) -> Message:
    """`harnesses`: those of the configuration. Raises Conflict when nobody is there to hear it,
    InvalidRequest for what cannot be said."""
    task = unit.task(task_id)
    if task.state.word in TASK_TERMINAL or task.run_id is None:
        raise Conflict(
            f"{task_id} has ended: {task.state.word}",
            hint=f"go on with its conversation: podium run --session {task_id} TEXT",
        )
    run = unit.run(task.run_id)
    if run.state.word is RunState.FINISHING or task.cancel is not None:
        raise Conflict("the agent has just ended", hint="wait for its end, then: podium run --session …")
    mode = _mode_of(run, ask, harnesses)
    _check_text(ask.text, mode)
    if len(_of_run(unit, run.id)) >= MAX_MESSAGES:
        raise Conflict(f"a run takes {MAX_MESSAGES} messages", hint="go on in a new task of its session")
    message = Message(
        id=MessageId(ids.new("message")),
        task_id=task.id,
        run_id=run.id,
        text=ask.text,
        mode=mode,
        by=by,
        created_at=unit.now,
        state=first_state(MessageState.QUEUED, Stamp(seq=0, at=unit.now, by=by)),
    )
    unit.record(e.MessageSent(message=message), by=by)
    unit.flush()
    return unit.load(Message, message.id)


def take_message_fact(unit: Unit, event: e.RunFact, *, by: str) -> None:
    """What became of a message, from its worker or the agent's program. About unknown ones nothing is kept:
    an agent can name any id."""
    message_id = getattr(event, "message_id", "")
    unit.flush()
    row = unit.connection.execute(select(_messages.c.run_id).where(_messages.c.id == message_id)).first()
    if row is None or row[0] != event.run_id:
        return
    state = unit.load(Message, message_id).state.word
    if type(event) not in _AFTER[state]:
        return
    unit.record(event, by=by)
    message = unit.load(Message, message_id)
    if isinstance(event, e.MessageCompleted) and message.mode is Mode.MODEL:
        changed = e.RunModelChanged(task_id=event.task_id, run_id=event.run_id, model=message.text)
        unit.record(changed, by=by)


_AFTER: dict[MessageState, tuple[type, ...]] = {
    MessageState.QUEUED: (e.MessageDelivered, e.MessageUndelivered),
    MessageState.DELIVERED: (e.MessageStarted, e.MessageCompleted, e.MessageUndelivered),
    MessageState.STARTED: (e.MessageCompleted, e.MessageUndelivered),
    MessageState.COMPLETED: (),
    MessageState.UNDELIVERED: (),
}


def settle_messages(unit: Unit, run: Run) -> None:
    """After the end of a run: what it was not done with goes to the next run of its task, whose worker finds
    out whether the conversation holds it already. Without one, what it had not taken up was for nobody."""
    task = unit.task(run.task_id)
    following = None if task.state.word in TASK_TERMINAL else task.run_id
    for message in _of_run(unit, run.id):
        word = message.state.word
        about: dict[str, Any] = {"task_id": task.id, "message_id": message.id}
        if word in (MessageState.COMPLETED, MessageState.UNDELIVERED):
            continue
        if following is not None:
            unit.record(e.MessageRequeued(run_id=following, **about), by="engine")
        elif word is MessageState.STARTED:
            unit.record(e.MessageCompleted(run_id=run.id, **about), by="engine")
        else:
            why = "the agent ended before it took it up"
            unit.record(e.MessageUndelivered(run_id=run.id, why=why, **about), by="engine")


def session_to_continue(unit: Unit, reference: str) -> tuple[Session, Run, Task]:
    """By the id of a session, or of a task or run in it: the session, its last run, and that run's task.
    Raises NotFound."""
    session_id: str | None = reference
    if reference.startswith("task_"):
        run_id = unit.task(reference).run_id
        session_id = unit.run(run_id).session_id if run_id else None
    elif reference.startswith("run_"):
        session_id = unit.run(reference).session_id
    if session_id is None or not session_id.startswith("session_"):
        raise NotFound(
            f"{reference[:80]} has no conversation to go on with", hint="list them with: podium sessions list"
        )
    session = unit.load(Session, session_id)
    run = unit.run(session.run_id)
    return session, run, unit.task(run.task_id)


def continued_run(
    run: Run,
    session: Session,
    last: Run,
    *,
    start: str | None,
    fork: bool,
    harnesses: Mapping[str, str] | None = None,
) -> Run:
    """The first run of a task that goes on with `session`: on its node, in a workspace of its own that starts
    from the last run's work. Raises Conflict while the conversation is in use, InvalidRequest."""
    harness = harness_class(session.harness, harnesses)
    if not (harness.forks if fork else harness.resumes):
        word = "forked" if fork else "gone on with"
        raise InvalidRequest(f"conversations of {session.harness} cannot be {word}")
    if run.agent.harness != session.harness:
        raise InvalidRequest(
            f"the session is one of {session.harness}, the agent {run.agent.name!r} is not",
            hint="leave the agent out",
        )
    if last.state.word not in RUN_TERMINAL:
        hint = "say it to the agent: podium send; or wait for its end"
        raise Conflict(f"{session.id} is in use by {last.id}", hint=hint)
    return replace(
        run,
        # Its login and limits are those of now, its configuration directory that of the first run.
        continues=last.id,
        fork=fork,
        start=start,
        base_commit=last.base_commit,
        affinity=session.worker_id,
        session_id=session.id,
        conversation_id=session.conversation_id,
    )


def tip_of(unit: Unit, run: Run) -> str | None:
    """Where a run left its work: the tip of its Change, or where it had started itself."""
    changes = schema.changes
    row = unit.connection.execute(select(changes.c.id).where(changes.c.run_id == run.id)).first()
    return run.start if row is None else unit.change(row[0]).tip


def know_session(unit: Unit, run_id: RunId, *, by: str, ids: IdMaker) -> None:
    """The run's program has named its conversation: open the session, or note that the run joins it."""
    run = unit.run(run_id)
    if run.conversation_id is None or run.worker_id is None:
        return
    unit.flush()
    sessions = schema.sessions
    query = select(sessions.c.id).where(
        sessions.c.worker_id == run.worker_id, sessions.c.conversation_id == run.conversation_id
    )
    row = unit.connection.execute(query).first()
    if row is not None:
        if run.fork and run.session_id == row[0]:
            return  # its program names the copy once it has made it; the one it copies is not in use by it
        if unit.load(Session, row[0]).run_id != run.id:
            joined = e.SessionJoined(task_id=run.task_id, run_id=run.id, session_id=SessionId(row[0]))
            unit.record(joined, by=by)
        return
    session = Session(
        id=SessionId(ids.new("session")),
        task_id=run.task_id,
        run_id=run.id,
        project_id=run.project_id,
        agent=run.agent.name,
        harness=run.agent.harness,
        worker_id=run.worker_id,
        conversation_id=run.conversation_id,
        parent=run.session_id if run.fork else None,
        created_at=unit.now,
        last_at=unit.now,
    )
    unit.record(e.SessionOpened(task_id=run.task_id, run_id=run.id, session=session), by=by)


def _mode_of(run: Run, ask: SendMessage, harnesses: Mapping[str, str] | None) -> Mode:
    modes = harness_class(run.agent.harness, harnesses).modes
    if not modes:
        raise Conflict(
            f"{run.agent.name!r} takes no messages: it is a {run.agent.harness} agent",
            hint="cancel it and open a new task",
        )
    mode = ask.mode or (modes[0] if ask.text.strip() else Mode.INTERRUPT)
    if mode not in modes:
        known = ", ".join(modes)
        raise InvalidRequest(f"{run.agent.harness} agents cannot be told by {mode}", hint=f"by: {known}")
    return mode


def _check_text(text: str, mode: Mode) -> None:
    if not text.strip() and mode is not Mode.INTERRUPT:
        raise InvalidRequest("the message is empty", hint="say what the agent shall know")
    if mode is Mode.MODEL and (
        len(text) > MAX_MODEL_CHARS or len(text.split()) != 1 or not text.isprintable()
    ):
        raise InvalidRequest(
            "that is no name of a model", hint=f"one word of at most {MAX_MODEL_CHARS} characters"
        )
    if len(text.encode()) > MAX_MESSAGE_BYTES:
        raise InvalidRequest(f"a message may hold {MAX_MESSAGE_BYTES // 1024} KiB")
    if "\0" in text:
        raise InvalidRequest("the message holds a NUL character", hint="send text")


def _of_run(unit: Unit, run_id: RunId) -> list[Message]:
    unit.flush()
    query = select(_messages.c.id).where(
        _messages.c.run_id == run_id,
        _messages.c.state.in_([str(word) for word in MessageState]),
    )
    return [unit.load(Message, row[0]) for row in unit.connection.execute(query.order_by(_messages.c.id))]
