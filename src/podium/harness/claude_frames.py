"""What each frame of Claude Code tells, and how its result is judged. Pure functions over plain JSON."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

import msgspec
from msgspec import Struct
from msgspec.structs import replace

from podium.harness.base import Partial
from podium.harness.common import MAX_DETAIL, Voice, bounded
from podium.kernel import events as e
from podium.kernel.nouns import Outcome, Reason, Usage

MAX_STRUCTURED_BYTES = 32 * 1024

BY_CLASS: dict[str, Reason] = {
    "rate_limit": Reason.RATE_LIMITED,
    "overloaded": Reason.OVERLOADED,
    # Without a status nobody answered: the connection was refused, timed out or broke.
    "server_error": Reason.NETWORK,
    "unknown": Reason.NETWORK,
    "authentication_failed": Reason.AUTH_REQUIRED,
    "oauth_org_not_allowed": Reason.AUTH_REQUIRED,
    "billing_error": Reason.BILLING,
    "model_not_found": Reason.MODEL_UNAVAILABLE,
    "connection_failed": Reason.NETWORK,
    "max_output_tokens": Reason.CONTEXT_OVERFLOW,
    "invalid_request": Reason.AGENT_FAILED,
}
"""Error classes of its assistant events, for errors that came without a status."""
BY_STATUS: dict[int, Reason] = {
    401: Reason.AUTH_REQUIRED,
    402: Reason.BILLING,
    403: Reason.AUTH_REQUIRED,
    404: Reason.MODEL_UNAVAILABLE,
    413: Reason.CONTEXT_OVERFLOW,
    429: Reason.RATE_LIMITED,
    529: Reason.OVERLOADED,
}
BY_TERMINAL: dict[str, Reason] = {
    "max_turns": Reason.MAX_TURNS,
    "budget_exhausted": Reason.BUDGET,
    "aborted_tools": Reason.INTERRUPTED,
    "aborted_streaming": Reason.INTERRUPTED,
}
_QUIET = frozenset(
    {"status", "thinking_tokens", "hook_started", "hook_response", "ui_invalidate", "init"}
    | {"task_progress", "task_updated", "background_tasks_changed"}
)
"""System frames that tell a person nothing, or nothing new."""
_SILENT = frozenset({"stream_event", "control_response", "keep_alive", "tool_progress", "command_lifecycle"})


class Reading(Struct, frozen=True, kw_only=True):
    """Running figures.

    cost_usd: the last total; totals are cumulative over a session, so differences are taken.
    said: digest of the last text, because the result repeats it.
    error_class, error_status: of the error that the CLI gave up on; 0 when nobody answered.
    """

    cost_usd: float | None = None
    said: str = ""
    error_class: str = ""
    error_status: int = 0
    resets_at: int = 0
    """When the plan's limit ends, in seconds since 1970; 0: nobody said."""

    def read(self, said: dict[str, Any], voice: Voice) -> tuple[Reading, Sequence[e.RunFact]]:
        """The figures after a frame and what it tells."""
        match said.get("type"):
            case "assistant":
                return self._assistant(said, voice)
            case "user":
                return self, _tool_results(said, voice)
            case "system":
                return self._system(said, voice)
            case "result" if is_result(said):
                return self._result(said, voice)
            case "rate_limit_event":
                info = said.get("rate_limit_info")
                resets = info.get("resetsAt") if isinstance(info, dict) else None
                reading = replace(self, resets_at=_number_of_time(resets) or self.resets_at)
                return reading, (voice.noticed("rate_limit", bounded(str(info), 500)),)
            case str(kind) if kind in _SILENT:
                return self, ()
            case other:
                return self, (voice.noticed("unknown_frame", bounded(str(other), 100)),)

    def _assistant(self, said: dict[str, Any], voice: Voice) -> tuple[Reading, Sequence[e.RunFact]]:
        if said.get("is_api_error_message") is True or isinstance(said.get("error"), str):
            status = said.get("api_error_status")
            reading = replace(
                self,
                error_class=str(said.get("error") or said.get("api_error_type") or "")[:100],
                error_status=status if isinstance(status, int) else 0,
            )
            # The CLI's words, not the model's; the outcome repeats them.
            return reading, (voice.noticed("api_error", "\n".join(_texts(said))),)
        if _under(said):
            return self, _blocks_told(said, voice)  # a sub-agent's: told beneath the call that began it
        texts = _texts(said)
        reading = replace(
            self, said=_digest(texts[-1]) if texts else self.said, error_class="", error_status=0
        )
        return reading, _blocks_told(said, voice)

    def _system(self, said: dict[str, Any], voice: Voice) -> tuple[Reading, Sequence[e.RunFact]]:
        kind = str(said.get("subtype", ""))[:100]
        if kind in _QUIET:
            return self, ()
        if kind == "api_retry":
            status = said.get("error_status")
            text = (
                f"attempt {said.get('attempt')} of {said.get('max_retries')}: {said.get('error')} ({status})"
            )
            return self, (voice.noticed("api_retry", text),)
        if kind == "permission_denied":
            return self, (voice.noticed(kind, f"{said.get('tool_name')}: {said.get('message')}"),)
        detail = (
            said.get("content") or said.get("summary") or said.get("status") or said.get("description") or ""
        )
        return self, (voice.noticed(kind, str(detail)),)

    def _result(self, said: dict[str, Any], voice: Voice) -> tuple[Reading, Sequence[e.RunFact]]:
        total = _number(said.get("total_cost_usd"))
        facts: list[e.RunFact] = [voice.used(_usage_since(said, total, self.cost_usd))]
        text = said.get("result")
        if isinstance(text, str) and text and not said["is_error"] and _digest(text) != self.said:
            facts.append(voice.said(text, final=True))
        return replace(self, cost_usd=total if total is not None else self.cost_usd), facts


