"""What every dialect makes of a call by a neutral name."""

from __future__ import annotations

import hashlib
import shlex
from collections.abc import Iterable
from typing import Any

from podium.testing.model_server.conversation import Place
from podium.testing.model_server.script import BadScript, Call


def not_offered(call: Call, offered: Iterable[str]) -> BadScript:
    names = ", ".join(sorted(offered)) or "nothing"
    return BadScript(f"the script calls {call.tool}, which this agent does not offer; it offers: {names}")


def digest_of(place: Place) -> str:
    """The same for every retry of a turn, another for every turn."""
    whole = f"{place.name}|{place.inline}|{place.turn}"
    return hashlib.sha256(whole.encode()).hexdigest()[:20]


def as_command(call: Call) -> str | None:
    """A file tool as a shell line, for agents that have none but a shell; None for other tools."""
    given = call.input
    path = shlex.quote(str(given.get("path", "")))
    match call.tool:
        case "shell":
            return str(given.get("command", ""))
        case "read":
            return f"cat {path}"
        case "write":
            return f"printf %s {shlex.quote(str(given.get('text', '')))} > {path}"
        case "edit":
            old, new = (shlex.quote(str(given.get(key, ""))) for key in ("old", "new"))
            program = (
                "import sys; p, o, n = sys.argv[1:]; t = open(p).read(); open(p, 'w').write(t.replace(o, n))"
            )
            return f"python3 -c {shlex.quote(program)} {path} {old} {new}"
        case _:
            return None


def as_patch(call: Call) -> str | None:
    """A write or an edit of a few whole lines in the words of `apply_patch`; None for other tools."""
    given: dict[str, Any] = call.input
    path = given.get("path", "")
    if call.tool == "write":
        lines = [f"*** Add File: {path}", *(f"+{line}" for line in str(given.get("text", "")).splitlines())]
    elif call.tool == "edit":
        lines = [f"*** Update File: {path}", "@@"]
        lines += [f"-{line}" for line in str(given.get("old", "")).splitlines()]
        lines += [f"+{line}" for line in str(given.get("new", "")).splitlines()]
    else:
        return None
    return "\n".join(["*** Begin Patch", *lines, "*** End Patch", ""])
