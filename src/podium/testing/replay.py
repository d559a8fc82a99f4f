"""The log played again, without a database: what the rows must be, computed from the events alone.

`Replayed` knows nothing of the store; it applies the same folds of the kernel. Used by the tests that compare
the rows of a run with its log, and by those that hold every later version to logs recorded by this one.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any

import msgspec
from msgspec.structs import replace

from podium.kernel import events as e
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
from podium.kernel.nouns import Agent, Change, Project, Run, Task, Worker
from podium.kernel.session import Message, Session
from podium.kernel.status import status_of


class _Line(msgspec.Struct, frozen=True):
    seq: int
    at: str
    by: str
    v: int
    event: msgspec.Raw


_Head = msgspec.json.Decoder(_Line)


def decode(line: bytes) -> e.Recorded:
    """One line of a log as its API gives it, of any version; raises msgspec errors on rubbish."""
    head = _Head.decode(line)
    at = msgspec.convert(head.at, datetime)
    return e.Recorded(
        seq=head.seq, at=at, by=head.by, v=head.v, event=e.decode_event(bytes(head.event), head.v)
    )


class Replayed:
    """Every noun by its id (agents by name), as the events so far make it."""

    def __init__(self) -> None:
        self.tasks: dict[str, Task] = {}
        self.runs: dict[str, Run] = {}
        self.changes: dict[str, Change] = {}
        self.projects: dict[str, Project] = {}
        self.agents: dict[str, Agent] = {}
        self.workers: dict[str, Worker] = {}
        self.sessions: dict[str, Session] = {}
        self.messages: dict[str, Message] = {}
        self.inquiries: dict[str, Inquiry] = {}
        self.grants: dict[str, Grant] = {}
        self.last_seq = 0

    def apply(self, recorded: e.Recorded) -> None:
        """Raises IllegalMove for an event that cannot follow, KeyError for one about an unknown noun,
        ValueError for one out of order."""
        if recorded.seq <= self.last_seq:
            raise ValueError(f"event {recorded.seq} after {self.last_seq}")
        self.last_seq = recorded.seq
        stamp = Stamp(seq=recorded.seq, at=recorded.at, by=recorded.by)
        self._open(recorded.event, stamp)
        self._fold(recorded.event, stamp)

    def _open(self, event: e.Event, stamp: Stamp) -> None:  # noqa: C901 (one arm per opening event)
        match event:
            case e.TaskOpened(task=task):
                self.tasks[task.id] = opened(task, stamp)
            case e.RunQueued(run=run):
                self.runs[run.id] = opened(run, stamp)
            case e.ChangeDrafted(change=change):
                self.changes[change.id] = opened(change, stamp)
            case e.SessionOpened(session=session):
                self.sessions[session.id] = session
            case e.MessageSent(message=message):
                self.messages[message.id] = opened(message, stamp)
            case e.InquiryOpened(inquiry=inquiry):
                self.inquiries[inquiry.id] = opened(inquiry, stamp)
            case e.GrantCreated(grant=grant):
                self.grants[grant.id] = grant
            case e.ProjectAdded(project=project) | e.ProjectChanged(project=project):
                self.projects[project.id] = project
            case e.ProjectRemoved(project_id=project_id):
                del self.projects[project_id]
            case e.AgentDefined(agent=agent):
                self.agents[agent.name] = agent
            case e.AgentRemoved(name=name):
                del self.agents[name]
            case e.WorkerJoined(worker=worker):
                self.workers[worker.id] = worker
            case e.WorkerLeft(worker_id=worker_id):
                self.workers[worker_id] = replace(self.workers[worker_id], left_at=stamp.at)

    def _fold(self, event: e.Event, stamp: Stamp) -> None:
        subjects = dict(zip(("task_id", "run_id"), e.subject_of(event), strict=True))
        folds: tuple[tuple[str, dict[str, Any], Any], ...] = (
            ("run_id", self.runs, fold_run),
            ("change_id", self.changes, fold_change),
            ("task_id", self.tasks, fold_task),
            ("session_id", self.sessions, fold_session),
            ("message_id", self.messages, fold_message),
            ("inquiry_id", self.inquiries, fold_inquiry),
            ("grant_id", self.grants, fold_grant),
        )
        for field, nouns, fold in folds:
            noun_id = subjects[field] if field in subjects else getattr(event, field, None)
            if noun_id is not None:
                nouns[noun_id] = fold(nouns[noun_id], event, stamp)

    def docs(self) -> dict[str, Any]:
        """noun id → its JSON, as the rows and the API have it, the derived status included."""
        found: dict[str, Any] = {}
        for task in self.tasks.values():
            run = self.runs.get(task.run_id or "")
            change = self.changes.get(task.change_id or "")
            found[task.id] = replace(task, status=status_of(task, run, change))
        groups: tuple[Mapping[str, Any], ...] = (
            self.runs, self.changes, self.projects, self.agents, self.workers,
            self.sessions, self.messages, self.inquiries, self.grants,
        )  # fmt: skip
        for group in groups:
            found.update(group)
        return {name: msgspec.json.decode(msgspec.json.encode(noun)) for name, noun in found.items()}


def replay(lines: Iterable[bytes]) -> Replayed:
    """A whole log, from its first event."""
    replayed = Replayed()
    for line in lines:
        replayed.apply(decode(line))
    return replayed
