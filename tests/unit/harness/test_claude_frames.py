"""Single frames of Claude Code that no golden holds: rare errors, several results, an older version."""

from __future__ import annotations

import json
from typing import Any

import pytest

from podium.harness.base import About, Exit, Frame, Said
from podium.harness.claude_code import ClaudeCode
from podium.kernel import events as e
from podium.kernel.ids import MessageId, RunId, TaskId
from podium.kernel.nouns import Outcome, Reason, Usage
from podium.kernel.session import Mode

ABOUT = About(task_id=TaskId("task_1"), run_id=RunId("run_1"))


def read(*frames: dict[str, Any]) -> tuple[Outcome, list[Any]]:
    harness = ClaudeCode(ABOUT)
    state, facts = harness.begin(), []
    for frame in frames:
        state, more = harness.decode(state, Frame(data=json.dumps(frame).encode()))
        facts.extend(more)
    return harness.outcome(state, Exit(code=1)), facts


def failed(**fields: Any) -> dict[str, Any]:
    return {
        "type": "result",
        "subtype": "success",
        "is_error": True,
        "terminal_reason": "api_error",
        **fields,
    }


def api_error(**fields: Any) -> dict[str, Any]:
    content = [{"type": "text", "text": "API Error"}]
    return {"type": "assistant", "is_api_error_message": True, "message": {"content": content}, **fields}


def said(text: str, **fields: Any) -> dict[str, Any]:
    return {"type": "assistant", "message": {"content": [{"type": "text", "text": text}]}, **fields}


@pytest.mark.parametrize(
    ("error", "status", "reason"),
    [
        ("billing_error", 400, Reason.BILLING),
        ("unknown", 402, Reason.BILLING),
        ("server_error", 529, Reason.OVERLOADED),
        ("server_error", 503, Reason.SERVER_ERROR),
        ("server_error", None, Reason.NETWORK),
        ("unknown", None, Reason.NETWORK),
        ("rate_limit", 429, Reason.RATE_LIMITED),
        ("authentication_failed", None, Reason.AUTH_REQUIRED),
        ("invalid_request", 400, Reason.AGENT_FAILED),
        ("invalid_request", None, Reason.AGENT_FAILED),
        ("something_new", None, Reason.NETWORK),
        ("something_new", 413, Reason.CONTEXT_OVERFLOW),
    ],
)
def test_an_error_is_judged_by_status_and_class(error: str, status: int | None, reason: Reason) -> None:
    outcome, _ = read(api_error(error=error, api_error_status=status), failed(api_error_status=status))
    assert outcome.reason is reason
    assert not outcome.succeeded


@pytest.mark.parametrize(
    ("terminal", "reason"),
    [
        ("max_turns", Reason.MAX_TURNS),
        ("budget_exhausted", Reason.BUDGET),
        ("prompt_too_long", Reason.CONTEXT_OVERFLOW),
        ("aborted_tools", Reason.INTERRUPTED),
        ("aborted_streaming", Reason.INTERRUPTED),
    ],
)
def test_the_terminal_reason_comes_before_any_error(terminal: str, reason: Reason) -> None:
    outcome, _ = read(api_error(error="rate_limit", api_error_status=429), failed(terminal_reason=terminal))
    assert outcome.reason is reason


def test_a_refusal_of_the_model_is_no_matter_of_the_network() -> None:
    outcome, _ = read(api_error(error="invalid_request"), failed(stop_reason="refusal", result="No."))
    assert (outcome.reason, outcome.detail) == (Reason.REFUSED, "No.")


def test_an_error_that_was_overcome_does_not_colour_a_later_failure() -> None:
    frames = (api_error(error="rate_limit", api_error_status=429), said("on"), failed(terminal_reason="odd"))
    outcome, _ = read(*frames)
    assert outcome.reason is Reason.AGENT_FAILED


def test_the_last_of_several_results_decides() -> None:
    good = {"type": "result", "is_error": False, "result": "done", "terminal_reason": "completed"}
    outcome, _ = read(failed(api_error_status=500), good)
    assert outcome.succeeded


