"""Events as people read them."""

from __future__ import annotations

from typing import Any

import click
import pytest

from podium.cli.transcript import FOLDED, WIDTH, Transcript, render


def told(kind: str, **event: Any) -> str | None:
    block = render({"seq": 1, "event": {"type": kind, **event}})
    return None if block is None else click.unstyle(block)


@pytest.mark.parametrize(
    ("event", "block"),
    [
        ({"kind": "run.said", "text": "hello\nworld\n"}, "hello\nworld"),
        ({"kind": "run.thought", "text": "hm\nwell"}, "  hm\n  well"),
        ({"kind": "run.tool_called", "name": "Bash", "input": {"command": "ls"}}, "▸ Bash ls"),
        ({"kind": "run.tool_called", "name": "Read", "input": {"lines": [1, 2]}}, "▸ Read lines=[1,2]"),
        ({"kind": "run.tool_called", "name": "Odd"}, "▸ Odd "),
        ({"kind": "run.tool_returned", "output": "a\nb\nc"}, "  ↳ a\n    b\n    c"),
        ({"kind": "run.tool_returned", "output": "  "}, "  ↳ (no output)"),
        ({"kind": "run.tool_returned", "output": "no", "is_error": True}, "  ↳ no"),
        (
            {
                "kind": "inquiry.opened",
                "inquiry": {"effect": {"kind": "command", "command": "ls"}, "risk": "low"},
            },
            "? may I $ ls  low",
        ),
        (
            {"kind": "inquiry.answered", "answer": {"decision": "deny", "by": "owner", "reason": "not now"}},
            "✗ denied by owner: not now",
        ),
        ({"kind": "inquiry.answered", "answer": {"decision": "allow", "by": "grant"}}, "✓ allowed by grant"),
        ({"kind": "inquiry.expired", "answer": {"decision": "deny", "by": "expiry"}}, "✗ denied by expiry"),
        ({"kind": "inquiry.withdrawn", "why": "ended"}, "· no longer asked: ended"),
        (
            {"kind": "message.sent", "message": {"by": "owner", "mode": "steer", "text": "look\nthere"}},
            "» owner (steer)\n  look\n  there",
        ),
        ({"kind": "message.undelivered", "why": "gone"}, "· message not delivered: gone"),
        ({"kind": "run.paused", "reason": "permission"}, "· waits for permission"),
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


@pytest.mark.parametrize(
    "kind", ["run.used", "run.asked", "task.opened", "run.queued", "an.event_of_the_future"]
)
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
        {
            "type": "inquiry.opened",
            "inquiry": {
                "effect": {"kind": "edit", "tool": "{}", "command": "{}", "paths": ["{}"]},
                "why": "{}",
                "risk": "{}",
            },
        },
        {"type": "inquiry.opened", "inquiry": {"effect": {"tool": "{}", "input": {"{}": "{}"}}}},
        {"type": "inquiry.answered", "answer": {"decision": "{}", "by": "{}", "reason": "{}"}},
        {"type": "message.sent", "message": {"by": "{}", "mode": "{}", "text": "{}"}},
        {"type": "message.undelivered", "why": "{}"},
        {"type": "session.joined", "session_id": "{}"},
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
        if isinstance(value, list):
            return [filled(inner) for inner in value]
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


def told_all(*events: dict[str, Any], full: bool = False) -> list[str | None]:
    transcript = Transcript(full=full)
    blocks = [transcript.block({"seq": n, "event": event}) for n, event in enumerate(events)]
    return [None if block is None else click.unstyle(block) for block in blocks]


def test_what_a_tool_returns_is_folded_and_unfolds() -> None:
    event = {"type": "run.tool_returned", "call_id": "c", "output": "\n".join(f"line {n}" for n in range(40))}
    (folded,) = told_all(event)
    (whole,) = told_all(event, full=True)
    assert folded is not None
    assert whole is not None
    assert folded.splitlines()[0] == "  ↳ line 0"
    assert folded.splitlines()[-1] == f"    … +{40 - FOLDED} lines"
    assert len(whole.splitlines()) == 40
    assert whole.splitlines()[-1] == "    line 39"


def test_one_line_too_many_is_shown_instead_of_counted() -> None:
    event = {"type": "run.tool_returned", "output": "\n".join("x" * (FOLDED + 1))}
    (block,) = told_all(event)
    assert block is not None
    assert "…" not in block


def test_the_whole_input_of_a_tool_is_there_when_asked_for() -> None:
    call = {"type": "run.tool_called", "call_id": "c", "name": "Edit", "input": {"path": "a.py", "new": "b"}}
    assert told_all(call) == ["▸ Edit a.py"]
    (whole,) = told_all(call, full=True)
    assert whole is not None
    assert '"new": "b"' in whole


def test_sub_agents_stand_indented_under_the_call_that_made_them() -> None:
    blocks = told_all(
        {"type": "run.tool_called", "call_id": "a", "name": "Task", "input": {"description": "look"}},
        {"type": "run.said", "text": "I look\nhere", "under": "a"},
        {
            "type": "run.tool_called",
            "call_id": "b",
            "name": "Task",
            "input": {"prompt": "deeper"},
            "under": "a",
        },
        {"type": "run.said", "text": "deep", "under": "b"},
        {"type": "run.said", "text": "from an unknown call", "under": "z"},
        {"type": "run.tool_returned", "call_id": "a", "output": "found"},
        {"type": "run.said", "text": "so"},
    )
    assert blocks == [
        "▸ Task look",
        "│ I look\n│ here",
        "│ ▸ Task deeper",
        "│ │ deep",
        "│ from an unknown call",
        "  ↳ found",
        "so",
    ]


def test_usage_is_summed_up_at_the_end_of_its_run() -> None:
    def used(tokens: int, cost: float | None) -> dict[str, Any]:
        usage = {"input_tokens": tokens, "output_tokens": 1, "cost_usd": cost}
        return {"type": "run.used", "run_id": "r", "usage": usage}

    end = {"type": "run.finishing", "run_id": "r"}
    assert (
        told_all(used(1_200, 0.5), used(34, 0.25), end)[-1]
        == "· agent has ended; 1,234 in, 2 out, 0.7500 USD"
    )
    assert told_all(used(3, None), end)[-1] == "· agent has ended; 3 in, 1 out"
    assert told_all(end) == ["· agent has ended"]
