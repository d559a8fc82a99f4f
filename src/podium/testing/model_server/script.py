"""Scripts of the model server: data, checked whole before anything is played."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated, Any

import msgspec
from msgspec import Meta, Struct

NAME = re.compile(r"[a-z0-9][a-z0-9_-]{0,63}")


class BadScript(Exception):
    """The script cannot be played; the message says why."""


class Call(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A tool call. `tool` is a neutral name (shell, write, read, edit, agent, mcp) or the agent's own."""

    tool: str
    input: dict[str, Any] = {}


class Tokens(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What the reply says it used."""

    input: int = 1000
    output: int = 50
    cache_read: int = 0
    cache_write: int = 0


class Failure(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Answer `status` instead of the turn: the first `times` requests of it, or every one."""

    status: Annotated[int, Meta(ge=400, le=599)]
    times: Annotated[int, Meta(ge=1)] | None = None
    headers: dict[str, str] = {}
    message: str = "scripted failure"
    error: dict[str, Any] = {}
    """More fields of the error in the body, e.g. its `type` or `code`."""
    in_stream: bool = False
    """Answer 200 and fail as an event of the stream, where a stream was asked for."""


class Turn(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One reply of the model: thought, text and calls, in this order, after whatever goes wrong first."""

    think: str = ""
    say: str = ""
    calls: tuple[Call, ...] = ()
    usage: Tokens = Tokens()
    stop_reason: str = ""
    """Empty: tool_use when there are calls, else end_turn."""
    delay_ms: Annotated[int, Meta(ge=0, le=600_000)] = 0
    """Before the first byte of the answer."""
    event_delay_ms: Annotated[int, Meta(ge=0, le=60_000)] = 0
    """Between two events of a stream."""
    fail: Failure | None = None
    hang: bool = False
    """Never answer; the request ends when the agent closes it."""
    cut_after: Annotated[int, Meta(ge=0)] | None = None
    """Close the connection after so many events of the stream."""


class Script(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What the model says, turn by turn. After the last turn it says `over`."""

    turns: tuple[Turn, ...]
    over: str = "The script is over."
    side: str = "A side answer"
    """The answer to requests without tools (titles, summaries)."""


def parse(text: str | bytes) -> Script:
    """Raises BadScript."""
    try:
        return msgspec.json.decode(text, type=Script)
    except (msgspec.MsgspecError, ValueError, RecursionError) as error:
        raise BadScript(str(error)) from error


def load(folder: Path | None, name: str) -> Script:
    """`folder/name.json`. Raises BadScript when there is none."""
    if folder is None or NAME.fullmatch(name) is None:
        raise BadScript(f"there is no script {name!r}: start the server with --scripts DIR")
    try:
        return parse((folder / f"{name}.json").read_bytes())
    except OSError as error:
        raise BadScript(f"there is no script {name!r} in the scripts' directory") from error
