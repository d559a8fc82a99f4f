"""What a person decides about is shown whole and exactly, whatever an agent put into it."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from podium.cli.effects import short_what, show_inquiry, telling, what_of
from podium.cli.output import exact
from podium.kernel.ids import InquiryId, RunId, TaskId
from podium.kernel.inquiry import Answer, Decision, Effect, EffectKind, Inquiry, Risk, effect_of
from podium.kernel.states import Evidence, InquiryState, State

NOW = datetime(2026, 1, 1, tzinfo=UTC)


def inquiry(effect: Effect, *, answer: Answer | None = None) -> Inquiry:
    word = InquiryState.OPEN if answer is None else InquiryState.ANSWERED
    return Inquiry(
        id=InquiryId("inquiry_" + "0" * 20 + "abc123"),
        task_id=TaskId("task_" + "0" * 26),
        run_id=RunId("run_" + "0" * 26),
        agent="claude",
        title="ship it",
        effect=effect,
        why="to publish",
        risk=Risk.HIGH,
        reply_token="t",
        answer=answer,
        expires_at=NOW + timedelta(hours=1),
        created_at=NOW,
        state=State(word=word, since=NOW, evidence=Evidence(source="x", seq=1, at=NOW)),
    )


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("plain text\n\twith täbs", "plain text\n\twith täbs"),
        ("\x1b[8mhidden", "\\x1b[8mhidden"),
        ("a\rb", "a\\x0db"),
        ("\x7f\x9b\x00", "\\x7f\\x9b\\x00"),
        ("rm \u202egnp.a", "rm \\u202egnp.a"),
        ("zero\u200bwidth", "zero\\u200bwidth"),
        ("no\u00a0break", "no\\xa0break"),
        ("line\u2028end", "line\\u2028end"),
        ("tag\U000e0041", "tag\\U000e0041"),
    ],
)
def test_what_a_terminal_would_obey_or_hide_is_spelled_out(text: str, shown: str) -> None:
    assert exact(text) == shown


@pytest.mark.parametrize(
    ("effect", "line"),
    [
        ({"kind": "command", "tool": "Bash", "command": "make\nrm -rf /"}, "$ make ⏎ rm -rf /"),
        ({"kind": "edit", "tool": "Edit", "paths": ["a.py", "b\x1b.py"]}, "edit a.py, b\\x1b.py"),
        ({"kind": "fetch", "tool": "Fetch", "input": {"url": "https://x.test"}}, "Fetch https://x.test"),
        ({"kind": "tool", "tool": "note", "input": {"b": [1], "a": "x"}}, "note b=[1]  a=x"),
        ({"kind": "tool", "tool": "ping"}, "ping"),
    ],
)
def test_an_effect_in_a_line(effect: dict[str, object], line: str) -> None:
    assert what_of(effect) == line


def test_the_most_telling_argument_goes_first() -> None:
    assert telling({"content": "x", "file_path": "a.py"}) == "a.py"
    assert telling({"command": " ", "path": "a"}) == "a"
    assert telling([1, 2]) == "[1,2]"
    assert telling({"changes": [{"path": "a.py", "kind": {}}, {"path": "b.py"}]}) == "a.py, b.py"


def test_a_command_is_shown_with_all_that_a_decision_needs(capsys: pytest.CaptureFixture[str]) -> None:
    line = "git push\nrm -rf ~ \u202e" + "x" * 5_000
    effect = effect_of("Bash", EffectKind.COMMAND, given={}, command=line, cwd="/work")
    show_inquiry(inquiry(effect))
    out = capsys.readouterr().out
    for part in ("ship it", "high", "/work", "to publish", effect.digest, "podium approve abc123"):
        assert part in out, part
    assert "\n  git push\n  rm -rf ~ \\u202e" + "x" * 5_000 + "\n" in out


def test_an_edit_is_shown_as_its_diff_and_a_tool_by_its_input(capsys: pytest.CaptureFixture[str]) -> None:
    edit = effect_of("Edit", EffectKind.EDIT, given={}, paths=["a.py"], diff="-old\n+new \x1b[8m\n")
    show_inquiry(inquiry(edit))
    out = capsys.readouterr().out
    assert "a.py" in out
    assert "-old\n+new \\x1b[8m\n" in out
    show_inquiry(inquiry(effect_of("note", EffectKind.TOOL, given={"key": "valüe\x1b"})))
    shown = capsys.readouterr().out
    assert '"key": "valüe' in shown
    assert "\x1b" not in shown


def test_what_was_cut_says_so_and_what_is_answered_is_not_asked(capsys: pytest.CaptureFixture[str]) -> None:
    effect = effect_of("Bash", EffectKind.COMMAND, given={}, command="x" * 70_000)
    answer = Answer(decision=Decision.DENY, by="owner", at=NOW, reason="no")
    show_inquiry(inquiry(effect, answer=answer))
    out = capsys.readouterr().out
    assert "too long to be shown whole" in out
    assert "deny by owner" in out
    assert "podium approve" not in out


def test_a_line_is_cut_visibly() -> None:
    effect = effect_of("Bash", EffectKind.COMMAND, given={}, command="true " * 100)
    assert short_what(inquiry(effect), 40).endswith("…")
