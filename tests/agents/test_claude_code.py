"""Claude Code itself, through its harness, as an ordinary process."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from podium.kernel import events as e
from podium.kernel.nouns import Permissions, Reason
from tests.agents.driving import Bench, playing, shell

pytestmark = pytest.mark.timeout(900)  # the first test may have to install the CLI

UNITTEST = ("python3", "-m", "unittest")


def test_a_run_reads_and_edits_a_file_and_tells_all_of_it(bench: Bench) -> None:
    (bench.workspace / "add.py").write_text("def add(a, b):\n    return a - b\n")
    ended = bench.run(
        playing(
            {
                "think": "Look first.",
                "say": "Reading.",
                "calls": [{"tool": "read", "input": {"path": "add.py"}}],
            },
            {"calls": [{"tool": "edit", "input": {"path": "add.py", "old": "a - b", "new": "a + b"}}]},
            {"say": "Mended."},
        )
    )
    assert ended.outcome.succeeded
    assert (bench.workspace / "add.py").read_text().endswith("a + b\n")
    told = [type(fact).__name__ for fact in ended.facts if not isinstance(fact, e.RunNoticed)]
    assert told == [
        *("RunSessionKnown", "RunThought", "RunSaid", "RunToolCalled", "RunToolReturned"),
        *("RunToolCalled", "RunToolReturned", "RunSaid", "RunUsed"),
    ]
    assert ended.said == ["Reading.", "Mended."]


def test_tokens_and_cost_are_those_of_the_run(bench: Bench) -> None:
    ended = bench.run(playing({"say": "One.", "usage": {"input": 2000, "output": 100, "cache_read": 500}}))
    assert (ended.usage.input_tokens, ended.usage.output_tokens, ended.usage.cached_tokens) == (
        2000,
        100,
        500,
    )
    assert ended.usage.cost_usd is not None
    assert ended.usage.cost_usd > 0


def test_a_resumed_conversation_costs_only_what_is_new(bench: Bench) -> None:
    first = bench.run(playing({"say": "One."}))
    second = bench.run(playing({"say": "Two."}), run="run_2", session=first.plan.conversation_id)
    assert second.said == ["Two."]
    assert f"--resume={first.plan.conversation_id}" in second.plan.argv
    assert second.usage.cost_usd == pytest.approx(first.usage.cost_usd)
    assert second.usage.input_tokens == first.usage.input_tokens


def test_the_check_command_of_the_task_may_run(bench: Bench) -> None:
    checks = [UNITTEST, ("python3", "-m", "unittest", "-k", "a, b")]
    ended = bench.run(
        playing(
            {"calls": [shell("python3 -m unittest"), shell("python3 -m unittest -k 'a, b'")]}, {"say": "Run."}
        ),
        checks=checks,
    )
    assert "permission_denied" not in ended.notices
    assert all("Ran 0 tests" in fact.output for fact in ended.of(e.RunToolReturned))


@pytest.mark.parametrize(
    "command",
    [
        'python3 -c \'open("made", "w")\'',
        'python3 -m unittest; python3 -c \'open("made", "w")\'',
        'python3 -m unittest && python3 -c \'open("made", "w")\'',
        'python3 -m unittest $(python3 -c \'open("made", "w")\')',
    ],
)
def test_another_command_is_denied_also_behind_a_check(bench: Bench, command: str) -> None:
    ended = bench.run(playing({"calls": [shell(command)]}, {"say": "Denied."}), checks=[UNITTEST])
    assert ended.outcome.succeeded
    assert [fact.effect.command for fact in ended.of(e.RunAsked)] == [command]
    assert [fact.is_error for fact in ended.of(e.RunToolReturned)] == [True]
    assert not (bench.workspace / "made").exists()


def test_a_file_outside_the_workspace_is_not_written(bench: Bench) -> None:
    outside = bench.folder / "outside.txt"
    ended = bench.run(
        playing({"calls": [{"tool": "write", "input": {"path": str(outside), "text": "x"}}]}, {"say": "No."})
    )
    assert [fact.effect.paths for fact in ended.of(e.RunAsked)] == [(str(outside),)]
    assert not outside.exists()


def test_full_permissions_run_any_command(bench: Bench) -> None:
    bench.environ["IS_SANDBOX"] = "1"  # or it refuses to start as root
    ended = bench.run(
        playing({"calls": [shell('python3 -c \'open("made", "w")\'')]}, {"say": "Made."}),
        permissions=Permissions.FULL,
    )
    assert ended.outcome.succeeded, ended.outcome
    assert (bench.workspace / "made").exists()


def test_settings_and_hooks_of_the_user_and_the_repository_are_off(bench: Bench) -> None:
    hook = '{"hooks": {"SessionStart": [{"hooks": [{"type": "command", "command": "touch %s"}]}]}}'
    marks = []
    for name, folder in (("user", bench.folder / "config"), ("project", bench.workspace / ".claude")):
        folder.mkdir()
        marks.append(bench.folder / f"{name}-hook-ran")
        (folder / "settings.json").write_text(hook % marks[-1])
    (bench.workspace / ".mcp.json").write_text('{"mcpServers": {"x": {"command": "touch", "args": ["mcp"]}}}')
    ended = bench.run(playing({"say": "Quiet."}))
    assert ended.outcome.succeeded
    assert [mark for mark in [*marks, bench.workspace / "mcp"] if mark.exists()] == []


def test_a_failure_that_passes_is_a_notice_and_no_more(bench: Bench) -> None:
    ended = bench.run(playing({"fail": {"status": 529, "times": 1}, "say": "At last."}))
    assert ended.outcome.succeeded
    assert ended.notices == ["api_retry"]
    assert ended.said == ["At last."]


def test_after_a_sigkill_the_conversation_goes_on_where_it_stood(bench: Bench) -> None:
    prompt = playing(
        {"calls": [{"tool": "write", "input": {"path": "one.txt", "text": "1"}}]},
        {"delay_ms": 3000, "calls": [{"tool": "write", "input": {"path": "two.txt", "text": "2"}}]},
        {"say": "Both."},
    )
    killed = bench.run(
        prompt,
        at=lambda fact: isinstance(fact, e.RunToolReturned),
        do="kill",
    )
    assert killed.outcome.lost
    assert killed.outcome.reason is Reason.KILLED
    (bench.workspace / "one.txt").write_text("kept")
    resumed = bench.run(prompt, run="run_2", session=killed.plan.conversation_id)
    assert resumed.outcome.succeeded
    assert resumed.said[-1:] == ["Both."]
    assert (bench.workspace / "one.txt").read_text() == "kept", "a finished call was made again"
    assert (bench.workspace / "two.txt").exists()


def test_a_conversation_that_was_never_written_down_starts_afresh(bench: Bench) -> None:
    lost = "5f3f2d6e-7a53-4d0c-9a43-1d6b4b1c2a11"
    ended = bench.run(playing({"say": "From the start."}), session=lost)
    assert ended.outcome.succeeded, ended.outcome
    assert ended.plan.conversation_id == lost


@pytest.mark.parametrize("lines", [0, 0.5, 1, 2, 2.5])
def test_a_conversation_of_which_no_word_was_written_down_starts_afresh(bench: Bench, lines: float) -> None:
    """Its first lines say that a message came in; the message itself is the third."""
    prompt = playing({"say": "From the start."})
    first = bench.run(prompt)
    [record] = (bench.folder / "config").glob("projects/*/*.jsonl")
    whole = record.read_bytes().splitlines(keepends=True)
    torn = whole[int(lines)][: 40 if lines % 1 else 0]
    record.write_bytes(b"".join(whole[: int(lines)]) + torn)
    for run in ("run_golden", "run_2"):
        ended = bench.run(prompt, run=run, session=first.plan.conversation_id)
        assert ended.outcome.succeeded, ended.outcome
        assert ended.said == ["From the start."]
        assert ended.plan.conversation_id != first.plan.conversation_id


def test_the_same_run_started_twice_resumes_its_own_conversation(bench: Bench) -> None:
    prompt = playing({"say": "One."}, {"say": "Two."})
    first, second = bench.run(prompt), bench.run(prompt)
    assert first.plan.conversation_id == second.plan.conversation_id
    assert second.outcome.succeeded, second.outcome
    assert second.said == ["Two."]


def test_a_subagent_is_counted_and_its_calls_are_seen(bench: Bench) -> None:
    (bench.workspace / "a.txt").write_text("a\n")
    inner = playing({"calls": [{"tool": "read", "input": {"path": "a.txt"}}]}, {"say": "Seen."})
    prompt = playing(
        {"calls": [{"tool": "agent", "input": {"prompt": inner.replace("```", "~~~")}}]}, {"say": "Done."}
    )
    ended = bench.run(prompt)
    assert [fact.name for fact in ended.of(e.RunToolCalled)] == ["Agent", "Read"]
    said = [(fact.text, bool(fact.under)) for fact in ended.of(e.RunSaid)]
    # It works in the background: its end gives the agent a second turn, and the run a second result.
    assert said == [("Done.", False), ("Seen.", True), ("The script is over.", False)]
    assert len(ended.of(e.RunUsed)) == 2
    assert ended.usage.output_tokens == 250


def test_a_secret_stands_in_no_argument(bench: Bench) -> None:
    bench.environ["ANTHROPIC_API_KEY"] = "sk-ant-very-secret"
    ended = bench.run(playing({"say": "Hush."}), instructions="--dangerous")
    assert ended.outcome.succeeded
    assert not any("very-secret" in word for word in ended.plan.argv)
    assert not any("very-secret" in frame.decode() for frame in ended.frames)


def test_the_cli_writes_only_where_it_was_told(bench: Bench) -> None:
    bench.run(playing({"say": "Clean."}))
    assert list(bench.workspace.iterdir()) == []
    assert [
        path for path in Path(bench.environ["HOME"]).iterdir() if path.name not in (".cache", ".local")
    ] == []


@pytest.mark.parametrize("words", ["/clear", "/compact", "/help me", "/etc/hosts is wrong"])
def test_a_task_that_begins_with_a_slash_is_no_command_of_the_cli(bench: Bench, words: str) -> None:
    assert bench.run(playing({"say": "Played."}, words=words)).said == ["Played."]


def test_a_prompt_of_a_million_bytes_arrives(bench: Bench) -> None:
    assert bench.run(playing({"say": "Read."}, words="y" * 1_000_000)).said == ["Read."]


@pytest.mark.skipif(os.geteuid() != 0, reason="it refuses root only")
def test_a_refusal_to_start_is_told_in_its_own_words(bench: Bench) -> None:
    ended = bench.run(playing({"say": "Never."}), permissions=Permissions.FULL)
    assert ended.outcome.reason is Reason.NO_RESULT
    assert "root" in ended.outcome.detail
