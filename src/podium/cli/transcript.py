"""A run's events as people read them: one renderer for every harness, colours only on a terminal.

Tools are a line each, what they return is folded, sub-agents stand indented under the call that made them.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

import click

from podium.cli.effects import telling, what_of
from podium.cli.output import clean, one_line, status

WIDTH = 110
FOLDED = 5
"""Lines of what a tool returned, unless everything is asked for."""
_MOVES = {
    "run.leased": "given to {worker_id}",
    "run.started": "agent started (pid {pid}, {isolation})",
    "run.adopted": "taken up again by its worker",
    "run.paused": "waits for {reason}",
    "run.continued": "goes on",
    "run.model_changed": "goes on with the model {model}",
    "run.lost": "run lost: {reason} {detail}",
    "task.requeued": "queued again: {reason}",
    "task.cancel_requested": "cancel asked for",
    "session.joined": "goes on with {session_id}",
    "message.requeued": "message given to the next run",
    "message.undelivered": "message not delivered: {why}",
    "grant.created": "approved for the next run of the task",
    "grant.used": "was approved before",
}
_ANSWERED = {"allow": ("✓ allowed", "green"), "deny": ("✗ denied", "red")}


class Transcript:
    """Renders the events of one task in their order. `full` unfolds everything."""

    def __init__(self, *, full: bool = False) -> None:
        self._full = full
        self._depths: dict[str, int] = {}
        self._usage: dict[str, list[Mapping[str, Any]]] = {}

    def block(self, envelope: dict[str, Any]) -> str | None:
        """The block of one event; None for what tells a person nothing."""
        event = envelope["event"]
        text = self._text(event["type"], event)
        depth = self._depths.get(event["under"], 1) if event.get("under") else 0
        return text if text is None or not depth else _indent(text, "│ " * depth)

    def _text(self, kind: str, event: dict[str, Any]) -> str | None:
        match kind:
            case "run.said":
                return clean(event.get("text", "")).rstrip()
            case "run.thought":
                return click.style(_indent(clean(event.get("text", "")), "  "), dim=True)
            case "run.tool_called":
                return self._called(event)
            case "run.tool_returned":
                return self._returned(event)
            case "run.used":
                self._usage.setdefault(event.get("run_id", ""), []).append(event.get("usage", {}))
                return None
            case "run.finishing":
                used = _usage(self._usage.pop(event.get("run_id", ""), []))
                return click.style("· agent has ended" + (f"; {used}" if used else ""), dim=True)
        return _other(kind, event)

    def _called(self, event: dict[str, Any]) -> str:
        given = event.get("input", {})
        if event.get("call_id"):
            under = event.get("under", "")
            self._depths[event["call_id"]] = 1 + (self._depths.get(under, 1) if under else 0)
        head = click.style("▸ " + one_line(event["name"], 40), fg="cyan")
        line = f"{head} {one_line(telling(given), WIDTH)}"
        if not self._full or not given:
            return line
        whole = json.dumps(given, indent=2, ensure_ascii=False)
        return line + "\n" + click.style(_indent(clean(whole), "    "), dim=True)

    def _returned(self, event: dict[str, Any]) -> str:
        lines = clean(event.get("output", "")).strip("\n").rstrip().splitlines()
        if not "".join(lines).strip():
            return click.style("  ↳ (no output)", dim=True)
        shown = lines if self._full or len(lines) <= FOLDED + 1 else lines[:FOLDED]
        if not self._full:
            shown = [_cut(line) for line in shown]
        if len(shown) < len(lines):
            shown.append(f"… +{len(lines) - len(shown)} lines")
        colour = "red" if event.get("is_error") else None
        text = "\n".join(("  ↳ " if number == 0 else "    ") + line for number, line in enumerate(shown))
        return click.style(text, dim=colour is None, fg=colour)


def render(envelope: dict[str, Any]) -> str | None:
    """The block of an event by itself."""
    return Transcript().block(envelope)


def _other(kind: str, event: dict[str, Any]) -> str | None:
    match kind:
        case "run.noticed":
            text = one_line(event.get("text", ""), WIDTH)
            return click.style(f"· {one_line(event.get('kind', ''), 40)}: {text}", fg="yellow", dim=True)
        case "inquiry.opened":
            return _asked(event["inquiry"])
        case "inquiry.answered" | "inquiry.expired":
            return _answered(event.get("answer", {}))
        case "inquiry.withdrawn":
            return click.style(f"· no longer asked: {one_line(event.get('why', ''), WIDTH)}", dim=True)
        case "message.sent":
            return _message(event["message"])
        case "check.finished":
            result = event["result"]
            detail = f"  {one_line(result.get('detail', ''), 80)}" if result.get("detail") else ""
            name = one_line(result["name"], 40)
            return f"{click.style('check', bold=True)} {name}: {status(result['verdict'])}{detail}"
        case "task.done" | "task.failed" | "task.cancelled":
            return _ended(kind.removeprefix("task."), event)
    if kind not in _MOVES:
        return None
    known = dict.fromkeys(
        ("detail", "reason", "worker_id", "pid", "isolation", "session_id", "why", "model"), ""
    )
    values = known | {key: one_line(str(value), WIDTH) for key, value in event.items()}
    return click.style("· " + _MOVES[kind].format(**values).strip(), dim=True)


def _asked(inquiry: Mapping[str, Any]) -> str:
    effect, why = inquiry.get("effect", {}), inquiry.get("why", "")
    head = click.style("? may I", fg="yellow", bold=True)
    line = f"{head} {one_line(what_of(effect), WIDTH)}  {status(str(inquiry.get('risk', '')))}"
    return line + (click.style(f"\n  {one_line(why, WIDTH)}", dim=True) if why else "")


def _answered(answer: Mapping[str, Any]) -> str:
    word, colour = _ANSWERED.get(str(answer.get("decision")), ("answered", "yellow"))
    reason = one_line(answer.get("reason", ""), WIDTH)
    tail = f": {reason}" if reason else ""
    return f"{click.style(word, fg=colour)} by {one_line(answer.get('by', ''), 40)}{tail}"


def _message(message: Mapping[str, Any]) -> str:
    head = f"» {one_line(message.get('by', ''), 40)} ({one_line(message.get('mode', ''), 20)})"
    text = clean(message.get("text", "")).strip()
    return click.style(head, fg="blue", bold=True) + (f"\n{_indent(text, '  ')}" if text else "")


def _ended(word: str, event: dict[str, Any]) -> str:
    reason = one_line(event.get("reason", ""), WIDTH)
    detail = one_line(event.get("detail", ""), WIDTH)
    tail = ": ".join(part for part in (reason, detail) if part)
    return f"{click.style('task', bold=True)} {status(word)}{'  ' + tail if tail else ''}"


def _usage(used: Sequence[Mapping[str, Any]]) -> str:
    """`1,204 in, 88 out, 0.0123 USD`; a cost that is not known is not told."""
    if not used:
        return ""
    tokens = [sum(int(part.get(name) or 0) for part in used) for name in ("input_tokens", "output_tokens")]
    costs = [float(part["cost_usd"]) for part in used if part.get("cost_usd") is not None]
    return f"{tokens[0]:,} in, {tokens[1]:,} out" + (f", {sum(costs):.4f} USD" if costs else "")


def _cut(line: str) -> str:
    return line if len(line) <= 2 * WIDTH else line[: 2 * WIDTH] + "…"


def _indent(text: str, by: str) -> str:
    return "\n".join(by + line for line in text.splitlines())
