"""What Claude Code asks its host for, as effects; and the lines that answer it. Pure functions."""

from __future__ import annotations

import difflib
from typing import Any

import msgspec

from podium.harness.base import Line, Reply
from podium.harness.common import bounded
from podium.kernel.inquiry import Decision, Effect, EffectKind, effect_of

DENIED = "A person has denied this. Do not try it in another way; go on without it, or end and say why."


def effect_asked(request: dict[str, Any], cwd: str) -> Effect:
    """The exact effect of the tool call in a `can_use_tool` request."""
    tool = str(request.get("tool_name", ""))
    found = request.get("input")
    given: dict[str, Any] = found if isinstance(found, dict) else {}
    match tool:
        case "Bash":
            command = _word(given, "command")
            return effect_of(tool, EffectKind.COMMAND, given=given, command=command, cwd=cwd)
        case "Write" | "Edit" | "MultiEdit" | "NotebookEdit":
            path = _word(given, "file_path") or _word(given, "notebook_path")
            diff = _diff(tool, given, path.removeprefix(f"{cwd}/").lstrip("/"))
            return effect_of(tool, EffectKind.EDIT, given=given, cwd=cwd, paths=(path,), diff=diff)
        case "WebFetch" | "WebSearch":
            command = _word(given, "url") or _word(given, "query")
            return effect_of(tool, EffectKind.FETCH, given=given, command=command, cwd=cwd)
        case _:
            return effect_of(tool, EffectKind.TOOL, given=given, cwd=cwd)


def why_asked(request: dict[str, Any]) -> str:
    """The model's description and the program's reason."""
    words = [_word(request, "description"), _word(request, "decision_reason")]
    return bounded("; ".join(word for word in words if word), 2_000)


def answer_line(reply: Reply) -> Line:
    """An allowed call runs exactly as it was asked for: the answer cannot change its input."""
    allowed = reply.decision is Decision.ALLOW
    said = {"behavior": "allow"} if allowed else {"behavior": "deny", "message": reply.reason or DENIED}
    body = {"subtype": "success", "request_id": reply.reply_token, "response": said}
    return _line(
        answer_key(reply.reply_token, said["behavior"]), {"type": "control_response", "response": body}
    )


def answer_key(token: str, behavior: str) -> str:
    return f"answer:{token}:{behavior}"


def key_of_answer(line: dict[str, Any]) -> str:
    """The key of a `control_response` that stands in the input."""
    response = line.get("response")
    if not isinstance(response, dict):
        return ""
    said = response.get("response")
    return answer_key(
        _word(response, "request_id"), _word(said, "behavior") if isinstance(said, dict) else ""
    )


def refusal_line(request_id: str) -> Line:
    """For a request that we do not know: unanswered, the program would wait for ever."""
    body = {"subtype": "error", "request_id": request_id, "error": "this host does not do that"}
    return _line(answer_key(request_id, ""), {"type": "control_response", "response": body})


def interrupt_line(key: str) -> Line:
    request = {"type": "control_request", "request_id": key, "request": {"subtype": "interrupt"}}
    return _line(key, request)


def model_line(key: str, request_id: str, model: str) -> Line:
    request = {"subtype": "set_model", "model": model}
    return _line(key, {"type": "control_request", "request_id": request_id, "request": request})


def _line(key: str, body: dict[str, Any]) -> Line:
    return Line(key=key, data=msgspec.json.encode(body))


def _diff(tool: str, given: dict[str, Any], path: str) -> str:
    """As a unified diff of what is replaced by what; of a whole new content all lines are added."""
    pairs = given.get("edits") if tool == "MultiEdit" else [given]
    pieces: list[str] = []
    for pair in pairs if isinstance(pairs, list) else []:
        if isinstance(pair, dict):
            old = _word(pair, "old_string")
            new = _word(pair, "new_string") or _word(pair, "content") or _word(pair, "new_source")
            lines = old.splitlines(keepends=True), new.splitlines(keepends=True)
            pieces += difflib.unified_diff(*lines, f"a/{path}", f"b/{path}")
    return "".join(piece if piece.endswith("\n") else f"{piece}\n" for piece in pieces)


def _word(given: dict[str, Any], key: str) -> str:
    value = given.get(key, "")
    return value if isinstance(value, str) else ""
