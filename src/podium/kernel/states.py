"""The closed sets of state words and one table of legal moves each. `docs/lifecycle.md` draws them."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from enum import StrEnum
from typing import Final, Generic, TypeVar

from msgspec import Struct

from podium.kernel.errors import IllegalMove


class TaskState(StrEnum):
    BLOCKED = "blocked"
    QUEUED = "queued"
    ACTIVE = "active"
    WAITING = "waiting"
    DONE = "done"
    FAILED = "failed"
    CANCELLED = "cancelled"


class RunState(StrEnum):
    QUEUED = "queued"
    LEASED = "leased"
    STARTING = "starting"
    RUNNING = "running"
    WAITING = "waiting"
    FINISHING = "finishing"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELLED = "cancelled"
    LOST = "lost"


class ChangeState(StrEnum):
    DRAFT = "draft"
    PROPOSED = "proposed"
    QUEUED = "queued"
    LANDING = "landing"
    CONFLICTED = "conflicted"
    LANDED = "landed"
    REJECTED = "rejected"
    ARCHIVED = "archived"


class InquiryState(StrEnum):
    OPEN = "open"
    ANSWERED = "answered"
    EXPIRED = "expired"
    WITHDRAWN = "withdrawn"


class MessageState(StrEnum):
    QUEUED = "queued"
    DELIVERED = "delivered"
    STARTED = "started"
    COMPLETED = "completed"
    UNDELIVERED = "undelivered"


class Verdict(StrEnum):
    PASS = "pass"  # noqa: S105 (a verdict, not a password)
    FAIL = "fail"
    CANNOT_TELL = "cannot_tell"


T, R, C, Q, M = TaskState, RunState, ChangeState, InquiryState, MessageState

TASK_MOVES: Final[Mapping[TaskState, frozenset[TaskState]]] = {
    T.BLOCKED: frozenset({T.QUEUED, T.FAILED, T.CANCELLED}),
    T.QUEUED: frozenset({T.ACTIVE, T.FAILED, T.CANCELLED}),
    T.ACTIVE: frozenset({T.WAITING, T.QUEUED, T.DONE, T.FAILED, T.CANCELLED}),
    T.WAITING: frozenset({T.ACTIVE, T.QUEUED, T.DONE, T.FAILED, T.CANCELLED}),
    T.DONE: frozenset(),
    T.FAILED: frozenset(),
    T.CANCELLED: frozenset(),
}

_HELD = frozenset({R.FINISHING, R.FAILED, R.CANCELLED, R.LOST})
"""Where every run that a worker holds may go."""

RUN_MOVES: Final[Mapping[RunState, frozenset[RunState]]] = {
    R.QUEUED: frozenset({R.LEASED, R.CANCELLED, R.FAILED}),
    R.LEASED: frozenset({R.STARTING}) | _HELD,
    R.STARTING: frozenset({R.RUNNING}) | _HELD,
    R.RUNNING: frozenset({R.WAITING}) | _HELD,
    R.WAITING: frozenset({R.RUNNING, R.QUEUED}) | _HELD,
    R.FINISHING: frozenset({R.SUCCEEDED, R.FAILED, R.CANCELLED, R.LOST}),
    R.SUCCEEDED: frozenset(),
    R.FAILED: frozenset(),
    R.CANCELLED: frozenset(),
    R.LOST: frozenset(),
}

CHANGE_MOVES: Final[Mapping[ChangeState, frozenset[ChangeState]]] = {
    C.DRAFT: frozenset({C.PROPOSED, C.ARCHIVED}),
    C.PROPOSED: frozenset({C.QUEUED, C.REJECTED, C.ARCHIVED}),
    C.QUEUED: frozenset({C.LANDING, C.PROPOSED, C.REJECTED, C.ARCHIVED}),
    C.LANDING: frozenset({C.CONFLICTED, C.LANDED, C.PROPOSED, C.REJECTED, C.ARCHIVED}),
    C.CONFLICTED: frozenset({C.LANDING, C.REJECTED, C.ARCHIVED}),
    C.LANDED: frozenset({C.ARCHIVED}),
    C.REJECTED: frozenset({C.ARCHIVED}),
    C.ARCHIVED: frozenset(),
}

INQUIRY_MOVES: Final[Mapping[InquiryState, frozenset[InquiryState]]] = {
    Q.OPEN: frozenset({Q.ANSWERED, Q.EXPIRED, Q.WITHDRAWN}),
    Q.ANSWERED: frozenset(),
    Q.EXPIRED: frozenset(),
    Q.WITHDRAWN: frozenset(),
}

MESSAGE_MOVES: Final[Mapping[MessageState, frozenset[MessageState]]] = {
    M.QUEUED: frozenset({M.DELIVERED, M.UNDELIVERED}),
    M.DELIVERED: frozenset({M.STARTED, M.COMPLETED, M.QUEUED, M.UNDELIVERED}),
    M.STARTED: frozenset({M.COMPLETED, M.QUEUED, M.UNDELIVERED}),
    M.COMPLETED: frozenset(),
    M.UNDELIVERED: frozenset(),
}

TASK_TERMINAL: Final = frozenset(state for state, moves in TASK_MOVES.items() if not moves)
RUN_TERMINAL: Final = frozenset(state for state, moves in RUN_MOVES.items() if not moves)
RUN_HELD: Final = frozenset({R.LEASED, R.STARTING, R.RUNNING, R.WAITING, R.FINISHING})
"""A worker holds the run: it has a lease and a fence."""

RUN_SLOTTED: Final = frozenset({R.LEASED, R.STARTING, R.RUNNING, R.FINISHING})
"""The run uses one slot of its worker; a waiting run gives its slot back but keeps its process."""

Word = TypeVar("Word", TaskState, RunState, ChangeState, InquiryState, MessageState, str)


class Evidence(Struct, frozen=True, kw_only=True):
    """Who said so, and when: `seq` is the event that moved the state (0: derived from no single event)."""

    source: str
    seq: int
    at: datetime
    detail: str = ""


class State(Struct, Generic[Word], frozen=True, kw_only=True):
    """A state as every JSON answer shows it. `reason` is typed per waiting, blocked or terminal word."""

    word: Word
    reason: str = ""
    since: datetime
    evidence: Evidence


def move(
    moves: Mapping[Word, frozenset[Word]],
    present: State[Word],
    to: Word,
    evidence: Evidence,
    reason: str = "",
) -> State[Word]:
    """The one way from a state to the next. Raises IllegalMove when the table does not allow it."""
    if to not in moves[present.word]:
        raise IllegalMove(f"{present.word} cannot become {to}", present=str(present.word), wanted=str(to))
    return State(word=to, reason=reason, since=evidence.at, evidence=evidence)