def test_the_final_text_is_told_once() -> None:
    result = {"type": "result", "is_error": False, "result": "All done.", "terminal_reason": "completed"}
    _, facts = read(said("All done."), result)
    assert [fact.text for fact in facts if isinstance(fact, e.RunSaid)] == ["All done."]
    _, facts = read(said("Something else."), result)
    assert [(f.text, f.final) for f in facts if isinstance(f, e.RunSaid)][-1] == ("All done.", True)


def test_usage_counts_every_model_since_the_last_result() -> None:
    since = {
        "big": {"inputTokens": 10, "outputTokens": 2, "cacheReadInputTokens": 5, "costUSD": 0.5},
        "small": {"inputTokens": 1, "outputTokens": 1, "cacheCreationInputTokens": 4, "costUSD": 0.25},
    }
    _, facts = read({"type": "result", "is_error": False, "model_usage_since_last_result": since})
    assert facts[0].usage == Usage(input_tokens=15, output_tokens=3, cached_tokens=5, cost_usd=0.75)


def test_a_model_without_a_price_makes_the_cost_unknown_not_zero() -> None:
    since = {"priced": {"costUSD": 0.5}, "unpriced": {"inputTokens": 3}}
    _, facts = read({"type": "result", "is_error": False, "model_usage_since_last_result": since})
    assert facts[0].usage.cost_usd is None


def test_without_figures_since_the_last_result_the_cost_is_the_difference_of_totals() -> None:
    totals = (0.5, 0.75, 0.75)
    _, facts = read(*({"type": "result", "is_error": False, "total_cost_usd": total} for total in totals))
    assert [fact.usage.cost_usd for fact in facts] == [None, 0.25, 0.0]


def test_what_a_subagent_says_is_not_said_by_the_agent() -> None:
    _, facts = read(said("I am the helper.", parent_tool_use_id="toolu_1"))
    assert [(type(fact), fact.text, fact.under) for fact in facts] == [
        (e.RunSaid, "I am the helper.", "toolu_1")
    ]


def test_a_session_id_that_is_no_uuid_is_not_taken_up() -> None:
    _, facts = read({"type": "system", "subtype": "init", "session_id": "--resume"})
    assert facts == []


def test_half_a_character_of_javascript_loses_only_itself() -> None:
    harness = ClaudeCode(ABOUT)
    line = b'{"type":"assistant","message":{"content":[{"type":"text","text":"half \\ud83d and on"}]}}'
    _, facts = harness.decode(harness.begin(), Frame(data=line))
    assert [fact.text for fact in facts] == ["half ? and on"]


def test_compaction_and_new_kinds_of_frames_are_notices() -> None:
    _, facts = read({"type": "system", "subtype": "compact_boundary"}, {"type": "brand_new"})
    assert [fact.kind for fact in facts] == ["compact_boundary", "unknown_frame"]


@pytest.mark.parametrize(
    ("response", "receipts"),
    [
        ({"subtype": "success"}, [e.MessageStarted, e.MessageCompleted]),
        ({"subtype": "error", "error": "no such model"}, [e.MessageUndelivered]),
    ],
)
def test_a_model_is_set_once_the_program_says_so(
    response: dict[str, str], receipts: list[type[e.RunFact]]
) -> None:
    harness, message = ClaudeCode(ABOUT), MessageId("message_" + "0" * 26)
    state = harness.begin()
    (line,) = harness.say(state, Said(id=message, text="opus", mode=Mode.MODEL), ()) or ()
    asked = json.loads(line.data)
    assert asked["request"] == {"subtype": "set_model", "model": "opus"}
    assert harness.key_of(line.data) == line.key == message
    answer = {"type": "control_response", "response": {"request_id": asked["request_id"], **response}}
    state, facts = harness.decode(state, Frame(data=json.dumps(answer).encode()))
    assert [type(fact) for fact in facts] == receipts
    assert getattr(facts[0], "why", "no such model") == "no such model"
    assert state.done == (message,)
