"""The lines of Codex's app-server: JSON-RPC without the member `jsonrpc`, one object per line.

Ids of our requests say what they are for, so that the key of a line, and what a response answers, can be
read from the line alone. The first turn's parameters travel in the id of the request that opens the thread:
the program gives it back with the thread's id, which nobody can know before, and a restart in between loses
nothing.
"""

from __future__ import annotations

import base64
import zlib
from typing import Any

import msgspec

from podium.harness.base import Line
from podium.harness.common import json_object

INITIALIZE, OPEN, PROMPT = "initialize", "open", "turn:prompt"
STOP = "stop:"
"""Before a message's id: the interrupt that makes room for it."""
CANCEL = "interrupt"
"""The interrupt that ends a run."""
ABANDON = "abandon:"
"""Before the id of a turn that nobody answers."""
CLEAN = "clean:"
"""Before a turn's id: what it had left running is ended."""
MODEL = "model:"
"""Before a message's id: the request that sets the model, whose response brings back no turn."""
MAX_PACKED = 40 * 1024
"""Of the state's 64 KiB."""


def request(key: str, method: str, params: dict[str, Any], *, carrying: str = "") -> Line:
    """`carrying`: text that the response brings back."""
    name = f"{key}:{carrying}" if carrying else key
    return Line(key=key, data=msgspec.json.encode({"id": name, "method": method, "params": params}))


def model_request(message_id: str, thread_id: str, model: str) -> Line:
    """Of every turn after the one that runs. The program takes any name, and tries it at the next turn."""
    made = request(f"{MODEL}{message_id}", "thread/settings/update", {"threadId": thread_id, "model": model})
    return Line(key=message_id, data=made.data)


def answer_key(request_id: Any) -> str:
    return f"answer:{msgspec.json.encode(request_id).decode()}"


def response(request_id: Any, result: dict[str, Any]) -> Line:
    line = {"id": request_id, "result": result}
    return Line(key=answer_key(request_id), data=msgspec.json.encode(line))


def refusal(request_id: Any, why: str) -> Line:
    line = {"id": request_id, "error": {"code": -32601, "message": why}}
    return Line(key=answer_key(request_id), data=msgspec.json.encode(line))


def key_of(line: bytes) -> str:
    said = json_object(line) or {}
    found = said.get("id")
    if "method" not in said:
        return answer_key(found) if "result" in said or "error" in said else ""
    if isinstance(found, str):
        return OPEN if found.startswith(f"{OPEN}:") else found.removeprefix(MODEL)
    return str(said["method"]) if found is None else ""


def pack(params: dict[str, Any]) -> str:
    """As a word of at most MAX_PACKED characters; empty when it does not fit."""
    packed = base64.b64encode(zlib.compress(msgspec.json.encode(params), 9)).decode()
    return packed if len(packed) <= MAX_PACKED else ""


def unpack(packed: str) -> dict[str, Any]:
    """Empty for what `pack` has not made."""
    try:
        raw = zlib.decompressobj().decompress(base64.b64decode(packed, validate=True), 64 * 1024 * 1024)
    except (ValueError, zlib.error):
        return {}
    return json_object(raw) or {}


def turn_params(text: str, message_id: str = "", schema: Any = None) -> dict[str, Any]:
    """Of `turn/start`, without the thread. During a turn it steers that one, else it begins one: there is no
    moment between the two at which a message could be lost."""
    params: dict[str, Any] = {"input": [{"type": "text", "text": text, "text_elements": []}]}
    if message_id:
        params["clientUserMessageId"] = message_id
    if schema is not None:
        params["outputSchema"] = schema
    return params
