"""How a run of the real Codex ends: the ways that `test_codex` does not try."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest

from podium.kernel import events as e
from podium.kernel.nouns import Permissions, Reason
from tests.agents.codex_driving import CodexBench, Talk
from tests.agents.driving import playing, shell

pytestmark = pytest.mark.timeout(900)  # the first test may have to install the CLI

HANG = shell("python3 -c 'import signal; signal.pause()'")
OUT_OF_CREDITS = {"x-codex-rate-limit-reached-type": "workspace_member_credits_depleted"}


@dataclass(frozen=True)
class Row:
    reason: Reason
    turn: dict[str, Any]
    at: type[e.RunFact] | None = None
    do: Callable[[Talk], None] | None = None
    exit_code: int = 0


def failing(status: int, code: str = "", **more: Any) -> dict[str, Any]:
    """`code`: the error comes in the stream of an answer that had begun."""
    told = {"in_stream": True, "error": {"code": code}} if code else {}
    return {"fail": {"status": status, **told, **more}}


ROWS = {
    "success": Row(Reason.COMPLETED, {"say": "Done."}),
    "key without rights": Row(Reason.AUTH_REQUIRED, failing(403)),
    "limit without an end": Row(
        Reason.RATE_LIMITED, failing(429, error={"type": "usage_limit_reached", "plan_type": "pro"})
    ),
    "credits gone": Row(
        Reason.BILLING, failing(429, error={"type": "usage_limit_reached"}, headers=OUT_OF_CREDITS)
    ),
    "overloaded in its stream": Row(Reason.OVERLOADED, failing(503, "server_is_overloaded")),
    "model unknown in its stream": Row(Reason.MODEL_UNAVAILABLE, failing(404, "model_not_found")),
    "window full in its stream": Row(Reason.CONTEXT_OVERFLOW, failing(400, "context_length_exceeded")),
    "request too large": Row(Reason.CONTEXT_OVERFLOW, failing(413)),
    "request malformed": Row(Reason.AGENT_FAILED, failing(400)),
    "interrupted while it speaks": Row(
        Reason.INTERRUPTED,
        {"think": "Hm.", "say": "Never.", "event_delay_ms": 1000},
        at=e.RunThought,
        do=lambda talk: talk.interrupt(),
    ),
    "killed": Row(
        Reason.KILLED, {"calls": [HANG]}, at=e.RunToolCalled, do=lambda talk: talk.kill(), exit_code=-9
    ),
    # As every process is when its machine shuts down: its task goes on afterwards.
    "told to end": Row(
        Reason.KILLED, {"calls": [HANG]}, at=e.RunToolCalled, do=lambda talk: talk.terminate()
    ),
}


@pytest.mark.parametrize("case", ROWS)
def test_a_run_ends_for_the_reason_that_there_is(codex: CodexBench, case: str) -> None:
    row = ROWS[case]

    def act(fact: e.RunFact, talk: Talk) -> None:
        if row.at is not None and row.do is not None and isinstance(fact, row.at):
            row.do(talk)

    ended = codex.run(playing(row.turn), permissions=Permissions.FULL, do=act)
    outcome = ended.outcome
    assert outcome.reason is row.reason, outcome
    assert outcome.succeeded is (row.reason is Reason.COMPLETED)
    assert outcome.lost is (row.reason is Reason.KILLED)
    assert outcome.exit_code == row.exit_code
    assert outcome.resets_at is None
    assert "Never." not in ended.said
    if row.turn.get("fail"):
        assert (ended.said, ended.notices[-1]) == ([], "api_error")
