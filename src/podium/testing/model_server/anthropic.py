"""A turn in the words of the Anthropic Messages API: a plain answer, and the same as a stream of events."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from typing import Any

from podium.testing.model_server.conversation import Place
from podium.testing.model_server.script import Call, Turn
from podium.testing.model_server.tools import not_offered

Data = dict[str, Any]

OFFERED_AS: dict[str, tuple[str, ...]] = {
    "shell": ("Bash", "bash", "shell"),
    "write": ("Write", "write_file"),
    "read": ("Read", "read_file"),
    "edit": ("Edit", "replace"),
    "agent": ("Agent", "Task"),
}
"""Neutral name → what agents call it; the first one that the request offers is called."""
FIELDS: dict[str, dict[str, str]] = {
    "write": {"path": "file_path", "text": "content"},
    "read": {"path": "file_path"},
    "edit": {"path": "file_path", "old": "old_string", "new": "new_string"},
}
ERROR_TYPES = {
    400: "invalid_request_error",
    401: "authentication_error",
    403: "permission_error",
    404: "not_found_error",
    413: "request_too_large",
    429: "rate_limit_error",
    529: "overloaded_error",
}


def message(turn: Turn, place: Place, request: Data) -> Data:
    """The whole reply. Raises BadScript when it calls a tool that the request does not offer."""
    offered = [
        tool["name"] for tool in request.get("tools") or [] if isinstance(tool, dict) and "name" in tool
    ]
    blocks: list[Data] = []
    if turn.think:
        blocks.append({"type": "thinking", "thinking": turn.think, "signature": "c2NyaXB0ZWQ="})
    if turn.say:
        blocks.append({"type": "text", "text": turn.say})
    for number, call in enumerate(turn.calls):
        name, given = _call(call, offered)
        blocks.append({"type": "tool_use", "id": _id("toolu", place, number), "name": name, "input": given})
    return {
        "id": _id("msg", place),
        "type": "message",
        "role": "assistant",
        "model": str(request.get("model", "scripted")),
        "content": blocks,
        "stop_reason": turn.stop_reason or ("tool_use" if turn.calls else "end_turn"),
        "stop_sequence": None,
        "usage": {
            "input_tokens": turn.usage.input,
            "cache_creation_input_tokens": turn.usage.cache_write,
            "cache_read_input_tokens": turn.usage.cache_read,
            "output_tokens": turn.usage.output,
        },
    }


def events(whole: Data) -> Iterator[Data]:
    """The reply as the events of its stream."""
    start = {**whole, "content": [], "stop_reason": None, "usage": {**whole["usage"], "output_tokens": 1}}
    yield {"type": "message_start", "message": start}
    for index, block in enumerate(whole["content"]):
        empty, deltas = _pieces(block)
        yield {"type": "content_block_start", "index": index, "content_block": empty}
        for delta in deltas:
            yield {"type": "content_block_delta", "index": index, "delta": delta}
        yield {"type": "content_block_stop", "index": index}
    yield {
        "type": "message_delta",
        "delta": {"stop_reason": whole["stop_reason"], "stop_sequence": None},
        "usage": whole["usage"],
    }
    yield {"type": "message_stop"}


def messages_of(body: Data) -> Any:
    return body.get("messages")


def offers_tools(body: Data) -> bool:
    return bool(body.get("tools"))


def error(status: int, text: str, more: Data | None = None) -> Data:
    kind = ERROR_TYPES.get(status, "api_error" if status >= 500 else "invalid_request_error")
    return {"type": "error", "error": {"type": kind, "message": text, **(more or {})}}


def failed(status: int, text: str, more: Data) -> Data:
    """The event of a reply that fails after it began."""
    return error(status, text, more)


def _pieces(block: Data) -> tuple[Data, list[Data]]:
    """A block's beginning and what follows it, in two halves where it is text."""
    match block["type"]:
        case "text":
            deltas = [{"type": "text_delta", "text": half} for half in _halves(block["text"])]
            return {"type": "text", "text": ""}, deltas
        case "thinking":
            deltas = [{"type": "thinking_delta", "thinking": half} for half in _halves(block["thinking"])]
            deltas.append({"type": "signature_delta", "signature": block["signature"]})
            return {"type": "thinking", "thinking": "", "signature": ""}, deltas
        case _:
            raw = json.dumps(block["input"])
            deltas = [{"type": "input_json_delta", "partial_json": half} for half in _halves(raw)]
            return {**block, "input": {}}, deltas


def _halves(text: str) -> list[str]:
    middle = len(text) // 2
    return [half for half in (text[:middle], text[middle:]) if half]


def _call(call: Call, offered: list[str]) -> tuple[str, Data]:
    if call.tool == "mcp":
        own = f"mcp__{call.input.get('server', '')}__{call.input.get('tool', '')}"
        return _call(Call(tool=own, input=call.input.get("input", {})), offered)
    names = OFFERED_AS.get(call.tool, (call.tool,))
    name = next((name for name in names if name in offered), None)
    if name is None:
        raise not_offered(call, offered)
    words = FIELDS.get(call.tool, {})
    given = {words.get(key, key): value for key, value in call.input.items()}
    if call.tool in ("shell", "agent"):
        given.setdefault("description", "Scripted")
    if call.tool == "agent":
        given.setdefault("subagent_type", "general-purpose")
    return name, given


def _id(kind: str, place: Place, number: int = 0) -> str:
    """The same for every retry of a turn, another for every turn."""
    digest = hashlib.sha256(f"{place.name}|{place.inline}|{place.turn}|{number}".encode()).hexdigest()
    return f"{kind}_{digest[:20]}"
