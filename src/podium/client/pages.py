"""What the client gives back beside the nouns themselves."""

from __future__ import annotations

from typing import Any, Generic, TypeVar

from msgspec import Struct

from podium.kernel.ids import RunId, TaskId
from podium.kernel.nouns import Task, Worker
from podium.kernel.session import Session

Item = TypeVar("Item")


class Page(Struct, Generic[Item], frozen=True, kw_only=True):
    """Part of a list; `next` is what to pass as `after` for the following part, None at the end."""

    items: tuple[Item, ...]
    next: str | None = None


class ShownTask(Task, frozen=True, kw_only=True):
    """A task with its prompt."""

    prompt: str = ""


class ShownWorker(Worker, frozen=True, kw_only=True):
    connected: bool = False
    silent_s: float | None = None


class ForkPoint(Struct, frozen=True, kw_only=True):
    """Where a copy of a conversation can begin."""

    at: str
    run_id: RunId


class ShownSession(Session, frozen=True, kw_only=True):
    fork_points: tuple[ForkPoint, ...] = ()


class Partial(Struct, frozen=True, kw_only=True):
    """The next characters of a text that is still being said: `item` names the text within its run."""

    run_id: RunId
    task_id: TaskId
    item: str
    text: str
    thought: bool = False


class Waited(Struct, frozen=True, kw_only=True):
    task: Task
    timed_out: bool


class EventPage(Struct, frozen=True, kw_only=True):
    """`events` as plain JSON objects, so that a type this client does not know still shows."""

    events: tuple[dict[str, Any], ...]
    cursor: str


class Followed(Struct, frozen=True, kw_only=True):
    """One event, and a place to go on from: nothing after this event is missed from there. None: the
    beginning of the log."""

    cursor: str | None
    event: dict[str, Any]
    """The envelope: seq, at, by, v, event."""


class Output(Struct, frozen=True, kw_only=True):
    """Raw bytes of a run's output. `next` is the offset after them, `size` what there was in all."""

    data: bytes
    offset: int
    next: int
    size: int


class Diff(Struct, frozen=True, kw_only=True):
    patch: bytes
    truncated: bool


class Follows(Struct, frozen=True, kw_only=True):
    """`main`: the socket of the main server; `answers`: whether that does now."""

    main: str
    answers: bool


class Status(Struct, frozen=True, kw_only=True):
    version: str
    runs: dict[str, int]
    workers_connected: int
    capacity: int
    followers: int
    cursor: str
    clean_start: bool
    follows: Follows | None = None
