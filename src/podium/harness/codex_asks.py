"""What Codex asks its host for, as effects; and the lines that answer it. Pure functions."""

from __future__ import annotations

import base64
import hashlib
import shlex
import zlib
from collections.abc import Mapping
from typing import Any

import msgspec
from msgspec import Struct

from podium.harness import codex_wire as wire
from podium.harness.base import Line, Reply
from podium.harness.common import bounded
from podium.kernel.inquiry import Decision, Effect, EffectKind, effect_of

COMMAND = "item/commandExecution/requestApproval"
EDIT = "item/fileChange/requestApproval"
PERMISSIONS = "item/permissions/requestApproval"
ELICITATION = "mcpServer/elicitation/request"
MAX_CHANGES = 8 * 1024
"""Of a packed file change that waits for the question about it."""
MAX_GRANT = 512
_REFUSALS: dict[str, dict[str, Any]] = {
    "item/tool/requestUserInput": {"answers": {}},
    ELICITATION: {"action": "decline", "content": None},
    PERMISSIONS: {"permissions": {}},
    COMMAND: {"decision": "decline"},
    EDIT: {"decision": "decline"},
    "item/tool/call": {"contentItems": [], "success": False},
}
_SHELLS = ("bash", "sh", "zsh")


class Ask(Struct, frozen=True, kw_only=True):
    """What waits for a person. thread: whose it is. grant: the permissions that it would get, as JSON."""

    id: int | str
    method: str
    thread: str = ""
    call_id: str = ""
    grant: str = ""

    @property
    def token(self) -> str:
        return msgspec.json.encode(self.id).decode()


class Strange(Struct, frozen=True, kw_only=True):
    """A request that no person can answer."""

    id: int | str
    method: str


def ask_of(
    request_id: int | str, method: str, params: dict[str, Any], tools: Mapping[str, str]
) -> Ask | None:
    """None when it is nothing for a person: a form, a tool of a host, a login. `tools`: calls of servers'
    tools that run and were not asked about: id → `tool_digest`."""
    call_id, thread = word(params, "itemId")[:200], word(params, "threadId")[:100]
    if method in (COMMAND, EDIT):
        return Ask(id=request_id, method=method, thread=thread, call_id=call_id)
    if method == PERMISSIONS:
        grant = msgspec.json.encode(params.get("permissions")).decode()
        fits = isinstance(params.get("permissions"), dict) and len(grant) <= MAX_GRANT
        ask = Ask(id=request_id, method=method, thread=thread, call_id=call_id, grant=grant)
        return ask if fits else None
    if method == ELICITATION and _is_tool_call(params):
        # What a server asks itself comes the same way, and can wear the same clothes: only a call that the
        # program has told of is one.
        meta = params.get("_meta")
        digest = tool_digest(params.get("serverName"), word(meta, "tool_name"), _arguments(meta))
        found = next((one for one, known in tools.items() if known == digest), None)
        return None if found is None else Ask(id=request_id, method=method, thread=thread, call_id=found)
    return None


def tool_digest(server: Any, tool: Any, arguments: Any) -> str:
    """What call it is: server, tool and arguments."""
    whole = msgspec.json.encode([server, tool, arguments or {}], order="sorted")
    return hashlib.sha256(whole).hexdigest()[:32]


def effect_asked(method: str, params: dict[str, Any], changes: str) -> Effect:
    """The exact effect of what a request is about. `changes`: packed, of the call that it names."""
    cwd = word(params, "cwd")
    if method == COMMAND:
        return _command_effect(params, cwd)
    if method == EDIT:
        paths, diff = unpack_changes(changes)
        root = word(params, "grantRoot")
        given = {"changes": len(paths), **({"grantRoot": root} if root else {})}
        paths = [*paths, root] if root else paths
        return effect_of("apply_patch", EffectKind.EDIT, given=given, cwd=cwd, paths=paths, diff=diff)
    if method == PERMISSIONS:
        given = {"permissions": params.get("permissions")}
        return effect_of("request_permissions", EffectKind.TOOL, given=given, cwd=cwd)
    meta = params.get("_meta")
    name = f"mcp__{word(params, 'serverName')}__{word(meta, 'tool_name')}"
    return effect_of(name, EffectKind.TOOL, given=_arguments(meta))


