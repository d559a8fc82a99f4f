"""One command's view of the Writer's transaction: read nouns, record events. The only code that moves a row.

`record` numbers the event, folds it into the nouns it is about and remembers both; `flush` writes them with
compare-and-set. Either all of it is committed or none.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any, TypeVar, cast

import msgspec
from msgspec.structs import replace
from sqlalchemy import Connection, Table, bindparam, delete, select, update

from podium.kernel import events as e
from podium.kernel.errors import Conflict, NotFound
from podium.kernel.fold import (
    Stamp,
    fold_change,
    fold_grant,
    fold_inquiry,
    fold_message,
    fold_run,
    fold_session,
    fold_task,
    opened,
)
from podium.kernel.inquiry import Grant, Inquiry
from podium.kernel.nouns import Agent, Artifact, Change, Project, Run, Task, Worker
from podium.kernel.session import Message, Session
from podium.kernel.status import status_of
from podium.store import schema
from podium.store.ring import Entry
from podium.store.rows import DOCS, INSERTS, TABLES, UPDATES, Moving, guard_of, row_of
from podium.store.rows import encode as _encode
from podium.store.schema import short, timestamp

Noun = TypeVar("Noun", Task, Run, Change, Session, Message, Inquiry, Grant)
_AGENT = select(schema.agents.c.doc).where(schema.agents.c.name == bindparam("b_name"))
_PLAIN = (
    e.RunSaid, e.RunThought, e.RunToolCalled, e.RunToolReturned, e.RunAsked, e.RunAskWithdrawn, e.RunNoticed
)  # fmt: skip
"""Events that change no noun: they need no row to be read."""
_FOLDS: tuple[tuple[str, Any, Any], ...] = (
    ("run_id", Run, fold_run),
    ("task_id", Task, fold_task),
    ("change_id", Change, fold_change),
    ("session_id", Session, fold_session),
    ("message_id", Message, fold_message),
    ("inquiry_id", Inquiry, fold_inquiry),
    ("grant_id", Grant, fold_grant),
)
"""Field of an event → the noun it is about and what the event makes of it."""


def wire_of(seq: int, at: str, by: str, v: int, body: bytes) -> bytes:
    """The JSON of `events.Recorded` put together from its stored parts."""
    head = b'{"seq":%d,"at":"%s","by":%s,"v":%d,"event":' % (seq, at.encode(), _encode(by), v)
    return head + body + b"}"


class Batch:
    """What one transaction of the Writer has gathered so far."""

    def __init__(self, connection: Connection, now: datetime, next_seq: int) -> None:
        self.connection = connection
        self.now = now
        self.at = timestamp(now)
        self.next_seq = next_seq
        self.rows: list[tuple[int, str, str, int, str, str | None, str | None, bytes]] = []

    def write_events(self) -> None:
        """All events in one statement, as the last thing of the transaction."""
        if self.rows:
            sql = "INSERT INTO events (seq, at, by, v, type, task_id, run_id, body) VALUES (?,?,?,?,?,?,?,?)"
            self.execute_many(sql, self.rows)

    def execute_many(self, sql: str, rows: Sequence[tuple[Any, ...]]) -> None:
        """One plain statement for many rows, past what SQLAlchemy does for each of them. Marks are `?`."""
        if self.connection.dialect.paramstyle != "qmark":
            sql = sql.replace("?", "%s")
        self.connection.exec_driver_sql(sql, rows)

    def entries(self) -> list[Entry]:
        return [
            Entry(seq, task_id, run_id, kind, wire_of(seq, at, by, v, body))
            for seq, at, by, v, kind, task_id, run_id, body in self.rows
        ]


class Unit:
    """Handed to a command by the Writer. `by` names who acts."""

    def __init__(self, batch: Batch) -> None:
        self._batch = batch
        self._loaded: dict[str, Any] = {}
        self._original: dict[str, Any] = {}
        self.wrote = False

    @property
    def connection(self) -> Connection:
        return self._batch.connection

    @property
    def now(self) -> datetime:
        return self._batch.now

    @property
    def at(self) -> str:
        """`now` as it is stored."""
        return self._batch.at

    # ---- reading -----------------------------------------------------------------------------------

    def task(self, task_id: str) -> Task:
        return self.load(Task, task_id)

    def run(self, run_id: str) -> Run:
        return self.load(Run, run_id)

    def change(self, change_id: str) -> Change:
        return self.load(Change, change_id)

    def load(self, kind: type[Noun], noun_id: str) -> Noun:
        """A noun as this command left it so far. Raises NotFound."""
        noun = self._loaded.get(noun_id)
        if noun is None:
            row = self.connection.execute(DOCS[TABLES[kind]], {"b_id": noun_id}).first()
            if row is None:
                raise NotFound(f"there is no {kind.__name__.lower()} {noun_id[:80]}")
            noun = msgspec.json.decode(row[0], type=kind)
            self._loaded[noun_id] = self._original[noun_id] = noun
        return cast(Noun, noun)

    def prompt(self, task_id: str) -> str:
        row = self._first(select(schema.tasks.c.prompt).where(schema.tasks.c.id == task_id))
        return str(row[0])

    def project(self, project_id: str) -> Project:
        row = self._first(select(schema.projects.c.doc).where(schema.projects.c.id == project_id))
        return msgspec.json.decode(row[0], type=Project)

    def project_named(self, name: str) -> Project | None:
        row = self.connection.execute(
            select(schema.projects.c.doc).where(schema.projects.c.name == name)
        ).first()
        return msgspec.json.decode(row[0], type=Project) if row else None

    def agent(self, name: str) -> Agent | None:
        row = self.connection.execute(_AGENT, {"b_name": name}).first()
        return msgspec.json.decode(row[0], type=Agent) if row else None

    # ---- writing -----------------------------------------------------------------------------------

    def record(self, event: e.Event, *, by: str) -> int:  # noqa: C901 (one arm per opening event)
        """Append the event and fold it into the nouns it is about. Returns its sequence number.

        Raises IllegalMove when a noun cannot follow; then nothing of this command is kept.
        """
        seq = self.append(event, by=by)
        if isinstance(event, _PLAIN):
            return seq
        stamp = Stamp(seq=seq, at=self.now, by=by)
        match event:
            case e.TaskOpened():
                self._loaded[event.task.id] = opened(event.task, stamp)
            case e.RunQueued():
                self._loaded[event.run.id] = opened(event.run, stamp)
            case e.ChangeDrafted():
                self._loaded[event.change.id] = opened(event.change, stamp)
            case e.MessageSent():
                self._loaded[event.message.id] = opened(event.message, stamp)
            case e.InquiryOpened():
                self._loaded[event.inquiry.id] = opened(event.inquiry, stamp)
            case e.SessionOpened():
                self._loaded[event.session.id] = event.session
            case e.GrantCreated():
                self._loaded[event.grant.id] = event.grant
            case e.ProjectAdded():
                doc = _encode(event.project)
                self._put(schema.projects, id=event.project.id, name=event.project.name, doc=doc)
            case e.ProjectChanged():
                self.execute(delete(schema.projects).where(schema.projects.c.id == event.project.id))
                self._put(
                    schema.projects, id=event.project.id, name=event.project.name, doc=_encode(event.project)
                )
            case e.ProjectRemoved():
                self.execute(delete(schema.projects).where(schema.projects.c.id == event.project_id))
            case e.AgentDefined():
                self.execute(delete(schema.agents).where(schema.agents.c.name == event.agent.name))
                self._put(schema.agents, name=event.agent.name, doc=_encode(event.agent))
            case e.AgentRemoved():
                self.execute(delete(schema.agents).where(schema.agents.c.name == event.name))
            case e.WorkerJoined():
                self.execute(delete(schema.workers).where(schema.workers.c.id == event.worker.id))
                self._put(schema.workers, id=event.worker.id, doc=_encode(event.worker))
            case e.WorkerLeft():
                self._worker_left(event)
        self._fold(event, stamp)
        return seq

    def append(self, event: e.Event, *, by: str) -> int:
        """Only the log: for events known to change no noun."""
        batch = self._batch
        seq = batch.next_seq
        batch.next_seq += 1
        task_id, run_id = (key and short(key) for key in e.subject_of(event))
        by = short(by)
        row = (seq, batch.at, by, e.Recorded.VERSION, e.type_of(event), task_id, run_id, _encode(event))
        batch.rows.append(row)
        self.wrote = True
        return seq

    def set_prompt(self, task_id: str, prompt: str) -> None:
        """Beside `task.opened`: the prompt is stored with its task but never travels in lists or events."""
        self._loaded["prompt:" + task_id] = prompt

    def artifact(self, artifact: Artifact, task_id: str | None) -> None:
        """Note an artifact whose bytes are already safe; again is no change."""
        known = select(schema.artifacts.c.id).where(schema.artifacts.c.id == artifact.id)
        if self.connection.execute(known).first() is None:
            self._put(
                schema.artifacts,
                id=artifact.id,
                size=artifact.size,
                task_id=task_id,
                created_at=timestamp(artifact.created_at),
                doc=_encode(artifact),
            )

    def claim_artifact(self, artifact_id: str, task_id: str) -> bool:
        """Give an artifact that is here to a task, so that it is kept as long as that needs it, and as if it
        had come now."""
        table = schema.artifacts
        claimed = {"task_id": task_id, "created_at": timestamp(self.now)}
        return self.execute(update(table).where(table.c.id == artifact_id).values(claimed)) == 1

    def execute(self, statement: Any, values: Sequence[dict[str, Any]] | None = None) -> int:
        """A write that no noun's fold covers (offsets, keys, tokens). Returns the rows touched."""
        self.wrote = True
        done = self.connection.execute(statement, values) if values else self.connection.execute(statement)
        return int(done.rowcount)

    def execute_many(self, sql: str, rows: Sequence[tuple[Any, ...]]) -> None:
        """As `execute`, for what happens at every line of every agent: plain SQL, `?` for each value."""
        self.wrote = True
        self._batch.execute_many(sql, rows)

    def flush(self) -> None:
        """Write every noun that changed, each guarded by the state it was read in."""
        for key in list(self._loaded):
            noun = self._loaded[key]
            if isinstance(noun, Task) and self._has_news(noun):
                change = self.change(noun.change_id) if noun.change_id else None
                run = self.run(noun.run_id) if noun.run_id else None
                self._loaded[key] = replace(noun, status=status_of(noun, run, change))
        for key, noun in self._loaded.items():
            original = self._original.get(key)
            if noun is original or key.startswith("prompt:"):
                continue
            self._write(noun, original)
            self._original[key] = noun

    # ---- inside ------------------------------------------------------------------------------------

    def _fold(self, event: e.Event, stamp: Stamp) -> None:
        subjects = dict(zip(("task_id", "run_id"), e.subject_of(event), strict=True))
        for field, kind, fold in _FOLDS:
            noun_id = subjects[field] if field in subjects else getattr(event, field, None)
            if noun_id is not None:
                self._loaded[noun_id] = fold(self.load(kind, noun_id), event, stamp)

    def _has_news(self, task: Task) -> bool:
        mine = (task.id, task.run_id, task.change_id)
        return any(key and self._loaded.get(key) is not self._original.get(key) for key in mine)

    def _worker_left(self, event: e.WorkerLeft) -> None:
        row = self._first(select(schema.workers.c.doc).where(schema.workers.c.id == event.worker_id))
        worker = replace(msgspec.json.decode(row[0], type=Worker), left_at=self.now)
        statement = update(schema.workers).where(schema.workers.c.id == worker.id)
        self.execute(statement.values(doc=_encode(worker)))

    def _write(self, noun: Moving, original: Moving | None) -> None:
        table, values = row_of(noun)
        if original is None:
            if isinstance(noun, Task):
                values["prompt"] = self._loaded.get("prompt:" + noun.id, "")
            self._put(table, id=noun.id, **values)
            return
        self.wrote = True
        if self.connection.execute(UPDATES[table], values | guard_of(original)).rowcount != 1:
            raise Conflict(f"{noun.id} changed under a command; this is a bug of ours")

    def _put(self, table: Table, **values: Any) -> None:
        self.wrote = True
        self.connection.execute(INSERTS[table], values)

    def _first(self, statement: Any) -> Any:
        row = self.connection.execute(statement).first()
        if row is None:
            raise NotFound()
        return row
