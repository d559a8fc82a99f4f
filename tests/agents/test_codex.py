"""Codex itself, through its harness, as an ordinary process."""

from __future__ import annotations

import json
import random
import socket
from typing import Any

import pytest

from podium.kernel import events as e
from podium.kernel.nouns import Reason
from tests.agents.codex_driving import CodexBench, Talk
from tests.agents.driving import playing, shell
from tests.support import eventually

pytestmark = pytest.mark.timeout(900)  # the first test may have to install the CLI

CLASSIC = "gpt-5.5"
"""A model that is offered a shell and `apply_patch` as tools of their own."""
EDIT = {"tool": "edit", "input": {"path": "add.py", "old": "    return a - b", "new": "    return a + b"}}
WAIT = shell("python3 -c 'import signal; signal.pause()'")


def write(path: str, text: str = "x\n") -> dict[str, Any]:
    return {"tool": "write", "input": {"path": path, "text": text}}


def in_a_workspace_of_its_own(codex: CodexBench, name: str) -> None:
    """As every task has one."""
    codex.workspace = codex.folder / name
    codex.workspace.mkdir()


def once(kind: type[e.RunFact], act: Any) -> Any:
    """Do something at the first event of a kind."""
    seen: list[e.RunFact] = []

    def do(fact: e.RunFact, talk: Talk) -> None:
        if isinstance(fact, kind) and not seen:
            seen.append(fact)
            act(talk)

    return do


@pytest.mark.parametrize("model", [CLASSIC, "", "some-model-of-mine"])
def test_a_run_reads_and_edits_a_file_and_tells_all_of_it(codex: CodexBench, model: str) -> None:
    (codex.workspace / "add.py").write_text("def add(a, b):\n    return a - b\n")
    reading = {"tool": "read", "input": {"path": "add.py"}}
    ended = codex.run(
        playing(
            {"think": "Look first.", "say": "Reading.", "calls": [reading]},
            {"calls": [EDIT]},
            {"say": "Mended."},
        ),
        model=model,
    )
    assert ended.outcome.succeeded, ended.outcome
    assert (codex.workspace / "add.py").read_text().endswith("a + b\n")
    assert ended.said == ["Reading.", "Mended."]
    assert [fact.text for fact in ended.of(e.RunThought)] == ["Look first."]
    called = [fact.call_id for fact in ended.of(e.RunToolCalled)]
    assert len(called) == 2
    assert [fact.call_id for fact in ended.of(e.RunToolReturned)] == called


def test_tokens_are_those_of_the_run_and_a_resumed_conversation_counts_only_what_is_new(
    codex: CodexBench,
) -> None:
    usage = {"input": 2000, "output": 100, "cache_read": 500}
    first = codex.run(playing({"say": "One.", "usage": usage}, {"say": "Two.", "usage": usage}))
    second = codex.run("Go on.", run="run_2", conversation_id=first.conversation, opening="next")
    assert (first.said, second.said) == (["One."], ["Two."])
    for ended in (first, second):
        told = ended.usage
        assert (told.input_tokens, told.output_tokens, told.cached_tokens) == (2000, 100, 500)
        assert told.cost_usd is None
    assert second.conversation == first.conversation


def test_a_fork_goes_on_under_an_id_of_its_own_and_counts_only_itself(codex: CodexBench) -> None:
    first = codex.run(playing({"say": "One."}, {"say": "Two."}))
    fork = codex.run("Go on.", run="run_2", conversation_id=first.conversation, opening="next", fork=True)
    again = codex.run("Go on.", run="run_3", conversation_id=first.conversation, opening="next")
    assert (fork.said, again.said) == (["Two."], ["Two."])
    assert fork.conversation != first.conversation == again.conversation
    assert fork.usage == again.usage == first.usage


def test_a_fork_that_a_lost_run_has_made_is_gone_on_with_even_if_its_name_was_never_told(
    codex: CodexBench,
) -> None:
    first = codex.run(playing({"say": "One."}), model=CLASSIC)
    going_on: dict[str, Any] = {"conversation_id": first.conversation, "fork": True}
    in_a_workspace_of_its_own(codex, "another")
    prompt = playing({"calls": [write("one.txt")]}, {"delay_ms": 3000, "say": "Both."})

    mark = '"custom_tool_call_output"'

    def kill(talk: Talk) -> None:
        # It writes its record a moment after it speaks; nothing tells us when.
        eventually(lambda: any(mark in path.read_text() for path in codex.keep.rglob("rollout-*")))
        talk.kill()

    killed = codex.run(
        prompt, run="run_2", opening="next", do=once(e.RunToolReturned, kill), model=CLASSIC, **going_on
    )
    again = codex.run(prompt, run="run_3", opening="again", model=CLASSIC, **going_on)
    assert (again.outcome.succeeded, again.said) == (True, ["Both."]), again.outcome
    assert again.conversation == again.plan.conversation_id == killed.conversation != first.conversation
    assert [fact.name for fact in again.of(e.RunToolCalled)] == [], "a finished call was made again"


def test_a_fork_that_was_never_made_is_made_by_the_next_run_and_hears_the_prompt_itself(
    codex: CodexBench,
) -> None:
    first = codex.run(playing({"say": "One."}, {"say": "Two."}))
    going_on: dict[str, Any] = {"conversation_id": first.conversation, "fork": True, "opening": "again"}
    # In the same workspace as its parent and another copy: neither is the copy of this one's task.
    codex.run("Go on.", conversation_id=first.conversation, opening="next", fork=True)
    in_a_workspace_of_its_own(codex, "another")
    fork = codex.run("Go on.", run="run_2", **going_on)
    assert fork.said == ["Two."]
    assert fork.conversation != first.conversation
    assert not any("You were interrupted" in path.read_text() for path in codex.keep.rglob("rollout-*"))
    in_a_workspace_of_its_own(codex, "third")
    assert codex.run("Go on.", run="run_3", **going_on).conversation not in (
        fork.conversation,
        first.conversation,
    )


