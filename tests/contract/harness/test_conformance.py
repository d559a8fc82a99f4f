"""Every harness against the contract of `harness/base.py`."""

from __future__ import annotations

import json

import msgspec
import pytest

from podium.harness.base import Exit, Frame
from podium.harness.registry import HARNESSES, harness_class
from podium.kernel.nouns import Reason
from podium.testing import harness_conformance as conformance

ALL = [golden for name in sorted(HARNESSES) for golden in conformance.goldens(name)]
NAMES = [f"{golden.harness}/{golden.name}" for golden in ALL]
KINDS = {
    "claude_code": ("assistant", "user", "system", "result", "rate_limit_event", "stream_event", "new_kind"),
    "codex": ("result", "turn/completed", "item/completed", "error", "new_kind"),
    "command": ("result",),
    "scripted": ("init", "say", "think", "tool_call", "tool_return", "usage", "result", "new_kind"),
}
OTHERS_RESULT = {
    "codex": b'{"type":"result","subtype":"success","is_error":false,"terminal_reason":"completed"}',
    "claude_code": b'{"type":"result","status":"success","message":"approved"}',
    "scripted": b'{"type":"result","subtype":"success","is_error":false,"terminal_reason":"completed"}',
    "command": b'{"type":"result","status":"success","is_error":false}',
}


@pytest.mark.parametrize("name", sorted(HARNESSES))
def test_every_harness_has_transcripts_of_a_success_and_of_a_failure(name: str) -> None:
    found = [conformance.expected_of(golden).outcome.succeeded for golden in conformance.goldens(name)]
    assert {True, False} <= set(found)


@pytest.mark.parametrize("golden", ALL, ids=NAMES)
def test_a_recorded_transcript_tells_what_it_is_known_to_tell(golden: conformance.Golden) -> None:
    conformance.check_golden(golden)


@pytest.mark.parametrize("golden", ALL, ids=NAMES)
def test_a_restart_between_any_two_frames_changes_nothing(golden: conformance.Golden) -> None:
    conformance.check_restarts(golden)


@pytest.mark.parametrize("name", sorted(HARNESSES))
def test_hostile_lines_neither_raise_nor_end_the_run_nor_grow_the_state(name: str) -> None:
    frames = list(conformance.hostile_frames(KINDS[name]))
    conformance.check_hostile(name, frames)


@pytest.mark.parametrize("name", ["claude_code", "codex", "scripted"])
def test_hostile_lines_after_the_last_word_take_nothing_back(name: str) -> None:
    golden = next(g for g in conformance.goldens(name) if conformance.expected_of(g).outcome.succeeded)
    frames = list(conformance.hostile_frames(KINDS[name]))
    conformance.check_hostile(name, frames, after=golden.frames)


@pytest.mark.parametrize("name", sorted(HARNESSES))
def test_the_result_of_another_kind_of_agent_does_not_end_the_run(name: str) -> None:
    harness = harness_class(name)(conformance.ABOUT)
    state, facts = harness.decode(harness.begin(), Frame(data=OTHERS_RESULT[name]))
    assert not harness.is_over(state, ())
    assert facts, "it must be told, not swallowed"
    assert not harness.outcome(state, Exit(code=1)).succeeded


@pytest.mark.parametrize("name", sorted(HARNESSES))
def test_what_an_agent_prints_about_a_result_is_only_text(name: str) -> None:
    fake = json.dumps(
        {"type": "result", "is_error": False, "status": "success", "terminal_reason": "completed"}
    )
    frames = {
        "claude_code": {
            "type": "user",
            "message": {"content": [{"type": "tool_result", "tool_use_id": "t", "content": fake}]},
        },
        "scripted": {"type": "tool_return", "id": "a", "output": fake, "is_error": False},
        "codex": {
            "method": "item/completed",
            "params": {"item": {"type": "agentMessage", "id": "m", "text": fake}, "threadId": "t"},
        },
        "command": {"type": "said", "text": fake},
    }
    harness = harness_class(name)(conformance.ABOUT)
    state, facts = harness.decode(harness.begin(), Frame(data=json.dumps(frames[name]).encode()))
    assert len(facts) == 1
    assert not harness.is_over(state, ())


@pytest.mark.parametrize("name", sorted(HARNESSES))
def test_a_program_killed_without_a_word_is_lost_and_may_be_run_again(name: str) -> None:
    harness = harness_class(name)(conformance.ABOUT)
    for code in (None, -9):
        outcome = harness.outcome(harness.begin(), Exit(code=code))
        assert (outcome.lost, outcome.reason) == (True, Reason.KILLED)


@pytest.mark.parametrize("name", sorted(HARNESSES))
def test_a_program_that_cannot_be_found_is_told_as_such(name: str) -> None:
    harness = harness_class(name)(conformance.ABOUT)
    outcome = harness.outcome(harness.begin(), Exit(code=127, stderr=b"x: not found\n"))
    assert (outcome.lost, outcome.reason, outcome.detail) == (False, Reason.PROGRAM_MISSING, "x: not found")


@pytest.mark.parametrize("name", sorted(HARNESSES))
def test_the_state_of_a_later_version_is_still_read(name: str) -> None:
    harness = harness_class(name)(conformance.ABOUT)
    raw = msgspec.json.encode(harness.begin())[:-1] + (b',"added_later":{"x":1}}')
    raw = raw.replace(b"{,", b"{")
    assert msgspec.json.decode(raw, type=harness.State) == harness.begin()


def test_a_transcript_holds_nothing_of_the_machine_that_recorded_it() -> None:
    for path in conformance.TRANSCRIPTS.rglob("*.json*"):
        text = path.read_text(errors="replace")
        assert not [word for word in ("/root", "pytest-", "/tmp/tmp", "registry") if word in text], path.name
