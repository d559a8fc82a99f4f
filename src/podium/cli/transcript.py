"""A run's events as people read them: typed blocks, tools folded to a line, colours only on a terminal."""

from __future__ import annotations

from typing import Any

import click
import msgspec

from podium.cli.output import clean, one_line, status

WIDTH = 110
_MOVES = {
    "run.leased": "given to {worker_id}",
    "run.started": "agent started (pid {pid}, {isolation})",
    "run.adopted": "taken up again by its worker",
    "run.finishing": "agent has ended",
    "run.lost": "run lost: {reason} {detail}",
    "task.requeued": "queued again: {reason}",
    "task.cancel_requested": "cancel asked for",
}


def render(envelope: dict[str, Any]) -> str | None:
    """The block of one event; None for what tells a person nothing."""
    event = envelope["event"]
    kind = event["type"]
    match kind:
        case "run.said":
            return clean(event.get("text", "")).rstrip()
        case "run.thought":
            return click.style(_indent(clean(event.get("text", ""))), dim=True)
        case "run.tool_called":
            given = one_line(_brief(event.get("input", {})), WIDTH)
            return f"{click.style('▸ ' + one_line(event['name'], 40), fg='cyan')} {given}"
        case "run.tool_returned":
            return _returned(event)
        case "run.used":
            return None
        case "run.noticed":
            text = one_line(event.get("text", ""), WIDTH)
            return click.style(f"· {one_line(event.get('kind', ''), 40)}: {text}", fg="yellow", dim=True)
        case "run.asked":
            return click.style(f"? {clean(event.get('question', ''))}", fg="yellow")
        case "check.finished":
            result = event["result"]
            detail = f"  {one_line(result.get('detail', ''), 80)}" if result.get("detail") else ""
            name = one_line(result["name"], 40)
            return f"{click.style('check', bold=True)} {name}: {status(result['verdict'])}{detail}"
        case "task.done" | "task.failed" | "task.cancelled":
            return _ended(kind.removeprefix("task."), event)
    if kind in _MOVES:
        known = dict.fromkeys(("detail", "reason", "worker_id", "pid", "isolation"), "")
        values = known | {key: one_line(str(value), WIDTH) for key, value in event.items()}
        return click.style("· " + _MOVES[kind].format(**values).strip(), dim=True)
    return None


def _returned(event: dict[str, Any]) -> str:
    lines = clean(event.get("output", "")).strip().splitlines()
    if not lines:
        return click.style("  ↳ (no output)", dim=True)
    more = f"  (+{len(lines) - 1} lines)" if len(lines) > 1 else ""
    colour = "red" if event.get("is_error") else None
    return click.style(f"  ↳ {one_line(lines[0], WIDTH)}{more}", dim=colour is None, fg=colour)


def _ended(word: str, event: dict[str, Any]) -> str:
    reason = one_line(event.get("reason", ""), WIDTH)
    detail = one_line(event.get("detail", ""), WIDTH)
    tail = ": ".join(part for part in (reason, detail) if part)
    return f"{click.style('task', bold=True)} {status(word)}{'  ' + tail if tail else ''}"


def _brief(given: Any) -> str:
    if isinstance(given, dict):
        return "  ".join(
            f"{key}={value if isinstance(value, str) else _json(value)}" for key, value in given.items()
        )
    return _json(given)


def _json(value: Any) -> str:
    return msgspec.json.encode(value).decode()


def _indent(text: str) -> str:
    return "\n".join("  " + line for line in text.splitlines())