def test_a_conversation_that_was_never_written_down_starts_afresh(codex: CodexBench) -> None:
    ended = codex.run(
        playing({"say": "From the start."}),
        conversation_id="01a220dc-9737-7c90-88bb-dc66a1c86ee0",
        opening="again",
    )
    assert ended.said == ["From the start."]


def test_after_a_sigkill_the_conversation_goes_on_where_it_stood(codex: CodexBench) -> None:
    prompt = playing(
        {"calls": [write("one.txt")]}, {"delay_ms": 3000, "calls": [write("two.txt")]}, {"say": "Both."}
    )
    killed = codex.run(prompt, do=once(e.RunUsed, lambda talk: talk.kill()), model=CLASSIC)
    assert killed.outcome.lost
    (codex.workspace / "one.txt").write_text("kept")
    resumed = codex.run(
        prompt, run="run_2", conversation_id=killed.conversation, opening="again", model=CLASSIC
    )
    assert resumed.outcome.succeeded, resumed.outcome
    assert resumed.said[-1:] == ["Both."]
    assert (codex.workspace / "one.txt").read_text() == "kept", "a finished call was made again"
    assert (codex.workspace / "two.txt").exists()


@pytest.mark.parametrize(
    ("fail", "reason"),
    [
        ({"status": 401}, Reason.AUTH_REQUIRED),
        ({"status": 404}, Reason.MODEL_UNAVAILABLE),
        ({"status": 429}, Reason.RATE_LIMITED),
        ({"status": 402}, Reason.BILLING),
        ({"status": 500}, Reason.SERVER_ERROR),
        ({"status": 529}, Reason.OVERLOADED),
        ({"status": 503, "error": {"code": "server_is_overloaded"}}, Reason.OVERLOADED),
        ({"status": 400, "error": {"code": "context_length_exceeded"}}, Reason.CONTEXT_OVERFLOW),
        ({"status": 400, "in_stream": True, "error": {"code": "cyber_policy"}}, Reason.REFUSED),
        ({"status": 429, "in_stream": True, "error": {"code": "rate_limit_exceeded"}}, Reason.RATE_LIMITED),
    ],
)
def test_an_error_of_the_model_is_told_by_its_kind(codex: CodexBench, fail: Any, reason: Reason) -> None:
    ended = codex.run(playing({"fail": fail}))
    assert not ended.outcome.succeeded
    assert ended.outcome.reason is reason, ended.outcome
    assert not ended.outcome.lost
    assert ended.said == []
    assert ended.notices[-1] == "api_error"


def test_a_used_up_limit_says_when_it_ends(codex: CodexBench) -> None:
    headers = {
        "x-codex-primary-used-percent": "100",
        "x-codex-primary-window-minutes": "300",
        "x-codex-primary-reset-at": "1795900000",
    }
    error = {"type": "usage_limit_reached", "plan_type": "pro", "resets_at": 1795900000}
    ended = codex.run(playing({"fail": {"status": 429, "error": error, "headers": headers}}))
    assert ended.outcome.reason is Reason.RATE_LIMITED
    assert ended.outcome.resets_at is not None
    assert int(ended.outcome.resets_at.timestamp()) == 1795900000


def test_a_failure_that_passes_is_a_notice_and_no_more(codex: CodexBench) -> None:
    ended = codex.run(playing({"fail": {"status": 500, "times": 1}, "say": "At last."}))
    assert ended.outcome.succeeded, ended.outcome
    assert ended.said == ["At last."]


def test_a_cut_stream_is_the_network(codex: CodexBench) -> None:
    assert codex.run(playing({"say": "abcdef", "cut_after": 3})).outcome.reason is Reason.NETWORK


def test_a_refused_connection_is_waited_for_and_told(codex: CodexBench) -> None:
    """It tries again without end: the limits of the run end it."""
    with socket.socket() as reserved:
        reserved.bind(("127.0.0.1", 0))  # bound and not listening: refuses
        config = codex.user / "config.toml"
        config.write_text(
            config.read_text().replace(codex.url, f"http://127.0.0.1:{reserved.getsockname()[1]}")
        )

        def act(fact: e.RunFact, talk: Talk) -> None:
            if isinstance(fact, e.RunNoticed) and fact.kind == "api_retry":
                talk.interrupt()

        ended = codex.run(playing({"say": "Never."}), do=act)
    assert ended.outcome.reason is Reason.INTERRUPTED


def test_an_answer_has_the_shape_that_was_asked_for(codex: CodexBench) -> None:
    schema = {
        "type": "object",
        "properties": {"sum": {"type": "integer"}},
        "required": ["sum"],
        "additionalProperties": False,
    }
    ended = codex.run(playing({"say": '{"sum": 3}'}), output_schema=schema)
    assert json.loads(json.dumps(ended.outcome.structured)) == {"sum": 3}


def test_a_prompt_of_a_million_bytes_arrives(codex: CodexBench) -> None:
    noise = random.Random(0).randbytes(500_000).hex()
    assert codex.run(playing({"say": "Read."}, words=noise)).said == ["Read."]


def test_a_task_that_begins_with_a_slash_is_no_command_of_the_cli(codex: CodexBench) -> None:
    assert codex.run(playing({"say": "Played."}, words="/compact")).said == ["Played."]


def test_the_cli_writes_only_where_it_was_told(codex: CodexBench) -> None:
    codex.run(playing({"say": "Clean."}))
    assert [path.name for path in codex.workspace.iterdir()] == [".git"]
    assert [path.name for path in codex.user.iterdir()] == ["config.toml"]
