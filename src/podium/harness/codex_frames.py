"""What the items and errors of Codex's app-server tell. Pure functions over plain JSON."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

from msgspec import Struct

from podium.harness.codex_asks import plain_command, word
from podium.harness.common import MAX_DETAIL, Voice, bounded
from podium.kernel import events as e
from podium.kernel.nouns import Outcome, Reason, Usage

BY_KIND: dict[str, Reason] = {
    "contextWindowExceeded": Reason.CONTEXT_OVERFLOW,
    "sessionBudgetExceeded": Reason.BUDGET,
    "usageLimitExceeded": Reason.RATE_LIMITED,
    "rateLimitExceeded": Reason.RATE_LIMITED,
    "flexUnavailable": Reason.OVERLOADED,
    "serverOverloaded": Reason.OVERLOADED,
    "policyCapacityUnavailable": Reason.OVERLOADED,
    "modelNotFound": Reason.MODEL_UNAVAILABLE,
    "cyberPolicy": Reason.REFUSED,
    "misalignmentPolicyViolation": Reason.REFUSED,
    "inferenceHookDenied": Reason.REFUSED,
    "internalServerError": Reason.SERVER_ERROR,
    "unauthorized": Reason.AUTH_REQUIRED,
}
"""By `codexErrorInfo`, where it is a word."""
BY_STATUS: dict[int, Reason] = {
    401: Reason.AUTH_REQUIRED,
    402: Reason.BILLING,
    403: Reason.AUTH_REQUIRED,
    404: Reason.MODEL_UNAVAILABLE,
    413: Reason.CONTEXT_OVERFLOW,
    429: Reason.RATE_LIMITED,
    503: Reason.OVERLOADED,
    529: Reason.OVERLOADED,
}
CONNECTING = frozenset(
    {"httpConnectionFailed", "responseStreamConnectionFailed", "responseStreamDisconnected"}
    | {"responseTooManyFailedAttempts"}
)
"""Where it is an object: how far the connection came, with the status of the answer if there was one."""


class Totals(Struct, frozen=True, kw_only=True):
    """Tokens of a thread since it began; `input` counts the cached ones too."""

    input: int = 0
    cached: int = 0
    output: int = 0

    def since(self, before: Totals) -> Usage:
        cached = max(0, self.cached - before.cached)
        return Usage(
            input_tokens=max(0, self.input - before.input - cached),
            output_tokens=max(0, self.output - before.output),
            cached_tokens=cached,
        )


def totals_of(given: Any) -> Totals:
    return Totals(
        input=_count(given, "inputTokens"),
        cached=_count(given, "cachedInputTokens"),
        output=_count(given, "outputTokens"),
    )


def call_begun(item: dict[str, Any], voice: Voice, under: str) -> e.RunToolCalled | None:
    """The call that an item is, if it is one."""
    call_id = word(item, "id")
    match item.get("type"):
        case "commandExecution":
            given = {"command": plain_command(word(item, "command")), "cwd": word(item, "cwd")}
            return voice.called(call_id, "exec_command", given, under=under)
        case "fileChange":
            return voice.called(call_id, "apply_patch", {"changes": item.get("changes")}, under=under)
        case "mcpToolCall":
            name = f"mcp__{word(item, 'server')}__{word(item, 'tool')}"
            return voice.called(call_id, name, item.get("arguments"), under=under)
        case "dynamicToolCall" | "collabAgentToolCall":
            return voice.called(call_id, word(item, "tool"), _input_of(item), under=under)
        case "subAgentActivity" if word(item, "kind") == "started":
            return voice.called(call_id, "spawn_agent", {"agent": word(item, "agentPath")}, under=under)
        case "webSearch":
            return voice.called(call_id, "web_search", {"query": word(item, "query")}, under=under)
        case "imageView":
            return voice.called(call_id, "view_image", {"path": word(item, "path")}, under=under)
    return None


def call_ended(item: dict[str, Any], voice: Voice, under: str) -> e.RunToolReturned:
    failed = word(item, "status") in ("failed", "declined") or item.get("success") is False
    code = item.get("exitCode")
    failed = failed or (isinstance(code, int) and code != 0)
    return voice.returned(word(item, "id"), _output_of(item), is_error=failed, under=under)


def words_of(item: dict[str, Any], voice: Voice, under: str) -> Sequence[e.RunFact]:
    """What a finished item says that is no call."""
    match item.get("type"):
        case "agentMessage":
            text = word(item, "text")
            return (voice.said(text, final=item.get("phase") == "final_answer", under=under),) if text else ()
        case "reasoning":
            text = "\n\n".join(_words(item.get("summary")) or _words(item.get("content")))
            return (voice.thought(text, under=under),) if text else ()
        case "plan":
            return (voice.noticed("plan", word(item, "text")),)
        case "contextCompaction":
            return (voice.noticed("compacted", "the conversation was shortened to fit the model"),)
    return ()


def error_text(error: Any) -> str:
    more = word(error, "additionalDetails")
    return f"{word(error, 'message')}: {more}" if more else word(error, "message")


def reason_of(error: Any) -> Reason | None:
    """By the program's own class of an error; None when it names none."""
    info = error.get("codexErrorInfo") if isinstance(error, dict) else None
    if isinstance(info, str):
        return BY_KIND.get(info)
    if not isinstance(info, dict):
        return None
    for kind, detail in info.items():
        status = detail.get("httpStatusCode") if isinstance(detail, dict) else None
        if kind not in CONNECTING:
            return BY_KIND.get(kind)
        if not isinstance(status, int):
            return Reason.NETWORK
        return BY_STATUS.get(status, Reason.SERVER_ERROR if status >= 500 else Reason.AGENT_FAILED)
    return None


