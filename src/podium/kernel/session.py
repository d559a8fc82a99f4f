"""Conversations with agent programs: Session, and the Messages that people send into one."""

from __future__ import annotations

import uuid
from datetime import datetime
from enum import StrEnum

from msgspec import Struct

from podium.kernel.ids import (
    MessageId,
    ProjectId,
    RunId,
    SessionId,
    TaskId,
    WorkerId,
    id_number,
    make_from_number,
)
from podium.kernel.states import MessageState, State

MAX_MESSAGE_BYTES = 256 * 1024
MAX_MODEL_CHARS = 200


class Mode(StrEnum):
    """How a message reaches an agent that is busy."""

    STEER = "steer"
    """Into the turn that runs, as soon as the program takes it."""
    QUEUE = "queue"
    """After the turn that runs, as one of its own."""
    INTERRUPT = "interrupt"
    """The turn that runs is stopped first. Without text the agent then waits for the next message."""
    MODEL = "model"
    """No words for the agent: the text names the model that it goes on with."""


class Session(Struct, frozen=True, kw_only=True):
    """A resumable conversation. It lives in one program's records on one node, so later runs go there."""

    id: SessionId
    task_id: TaskId
    """The task that began it."""
    run_id: RunId
    """The latest run in it."""
    project_id: ProjectId | None = None
    agent: str
    harness: str
    worker_id: WorkerId
    conversation_id: str
    """The program's own id."""
    parent: SessionId | None = None
    """The session that this one was forked from."""
    runs: int = 1
    created_at: datetime
    last_at: datetime


class Message(Struct, frozen=True, kw_only=True):
    """What a person says to an agent that works. Delivered exactly once: its id travels with it."""

    id: MessageId
    task_id: TaskId
    run_id: RunId
    """The run it was last given to; a re-run takes over what its predecessor had not begun."""
    text: str
    mode: Mode
    by: str
    created_at: datetime
    state: State[MessageState]


def uuid_of(message_id: str) -> str:
    """A message's id as the UUID that programs want: the same 128 bits in other clothes."""
    return str(uuid.UUID(int=id_number(message_id)))


def message_of(given: object) -> MessageId | None:
    """The message id that `uuid_of` made this UUID of; None for what is no UUID. Any UUID names some id:
    whether such a message exists only the store knows."""
    try:
        number = uuid.UUID(given).int if isinstance(given, str) else None
    except ValueError:
        return None
    return None if number is None else MessageId(make_from_number("message", number))
