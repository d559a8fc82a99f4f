"""A turn in the words of the OpenAI Responses API: a plain answer, and the same as a stream of events."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from podium.testing.model_server.conversation import Place
from podium.testing.model_server.script import Call, Turn
from podium.testing.model_server.tools import as_command, as_patch, digest_of, not_offered

Data = dict[str, Any]

SHELLS = {"exec_command": "cmd", "shell_command": "command"}
"""Tool that runs a shell line → its field for the line."""
YIELD_TIME_MS = 30_000
"""How long a command is waited for: as long as Codex allows. By itself it goes on after 10 s, and a slow
command would end with the turn."""
PLAIN_SPACE = "functions"
"""The namespace of tools that are called by their bare names."""
SPAWNING = ("spawn_agent", "collaboration__spawn_agent")
TEAM = "collaboration"
"""The namespace of the tools for agents of one team, beside the one tool that runs programs."""
ERROR_CODES = {
    401: "invalid_api_key",
    404: "model_not_found",
    429: "rate_limit_exceeded",
    503: "server_is_overloaded",
}
_OF_MODEL = frozenset(
    {"reasoning", "function_call", "custom_tool_call", "local_shell_call", "web_search_call"}
)
_PARTS = frozenset({"input_text", "output_text", "text"})
_SEALED = "encrypted_content"
"""What one agent tells another; only in name encrypted for a model that is not OpenAI's."""


def messages_of(body: Data) -> list[Data]:
    """The input items as messages of people and replies of the model, one message per reply: items of the
    model that follow each other are one, and so are calls of one reply with their results between them."""
    given = body.get("input")
    if isinstance(given, str):
        return [{"role": "user", "content": given}]
    found: list[Data] = []
    replying, reply = False, ""
    for item in given if isinstance(given, list) else []:
        if not isinstance(item, dict):
            continue
        kind, role = item.get("type", "message"), item.get("role")
        if kind in _OF_MODEL or (kind == "message" and role == "assistant"):
            mark = str(item.get("call_id", "")).rpartition("_")[0]
            if not replying and not (mark and mark == reply):
                found.append({"role": "assistant", "content": []})
            replying, reply = True, mark or reply
            found[-1]["content"] += _texts(item) if found[-1]["role"] == "assistant" else []
            continue
        replying = False
        if kind == "agent_message" or (kind == "message" and role in ("user", "developer")):
            found.append({"role": "user", "content": _texts(item)})
    return found


def offers_tools(body: Data) -> bool:
    return bool(_tools(body))


def message(turn: Turn, place: Place, request: Data) -> Data:
    """The whole reply. Raises BadScript when it calls a tool that the request does not offer."""
    key = digest_of(place)
    output: list[Data] = []
    if turn.think:
        summary = [{"type": "summary_text", "text": turn.think}]
        output.append({"type": "reasoning", "id": f"rs_{key}", "summary": summary})
    if turn.say:
        part = {"type": "output_text", "text": turn.say, "annotations": []}
        output.append(
            {
                "type": "message",
                "id": f"msg_{key}",
                "role": "assistant",
                "status": "completed",
                "content": [part],
            }
        )
    tools = _tools(request)
    for number, call in enumerate(turn.calls):
        output.append({**_call(call, tools), "id": f"fc_{key}_{number}", "call_id": f"call_{key}_{number}"})
    tokens = turn.usage
    read = tokens.input + tokens.cache_read + tokens.cache_write
    return {
        "id": f"resp_{key}",
        "object": "response",
        "model": str(request.get("model", "scripted")),
        "status": "completed",
        "output": output,
        "usage": {
            "input_tokens": read,
            "input_tokens_details": {"cached_tokens": tokens.cache_read},
            "output_tokens": tokens.output,
            "output_tokens_details": {"reasoning_tokens": 0},
            "total_tokens": read + tokens.output,
        },
    }


def events(whole: Data) -> Iterator[Data]:
    """The reply as the events of its stream."""
    begun = {**whole, "status": "in_progress", "output": [], "usage": None}
    yield {"type": "response.created", "response": begun}
    for index, item in enumerate(whole["output"]):
        place = {"output_index": index, "item_id": item["id"]}
        yield {"type": "response.output_item.added", "output_index": index, "item": _empty(item)}
        if item["type"] == "message":
            text = item["content"][0]["text"]
            for half in _halves(text):
                yield {"type": "response.output_text.delta", **place, "content_index": 0, "delta": half}
        elif item["type"] == "reasoning":
            for half in _halves(item["summary"][0]["text"]):
                yield {
                    "type": "response.reasoning_summary_text.delta",
                    **place,
                    "summary_index": 0,
                    "delta": half,
                }
        yield {"type": "response.output_item.done", "output_index": index, "item": item}
    yield {"type": "response.completed", "response": whole}


def error(status: int, text: str, more: Data | None = None) -> Data:
    kind = "server_error" if status >= 500 else "invalid_request_error"
    return {"error": {"message": text, "type": kind, "code": ERROR_CODES.get(status), **(more or {})}}


def failed(status: int, text: str, more: Data) -> Data:
    """The event of a reply that fails after it began."""
    whole = {"id": "resp_failed", "object": "response", "status": "failed", "output": []}
    return {"type": "response.failed", "response": {**whole, **error(status, text, more)}}