def is_result(said: dict[str, Any]) -> bool:
    """A result without its verdict is none: nothing may pass as a success by leaving something out."""
    return said.get("type") == "result" and isinstance(said.get("is_error"), bool)


def result_outcome(said: dict[str, Any], reading: Reading) -> Outcome:
    """By `is_error` and `terminal_reason`; the error's class and status say which kind."""
    detail = _detail(said)
    if said.get("is_error") is not True:
        return Outcome(succeeded=True, reason=Reason.COMPLETED, structured=_structured(said))
    terminal = str(said.get("terminal_reason", ""))
    if terminal in BY_TERMINAL:
        return Outcome(succeeded=False, reason=BY_TERMINAL[terminal], detail=terminal)
    if said.get("subtype") == "error_max_turns":
        return Outcome(succeeded=False, reason=Reason.MAX_TURNS, detail=detail)
    if said.get("stop_reason") == "refusal":
        return Outcome(succeeded=False, reason=Reason.REFUSED, detail=detail)
    if terminal == "prompt_too_long":  # comes with status 400 and no class of its own
        return Outcome(succeeded=False, reason=Reason.CONTEXT_OVERFLOW, detail=detail)
    status = said.get("api_error_status")
    status = status if isinstance(status, int) else reading.error_status
    reason: Reason
    known = BY_CLASS.get(reading.error_class.partition(":")[0])
    if known is Reason.BILLING:
        reason = known  # comes with status 400
    elif status in BY_STATUS:
        reason = BY_STATUS[status]
    elif status >= 500:
        reason = Reason.SERVER_ERROR
    elif status == 0 and terminal == "api_error":
        reason = known or Reason.NETWORK
    else:
        reason = Reason.AGENT_FAILED
    limited = reason is Reason.RATE_LIMITED and reading.resets_at > 0
    resets_at = datetime.fromtimestamp(reading.resets_at, UTC) if limited else None
    if reason is Reason.AUTH_REQUIRED:
        detail = f"{detail}; log in on that machine: claude, then /login".lstrip("; ")
    return Outcome(succeeded=False, reason=reason, detail=detail, resets_at=resets_at)


def _number_of_time(value: Any) -> int:
    ok = isinstance(value, int) and not isinstance(value, bool) and 0 < value < 2**33
    return value if ok else 0


def _structured(said: dict[str, Any]) -> Any:
    """The answer in the shape that was asked for; too large a one is left out."""
    found = said.get("structured_output")
    return found if len(msgspec.json.encode(found)) <= MAX_STRUCTURED_BYTES else None


def _detail(said: dict[str, Any]) -> str:
    text = said.get("result")
    if isinstance(text, str) and text:
        return bounded(text, MAX_DETAIL)
    errors = said.get("errors")
    if isinstance(errors, list) and errors:
        return bounded("; ".join(str(error) for error in errors[:5]), MAX_DETAIL)
    return str(said.get("terminal_reason") or said.get("subtype") or "")[:MAX_DETAIL]