def outcome_of(turn: dict[str, Any], retried: Reason | None, limit: Limit) -> Outcome | None:
    """Of a turn that has ended. `retried`: why it last had to connect again, for an error without a class."""
    match turn.get("status"):
        case "completed":
            return Outcome(succeeded=True, reason=Reason.COMPLETED)
        case "interrupted":
            return Outcome(succeeded=False, reason=Reason.INTERRUPTED, detail="the turn was interrupted")
        case "failed":
            error = turn.get("error")
            reason = reason_of(error) or retried or Reason.AGENT_FAILED
            limited = reason is Reason.RATE_LIMITED
            reason = Reason.BILLING if limited and limit.credits_gone else reason
            detail = bounded(word(error, "message"), MAX_DETAIL)
            resets = limit.resets if limited else None
            return Outcome(succeeded=False, reason=reason, detail=detail, resets_at=resets)
    return None


class Limit(Struct, frozen=True, kw_only=True):
    """What the provider last said about the account's limits."""

    resets_at: int | None = None
    credits_gone: bool = False

    @property
    def resets(self) -> datetime | None:
        return None if self.resets_at is None else datetime.fromtimestamp(self.resets_at, UTC)


def limit_of(given: Any) -> Limit:
    """The window that is used up, the one that ends last."""
    ends = []
    for name in ("primary", "secondary"):
        window = given.get(name) if isinstance(given, dict) else None
        used, end = (_count(window, key) for key in ("usedPercent", "resetsAt"))
        if used >= 100 and 0 < end < 2**33:
            ends.append(end)
    reached = word(given, "rateLimitReachedType")
    return Limit(resets_at=max(ends, default=None), credits_gone=reached.endswith("credits_depleted"))


def _input_of(item: dict[str, Any]) -> Any:
    if item.get("type") == "dynamicToolCall":
        return item.get("arguments")
    return {"prompt": word(item, "prompt")}


def _output_of(item: dict[str, Any]) -> str:
    match item.get("type"):
        case "commandExecution":
            return word(item, "aggregatedOutput")
        case "mcpToolCall":
            result = item.get("result")
            content = result.get("content") if isinstance(result, dict) else None
            return word(item.get("error"), "message") or "\n".join(_texts(content))
        case "dynamicToolCall":
            return "\n".join(_texts(item.get("contentItems")))
        case "subAgentActivity":
            return word(item, "kind")
    return word(item, "status")


def _texts(content: Any) -> list[str]:
    parts = content if isinstance(content, list) else []
    return [part["text"] for part in parts if isinstance(part, dict) and isinstance(part.get("text"), str)]


def _words(given: Any) -> list[str]:
    return [text for text in given if isinstance(text, str)] if isinstance(given, list) else []


def _count(given: Any, key: str) -> int:
    value = given.get(key, 0) if isinstance(given, dict) else 0
    return value if isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 2**53 else 0
