"""What Codex has written down of its conversations: files of lines that only grow. Only reads them."""

from __future__ import annotations

import os
import uuid
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from podium.harness.base import Said
from podium.harness.common import json_object
from podium.kernel.ids import MessageId

MAX_HEAD_BYTES = 1024 * 1024
"""Of a record's first line, which holds the instructions of the model, too."""


def conversation_id(given: object) -> str | None:
    """A UUID in its usual form; None for everything else."""
    try:
        return str(uuid.UUID(given)) if isinstance(given, str) else None
    except ValueError:
        return None


def records_of(folder: Path, conversation: str | None) -> list[Path]:
    """What there is of it; a conversation without a record cannot be gone on with."""
    if conversation is None:
        return []
    return sorted(folder.glob(f"sessions/*/*/*/rollout-*{conversation}.jsonl"))


def fork_made(folder: Path, parent: str | None, workspace: Path) -> str | None:
    """The copy of `parent` that was begun in `workspace`, the newest if there are several. A workspace is of
    one task, so that it is the one which an earlier run of the task has made, told or not."""
    if parent is None:
        return None
    for path in sorted(folder.glob("sessions/*/*/*/rollout-*.jsonl"), key=_name, reverse=True):
        about = _head(path)
        # A sub-agent's conversation can be a copy, too: its source is no word.
        is_copy = about.get("forked_from_id") == parent and isinstance(about.get("source"), str)
        if is_copy and about.get("cwd") in (str(workspace), os.path.realpath(workspace)):
            return conversation_id(about.get("id"))
    return None


def held_by(records: Iterable[Path], said: tuple[Said, ...]) -> tuple[MessageId, ...]:
    """Messages that the conversation holds: a second copy would be one more."""
    if not said:
        return ()
    text = "".join(path.read_text(encoding="utf-8", errors="replace") for path in records)
    return tuple(one.id for one in said if f'"client_id":"{one.id}"' in text)


def _name(path: Path) -> str:
    """It begins with the time."""
    return path.name


def _head(path: Path) -> dict[str, Any]:
    try:
        with path.open("rb") as file:
            line = json_object(file.readline(MAX_HEAD_BYTES)) or {}
    except OSError:
        return {}
    about = line.get("payload")
    return about if line.get("type") == "session_meta" and isinstance(about, dict) else {}