def _usage_since(said: dict[str, Any], total: float | None, before: float | None) -> Usage:
    """What this result adds. Taken from the CLI's own figures since the last result, sub-agents and every
    model included; an older CLI has none: then tokens are the result's, and the cost is the difference of
    totals, which is unknown for the first one (a resumed session's total holds earlier runs too)."""
    since = said.get("model_usage_since_last_result")
    if isinstance(since, dict) and all(isinstance(entry, dict) for entry in since.values()):
        entries = list(since.values())
        costs = [_number(entry.get("costUSD")) for entry in entries]
        return Usage(
            input_tokens=sum(
                _count(x, "inputTokens") + _count(x, "cacheCreationInputTokens") for x in entries
            ),
            output_tokens=sum(_count(x, "outputTokens") for x in entries),
            cached_tokens=sum(_count(x, "cacheReadInputTokens") for x in entries),
            cost_usd=None if None in costs else sum(cost or 0.0 for cost in costs),
        )
    usage = said.get("usage")
    return Usage(
        input_tokens=_count(usage, "input_tokens") + _count(usage, "cache_creation_input_tokens"),
        output_tokens=_count(usage, "output_tokens"),
        cached_tokens=_count(usage, "cache_read_input_tokens"),
        cost_usd=None if total is None or before is None else max(0.0, total - before),
    )


def _blocks_told(said: dict[str, Any], voice: Voice) -> list[e.RunFact]:
    facts: list[e.RunFact] = []
    under = _under(said)
    for block in _blocks(said):
        match block.get("type"):
            case "text" if isinstance(block.get("text"), str):
                facts.append(voice.said(block["text"], under=under))
            case "thinking" if isinstance(block.get("thinking"), str):
                facts.append(voice.thought(block["thinking"], under=under))
            case "tool_use":
                call_id, name = str(block.get("id", "")), str(block.get("name", ""))
                facts.append(voice.called(call_id, name, block.get("input", {}), under=under))
    return facts


def _under(said: dict[str, Any]) -> str:
    """The tool call whose sub-agent speaks; empty: the agent itself."""
    found = said.get("parent_tool_use_id")
    return found if isinstance(found, str) else ""


def _texts(said: dict[str, Any]) -> list[str]:
    found = (block.get("text") for block in _blocks(said) if block.get("type") == "text")
    return [text for text in found if isinstance(text, str)]


def _digest(text: str) -> str:
    return hashlib.sha256(text.strip().encode("utf-8", "replace")).hexdigest()[:16]


def _tool_results(said: dict[str, Any], voice: Voice) -> list[e.RunFact]:
    return [
        voice.returned(
            str(block.get("tool_use_id", "")),
            _text_of(block.get("content")),
            is_error=block.get("is_error") is True,
            under=_under(said),
        )
        for block in _blocks(said)
        if block.get("type") == "tool_result"
    ]


def tool_results_of(said: dict[str, Any]) -> frozenset[str]:
    """The calls whose results a frame brings."""
    return frozenset(
        str(block.get("tool_use_id", "")) for block in _blocks(said) if block.get("type") == "tool_result"
    )


def rejections_of(said: dict[str, Any]) -> frozenset[str]:
    """The calls that were not carried out because they were refused, by the program's structured word."""
    found = said.get("tool_result_meta")
    return frozenset(
        str(meta.get("id", ""))
        for meta in (found if isinstance(found, list) else [])
        if isinstance(meta, dict)
        and isinstance(meta.get("permission_decision"), dict)
        and meta["permission_decision"].get("decision") == "reject"
    )


def partial_of(said: dict[str, Any]) -> Partial | None:
    """The piece of text or thought in a stream event; None for everything else, sub-agents included."""
    event = said.get("event")
    delta = event.get("delta") if isinstance(event, dict) else None
    if not isinstance(delta, dict) or _under(said):
        return None
    item = f"{said.get('api_message_id', '')}:{event.get('index', 0)}"[:200]  # type: ignore[union-attr]
    match delta.get("type"):
        case "text_delta" if isinstance(delta.get("text"), str):
            return Partial(item=item, text=bounded(delta["text"]))
        case "thinking_delta" if isinstance(delta.get("thinking"), str):
            return Partial(item=item, text=bounded(delta["thinking"]), thought=True)
    return None


def _blocks(said: dict[str, Any]) -> list[dict[str, Any]]:
    message = said.get("message")
    content = message.get("content") if isinstance(message, dict) else None
    return [block for block in content if isinstance(block, dict)] if isinstance(content, list) else []


def _text_of(content: Any) -> str:
    if isinstance(content, str):
        return content
    if isinstance(content, list):
        texts = [b["text"] for b in content if isinstance(b, dict) and isinstance(b.get("text"), str)]
        return "\n".join(texts)
    return ""


def _number(value: Any) -> float | None:
    ok = isinstance(value, (int, float)) and not isinstance(value, bool) and 0 <= value < 1e9
    return float(value) if ok else None


def _count(usage: Any, key: str) -> int:
    value = usage.get(key, 0) if isinstance(usage, dict) else 0
    return value if isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 2**53 else 0