def _empty(item: Data) -> Data:
    match item["type"]:
        case "message":
            return {**item, "status": "in_progress", "content": []}
        case "reasoning":
            return {**item, "summary": []}
        case _:
            return item


def _halves(text: str) -> list[str]:
    middle = len(text) // 2
    return [half for half in (text[:middle], text[middle:]) if half]


def _texts(item: Data) -> list[Data]:
    content = item.get("content")
    if isinstance(content, str):
        return [{"type": "text", "text": content}]
    parts = content if isinstance(content, list) else []
    found = []
    for part in parts:
        kind = part.get("type") if isinstance(part, dict) else None
        text = part.get("text") if kind in _PARTS else part.get(_SEALED) if kind == _SEALED else None
        if isinstance(text, str):
            found.append({"type": "text", "text": text})
    return found


def _tools(body: Data) -> dict[tuple[str, str], str]:
    """(namespace, name) → type, of everything that is offered: also what stands in the input for it."""
    lists = [body.get("tools")]
    given = body.get("input")
    for item in given if isinstance(given, list) else []:
        if isinstance(item, dict) and item.get("type") in ("additional_tools", "tool_search_output"):
            lists.append(item.get("tools"))
    found: dict[tuple[str, str], str] = {}
    for tool in (tool for tools in lists if isinstance(tools, list) for tool in tools):
        if not isinstance(tool, dict):
            continue
        if tool.get("type") == "namespace":
            for inner in tool.get("tools") or []:
                space = "" if tool.get("name") == PLAIN_SPACE else str(tool.get("name"))
                found[space, str(inner.get("name"))] = str(inner.get("type", "function"))
        else:
            found["", str(tool.get("name") or tool.get("type"))] = str(tool.get("type"))
    return found


def _call(call: Call, tools: dict[tuple[str, str], str]) -> Data:
    patch, command = as_patch(call), as_command(call)
    if patch is not None and tools.get(("", "apply_patch")) == "custom":
        return {"type": "custom_tool_call", "name": "apply_patch", "input": patch}
    for name, field in SHELLS.items() if command is not None else ():
        if ("", name) in tools:
            return _function("", name, {field: command, **_further(call, name)})
    if command is not None and ("", "shell") in tools:
        return _function("", "shell", {"command": ["bash", "-c", command]})
    if call.tool == "agent" and (TEAM, "spawn_agent") in tools:
        return _agent(call, tools)
    if tools.get(("", "exec")) == "custom":
        return {"type": "custom_tool_call", "name": "exec", "input": _code(call)}
    if call.tool == "mcp":
        return _mcp(call, tools)
    if call.tool == "agent":
        return _agent(call, tools)
    return _own(call, tools)


def _further(call: Call, name: str) -> Data:
    """Fields of a shell call besides its line."""
    waits = {"yield_time_ms": YIELD_TIME_MS} if name == "exec_command" else {}
    given = {key: value for key, value in call.input.items() if call.tool == "shell" and key != "command"}
    return waits | given


def _names(tools: dict[tuple[str, str], str]) -> list[str]:
    return [f"{space}.{name}" if space else name for space, name in tools]


def _own(call: Call, tools: dict[tuple[str, str], str]) -> Data:
    """A tool by the agent's own name for it."""
    for (space, name), kind in tools.items():
        if name == call.tool:
            if kind == "custom":
                return {"type": "custom_tool_call", "name": name, "input": str(call.input.get("input", ""))}
            return _function(space, name, call.input)
    raise not_offered(call, _names(tools))


def _mcp(call: Call, tools: dict[tuple[str, str], str]) -> Data:
    server, tool = call.input.get("server", ""), call.input.get("tool", "")
    given = call.input.get("input", {})
    flat = f"mcp__{server}__{tool}"
    for space, name in tools:
        if (name == tool and space.strip("_") == f"mcp__{server}") or name == flat:
            return _function(space, name, given)
    raise not_offered(call, _names(tools))


def _agent(call: Call, tools: dict[tuple[str, str], str]) -> Data:
    for space, name in tools:
        if name in SPAWNING:
            named = {"task_name": call.input.get("name", "helper"), "fork_turns": "none"}
            more = named if space == TEAM else {}
            return _function(space, name, {"message": call.input.get("prompt", ""), **more})
    raise not_offered(call, _names(tools))


def _function(space: str, name: str, given: Data) -> Data:
    call = {"type": "function_call", "name": name, "arguments": json.dumps(given)}
    return {**call, "namespace": space} if space else call


def _code(call: Call) -> str:
    """The call as a line of a program, for agents whose one tool runs programs."""
    patch, command = as_patch(call), as_command(call)
    if patch is not None:
        name, given = "apply_patch", json.dumps(patch)
    elif command is not None:
        name = "exec_command"
        given = json.dumps({"cmd": command, **_further(call, name)})
    elif call.tool == "mcp":
        name = f"mcp__{call.input.get('server', '')}__{call.input.get('tool', '')}"
        given = json.dumps(call.input.get("input", {}))
    else:
        name, given = call.tool, json.dumps(call.input)
    return f"text(await tools.{name}({given}));\n"