def answer_line(ask: Ask, reply: Reply) -> Line:
    """An allowed call runs exactly as it was asked for, this once. The program has no place for a reason."""
    allowed = reply.decision is Decision.ALLOW
    result = _REFUSALS[ask.method]
    if allowed and ask.method in (COMMAND, EDIT):
        result = {"decision": "accept"}
    elif allowed and ask.method == PERMISSIONS:
        result = {"permissions": msgspec.json.decode(ask.grant), "scope": "turn"}
    elif allowed:
        result = {"action": "accept", "content": {}}
    return wire.response(ask.id, result)


def refusal_line(strange: Strange) -> Line:
    """For what nobody here can answer: unanswered, the program would wait for ever."""
    result = _REFUSALS.get(strange.method)
    if result is None:
        return wire.refusal(strange.id, "this host does not do that")
    return wire.response(strange.id, result)


def pack_changes(changes: Any) -> str:
    """Paths and diff of a file change; too long, its digest stands for the diff."""
    paths, diff = _patch(changes)
    for text in (diff, f"A diff of {len(diff)} characters, SHA-256 {_digest(diff)}"):
        raw = msgspec.json.encode([paths, text])
        packed = base64.b64encode(zlib.compress(raw, 9)).decode()
        if len(packed) <= MAX_CHANGES:
            return packed
    return ""


def unpack_changes(packed: str) -> tuple[list[str], str]:
    if not packed:
        return [], ""
    paths, diff = msgspec.json.decode(zlib.decompress(base64.b64decode(packed)), type=tuple[list[str], str])
    return paths, diff


def plain_command(shown: str) -> str:
    """The line that the shell is given, without the shell around it."""
    try:
        words = shlex.split(shown) if len(shown) < 64 * 1024 else []
    except ValueError:
        return shown
    is_shell = len(words) == 3 and words[0].rpartition("/")[2] in _SHELLS and words[1] in ("-lc", "-c")
    return words[2] if is_shell else shown


def word(given: Any, key: str) -> str:
    value = given.get(key) if isinstance(given, dict) else None
    return value if isinstance(value, str) else ""


def why_asked(params: dict[str, Any]) -> str:
    return bounded(word(params, "reason") or word(params, "message"), 2_000)


def _command_effect(params: dict[str, Any], cwd: str) -> Effect:
    network = params.get("networkApprovalContext")
    if isinstance(network, dict):
        address = f"{word(network, 'protocol')}://{word(network, 'host')}"
        return effect_of("network", EffectKind.FETCH, given=network, command=address, cwd=cwd)
    command = plain_command(word(params, "command"))
    tool = "write_stdin" if params.get("kind") == "writeStdin" else "exec_command"
    given = {"command": command, "cwd": cwd}
    return effect_of(tool, EffectKind.COMMAND, given=given, command=command, cwd=cwd)


def _is_tool_call(params: dict[str, Any]) -> bool:
    """A question of the program itself about a tool, in the clothes of a server's form without fields."""
    schema, meta = params.get("requestedSchema"), params.get("_meta")
    fields = schema.get("properties") if isinstance(schema, dict) else None
    about_a_call = word(meta, "codex_approval_kind") == "mcp_tool_call" and word(meta, "tool_name") != ""
    return params.get("mode") == "form" and fields == {} and about_a_call


def _arguments(meta: Any) -> Any:
    return meta.get("tool_params") if isinstance(meta, dict) else None


def _patch(changes: Any) -> tuple[list[str], str]:
    paths: list[str] = []
    pieces: list[str] = []
    for change in changes if isinstance(changes, list) else []:
        path, diff = word(change, "path"), word(change, "diff")
        kind = change.get("kind") if isinstance(change, dict) else None
        moved = word(kind, "move_path")
        paths += [path, moved] if moved else [path]
        pieces.append(_one_patch(path, moved or path, diff, word(kind, "type")))
    return paths[:200], "".join(pieces)


def _one_patch(old: str, new: str, diff: str, kind: str) -> str:
    if kind in ("add", "delete"):
        sign = "+" if kind == "add" else "-"
        diff = "".join(f"{sign}{line}\n" for line in diff.splitlines())
    elif diff and not diff.endswith("\n"):
        diff += "\n"
    return (
        f"--- {'/dev/null' if kind == 'add' else old}\n+++ {'/dev/null' if kind == 'delete' else new}\n{diff}"
    )


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8", "replace")).hexdigest()
