"""What a person must decide, and what follows from the answer: Effect, Inquiry, Grant."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from datetime import datetime
from enum import StrEnum
from typing import Any

import msgspec
from msgspec import Struct

from podium.kernel.ids import GrantId, InquiryId, ProjectId, RunId, SessionId, TaskId
from podium.kernel.states import InquiryState, State

MAX_SHOWN_BYTES = 64 * 1024
"""Of each part of an effect that is kept to be shown; its digest covers all of it."""
MAX_PATHS = 200


class InquiryKind(StrEnum):
    """What is asked of a person."""

    PERMISSION = "permission"


class EffectKind(StrEnum):
    """What a tool call would do, in the words that policies and people use."""

    COMMAND = "command"
    EDIT = "edit"
    FETCH = "fetch"
    TOOL = "tool"
    """None of the others: judged by its input."""


class Risk(StrEnum):
    """How much an answered Inquiry can hurt."""

    LOW = "low"
    MEDIUM = "medium"
    HIGH = "high"


class Decision(StrEnum):
    ALLOW = "allow"
    DENY = "deny"


class Effect(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The exact effect of one tool call. Made by `effect_of`; `digest` covers every part before it is cut."""

    tool: str
    kind: EffectKind
    command: str = ""
    """As one shell line."""
    cwd: str = ""
    paths: tuple[str, ...] = ()
    diff: str = ""
    input: msgspec.Raw = msgspec.field(default_factory=lambda: msgspec.Raw(b"{}"))
    """What the tool was called with, as the agent wrote it; replaced by its beginning when too long."""
    cut: bool = False
    """A part was too long to be kept whole."""
    digest: str


class Answer(Struct, frozen=True, kw_only=True):
    """The first one counts. `by` is a principal, `grant` or `expiry`."""

    decision: Decision
    by: str
    at: datetime
    reason: str = ""


class Inquiry(Struct, frozen=True, kw_only=True):
    """Waits for a person as long as it is open, through every restart; `expires_at` denies it."""

    id: InquiryId
    kind: InquiryKind = InquiryKind.PERMISSION
    task_id: TaskId
    run_id: RunId
    session_id: SessionId | None = None
    project_id: ProjectId | None = None
    agent: str
    title: str
    """Of its task: what people recognise it by."""
    effect: Effect
    why: str = ""
    """The agent's own words, and the reason its program gives."""
    risk: Risk
    call_id: str = ""
    reply_token: str
    """Opaque to all but the harness of the run."""
    answer: Answer | None = None
    delivered_at: datetime | None = None
    """When the answer was written into the agent's input."""
    expires_at: datetime
    created_at: datetime
    state: State[InquiryState]


class Grant(Struct, frozen=True, kw_only=True):
    """One use of exactly one effect by one task: an approval that outlived the process that asked for it."""

    id: GrantId
    task_id: TaskId
    inquiry_id: InquiryId
    """The approved one."""
    digest: str
    by: str
    created_at: datetime
    used_by: InquiryId | None = None


def effect_of(
    tool: str,
    kind: EffectKind,
    *,
    given: Any,
    command: str = "",
    cwd: str = "",
    paths: Sequence[str] = (),
    diff: str = "",
) -> Effect:
    """An Effect with its digest. `given` is the tool's input as plain JSON data: it counts only where no
    other part says what would happen, because it may hold the model's own words about the call."""
    decisive = given if kind is EffectKind.TOOL else None
    whole = [tool, str(kind), command, cwd, list(paths), diff, decisive]
    digest = hashlib.sha256(msgspec.json.encode(whole, order="sorted")).hexdigest()
    raw = msgspec.json.encode(given)
    shown = raw if len(raw) <= MAX_SHOWN_BYTES else msgspec.json.encode({"cut": _cut(raw.decode())[:4096]})
    return Effect(
        tool=tool[:200],
        kind=kind,
        command=_cut(command),
        cwd=_cut(cwd)[:4096],
        paths=tuple(path[:4096] for path in paths[:MAX_PATHS]),
        diff=_cut(diff),
        input=msgspec.Raw(shown),
        cut=shown is not raw or len(paths) > MAX_PATHS or _too_long(command) or _too_long(diff),
        digest=digest,
    )


def _too_long(text: str) -> bool:
    return len(text.encode("utf-8", "replace")) > MAX_SHOWN_BYTES


def _cut(text: str) -> str:
    raw = text.encode("utf-8", "replace")
    return raw[:MAX_SHOWN_BYTES].decode("utf-8", "ignore")
