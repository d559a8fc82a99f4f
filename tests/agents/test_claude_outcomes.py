"""How a run of the real Claude Code ends, for every way in which it can."""

from __future__ import annotations

import socket
import socketserver
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import pytest

from podium.kernel import events as e
from podium.kernel.nouns import Permissions, Reason
from tests.agents.driving import Bench, playing, shell

pytestmark = pytest.mark.timeout(900)  # the first test may have to install the CLI

RESETS = 1_795_900_000
PLAN_USED_UP = {
    "anthropic-ratelimit-unified-status": "rejected",
    "anthropic-ratelimit-unified-reset": str(RESETS),
    "anthropic-ratelimit-unified-representative-claim": "five_hour",
}
LOOK = {"tool": "read", "input": {"path": "a.txt"}}
HANG = shell(f"{sys.executable} -c 'import signal; signal.pause()'")
SUBSCRIBED = {"ANTHROPIC_API_KEY": "", "CLAUDE_CODE_OAUTH_TOKEN": "sk-ant-oat01-dummy"}


@dataclass(frozen=True)
class Row:
    reason: Reason
    turns: tuple[dict[str, Any], ...]
    detail: str = ""
    """Stands in the outcome's detail."""
    environ: dict[str, str] = field(default_factory=dict)
    """Empty: taken away."""
    options: dict[str, str] = field(default_factory=dict)
    words: tuple[str, ...] = ()
    """Options of the CLI that no agent can set."""
    at: type[e.RunFact] | None = None
    do: str = ""
    resets_at: int = 0
    exit_code: int = 1


def failing(status: int, **more: Any) -> tuple[dict[str, Any], ...]:
    return ({"fail": {"status": status, **more}},)


ROWS = {
    "success": Row(Reason.COMPLETED, ({"say": "Done."},), exit_code=0),
    "refused": Row(Reason.REFUSED, ({"say": "No.", "stop_reason": "refusal"},) * 2, "safeguards"),
    "refused without a word": Row(Reason.REFUSED, ({"stop_reason": "refusal"},), "safeguards"),
    "key refused": Row(Reason.AUTH_REQUIRED, failing(401), "/login"),
    "key without rights": Row(Reason.AUTH_REQUIRED, failing(403), "/login"),
    "no login": Row(
        Reason.AUTH_REQUIRED, ({"say": "x"},), "Not logged in", environ={"ANTHROPIC_API_KEY": ""}
    ),
    "plan used up": Row(
        Reason.RATE_LIMITED, failing(429, headers=PLAN_USED_UP), environ=SUBSCRIBED, resets_at=RESETS
    ),
    "rate limited": Row(Reason.RATE_LIMITED, failing(429)),
    "overloaded": Row(Reason.OVERLOADED, failing(529)),
    "overloaded in its stream": Row(
        Reason.OVERLOADED, failing(529, in_stream=True, error={"type": "overloaded_error"})
    ),
    "server error": Row(Reason.SERVER_ERROR, failing(500)),
    "server error in its stream": Row(Reason.SERVER_ERROR, failing(500, in_stream=True)),
    "credit gone": Row(
        Reason.BILLING, failing(400, message="Your credit balance is too low to access the API.")
    ),
    "bill unpaid": Row(Reason.BILLING, failing(402, error={"type": "billing_error"})),
    "model unknown": Row(Reason.MODEL_UNAVAILABLE, failing(404)),
    "request too large": Row(Reason.CONTEXT_OVERFLOW, failing(413)),
    "prompt too long": Row(
        Reason.CONTEXT_OVERFLOW,
        failing(400, message="prompt is too long: 210000 tokens > 200000 maximum"),
        "Prompt is too long",
    ),
    "answer too long": Row(Reason.CONTEXT_OVERFLOW, ({"say": "a", "stop_reason": "max_tokens"},) * 8),
    "window full": Row(
        Reason.CONTEXT_OVERFLOW, ({"say": "a", "stop_reason": "model_context_window_exceeded"},) * 8
    ),
    "request malformed": Row(Reason.AGENT_FAILED, failing(400)),
    "never answered": Row(Reason.NETWORK, ({"hang": True},), environ={"API_TIMEOUT_MS": "1000"}),
    "interrupted in a tool": Row(
        Reason.INTERRUPTED, ({"calls": [HANG]}, {"say": "Never."}), at=e.RunToolCalled, do="interrupt"
    ),
    "interrupted while it speaks": Row(
        Reason.INTERRUPTED,
        ({"think": "Hm.", "say": "Never.", "event_delay_ms": 1000},),
        at=e.RunThought,
        do="interrupt",
    ),
    "too many turns": Row(Reason.MAX_TURNS, ({"calls": [LOOK]},) * 3, options={"max_turns": "2"}),
    "budget spent": Row(Reason.BUDGET, ({"calls": [LOOK]},) * 3, words=("--max-budget-usd", "0.001")),
    "killed": Row(
        Reason.KILLED,
        ({"calls": [LOOK]}, {"delay_ms": 60_000}),
        at=e.RunToolReturned,
        do="kill",
        exit_code=-9,
    ),
    # As every process is when its machine shuts down: its task goes on afterwards.
    "told to end": Row(
        Reason.KILLED,
        ({"calls": [HANG]}, {"say": "Never."}),
        at=e.RunToolCalled,
        do="terminate",
        exit_code=143,
    ),
}


