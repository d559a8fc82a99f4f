"""Events as people read them."""

from __future__ import annotations

from typing import Any

import click
import pytest

from podium.cli.transcript import WIDTH, render


def told(kind: str, **event: Any) -> str | None:
    block = render({"seq": 1, "event": {"type": kind, **event}})
    return None if block is None else click.unstyle(block)


@pytest.mark.parametrize(
    ("event", "block"),
    [
        ({"kind": "run.said", "text": "hello\nworld\n"}, "hello\nworld"),
        ({"kind": "run.thought", "text": "hm\nwell"}, "  hm\n  well"),
        ({"kind": "run.tool_called", "name": "Bash", "input": {"command": "ls"}}, "▸ Bash command=ls"),
        ({"kind": "run.tool_called", "name": "Read", "input": {"lines": [1, 2]}}, "▸ Read lines=[1,2]"),
        ({"kind": "run.tool_called", "name": "Odd"}, "▸ Odd "),
        ({"kind": "run.tool_returned", "output": "a\nb\nc"}, "  ↳ a  (+2 lines)"),
        ({"kind": "run.tool_returned", "output": "  "}, "  ↳ (no output)"),
        ({"kind": "run.tool_returned", "output": "no", "is_error": True}, "  ↳ no"),
        ({"kind": "run.asked", "question": "may I?"}, "? may I?"),
        ({"kind": "run.leased", "worker_id": "worker_1"}, "· given to worker_1"),
        ({"kind": "run.started", "pid": 12, "isolation": "bare"}, "· agent started (pid 12, bare)"),
        ({"kind": "run.lost", "reason": "node_lost"}, "· run lost: node_lost"),
        ({"kind": "task.done"}, "task done"),
        ({"kind": "task.failed", "reason": "checks", "detail": "tests"}, "task failed  checks: tests"),
        ({"kind": "task.cancelled"}, "task cancelled"),
        (
            {"kind": "check.finished", "result": {"name": "tests", "verdict": "fail", "detail": "1 failed"}},
            "check tests: fail  1 failed",
        ),
    ],
)  # fmt: skip
def test_each_event_has_its_block(event: dict[str, Any], block: str) -> None:
    event = dict(event)
    assert told(event.pop("kind"), **event) == block


@pytest.mark.parametrize("kind", ["run.used", "task.opened", "run.queued", "an.event_of_the_future"])
def test_what_tells_a_person_nothing_has_none(kind: str) -> None:
    assert told(kind) is None


@pytest.mark.parametrize(
    "event",
    [
        {"type": "run.said", "text": "{}"},
        {"type": "run.thought", "text": "{}"},
        {"type": "run.tool_called", "name": "{}", "input": {"x": "{}"}},
        {"type": "run.tool_returned", "output": "{}"},
        {"type": "run.noticed", "kind": "{}", "text": "{}"},
        {"type": "run.asked", "question": "{}"},
        {"type": "run.lost", "reason": "{}", "detail": "{}"},
        {"type": "task.failed", "reason": "{}", "detail": "{}"},
        {"type": "check.finished", "result": {"name": "{}", "verdict": "{}", "detail": "{}"}},
    ],
    ids=lambda event: event["type"],
)
def test_no_event_drives_the_terminal(event: dict[str, Any]) -> None:
    def filled(value: Any) -> Any:
        if isinstance(value, dict):
            return {key: filled(inner) for key, inner in value.items()}
        return value.format("\x1b]0;owned\x07\x1b[2J\x9b2J\u202e")

    block = render({"seq": 1, "event": {**filled(event), "type": event["type"]}}) or ""
    assert "\x1b]" not in block
    assert "\x1b[2J" not in block
    assert not set(block) & {"\x07", "\x9b", "\u202e"}


def test_a_long_tool_call_is_folded_to_a_line() -> None:
    block = told("run.tool_called", name="Write", input={"content": "line\n" * 500})
    assert block is not None
    assert "\n" not in block
    assert len(block) <= len("▸ Write ") + WIDTH