@pytest.mark.parametrize("case", ROWS)
def test_a_run_ends_for_the_reason_that_there_is(bench: Bench, case: str) -> None:
    row = ROWS[case]
    (bench.workspace / "a.txt").write_text("a\n")
    bench.environ |= {"IS_SANDBOX": "1", **row.environ}
    bench.environ = {name: value for name, value in bench.environ.items() if value}
    options = {**row.options, **({"program": wrapped(bench, row.words)} if row.words else {})}
    at = None if row.at is None else happens(row.at)
    ended = bench.run(playing(*row.turns), permissions=Permissions.FULL, options=options, at=at, do=row.do)
    outcome = ended.outcome
    assert outcome.reason is row.reason, outcome
    assert row.detail in outcome.detail
    assert outcome.succeeded is (row.reason is Reason.COMPLETED)
    assert outcome.lost is (row.reason is Reason.KILLED)
    assert outcome.exit_code == row.exit_code
    resets = datetime.fromtimestamp(row.resets_at, UTC) if row.resets_at else None
    assert outcome.resets_at == resets
    assert "Never." not in ended.said
    if row.turns[0].get("fail"):
        assert (ended.said, ended.notices[-1]) == ([], "api_error")


def happens(kind: type[e.RunFact]) -> Callable[[e.RunFact], bool]:
    return lambda fact: isinstance(fact, kind)


def wrapped(bench: Bench, words: tuple[str, ...]) -> str:
    """The program with more options."""
    path = bench.folder / "claude"
    path.write_text(f'#!/bin/sh\nexec "{bench.program}" "$@" {" ".join(words)}\n')
    path.chmod(0o755)
    return str(path)


def test_a_refused_connection_is_the_network(bench: Bench) -> None:
    with socket.socket() as reserved:
        reserved.bind(("127.0.0.1", 0))  # bound and not listening: refuses
        bench.environ["ANTHROPIC_BASE_URL"] = f"http://127.0.0.1:{reserved.getsockname()[1]}"
        ended = bench.run(playing({"say": "Never."}))
    assert ended.outcome.reason is Reason.NETWORK


@pytest.mark.parametrize("sent", [b"", b"HTTP/1.1 200 OK\r\ncontent-length: 1000\r\n\r\n{"])
def test_an_answer_that_breaks_off_is_the_network(bench: Bench, sent: bytes) -> None:
    with breaking_off(sent) as bench.environ["ANTHROPIC_BASE_URL"]:
        ended = bench.run(playing({"say": "Never."}))
    assert ended.outcome.reason is Reason.NETWORK, ended.outcome


@contextmanager
def breaking_off(sent: bytes) -> Iterator[str]:
    """A server that closes every connection in the middle of its answer."""

    class Half(socketserver.StreamRequestHandler):
        def handle(self) -> None:
            while self.rfile.readline().strip():
                pass
            self.wfile.write(sent)

    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), Half) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        try:
            yield f"http://127.0.0.1:{server.server_address[1]}"
        finally:
            server.shutdown()
