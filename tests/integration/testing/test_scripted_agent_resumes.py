"""The scripted agent stops when stdin does, obeys an interrupt, and goes on where its journal ends."""

from __future__ import annotations

import json
import os
import sys
from typing import Any

import pytest

from .conftest import Bench

ONE = {"id": "one", "do": "say", "text": "1"}
TWO = {"id": "two", "do": "say", "text": "2"}
HANG = {"id": "stuck", "do": "hang"}
SLEEPER = [sys.executable, "-c", "import signal; open('up', 'w').close(); signal.pause()"]


def gate(bench: Bench) -> dict[str, Any]:
    """A step that goes on when the test says so."""
    return {"id": "gate", "do": "wait", "file": str(bench.folder / "open")}


def test_at_the_end_of_stdin_it_finishes_its_step_and_leaves_without_a_result(bench: Bench) -> None:
    program = [sys.executable, "-c", "open('up', 'w').close(); open('go').read(); print('done')"]
    os.mkfifo(bench.workspace / "go")
    agent = bench.start({"id": "work", "do": "run", "argv": program}, TWO)
    agent.read_until("tool_call")
    assert agent.process.stdin is not None
    agent.process.stdin.close()
    (bench.workspace / "go").write_text("")  # returns when the program has opened it
    code, frames = agent.finish()
    assert code == 75
    assert [frame["type"] for frame in frames] == ["tool_return"]
    assert frames[0]["output"] == "done\nexit code 0"
    assert bench.phases() == ["work begin", "work end"]


def test_started_again_it_goes_on_after_the_last_step_that_ended(bench: Bench) -> None:
    agent = bench.start(ONE, gate(bench), TWO)
    agent.read_until("tool_call")
    assert agent.finish(close_stdin=True) == (75, [])
    (bench.folder / "open").touch()
    code, frames = bench.play()
    assert code == 0
    assert frames[0] == {"type": "init", "session": "session_1", "resumed_after": "one"}
    assert [frame["type"] for frame in frames[1:-1]] == ["tool_call", "tool_return", "say"]
    assert bench.phases() == [
        "one begin",
        "one end",
        "gate begin",
        "gate begin",
        "gate end",
        "two begin",
        "two end",
    ]


def test_a_session_that_was_done_says_its_result_again_and_does_nothing(bench: Bench) -> None:
    bench.play(ONE)
    code, frames = bench.play()
    assert code == 0
    assert [frame["type"] for frame in frames] == ["init", "result"]
    assert bench.phases() == ["one begin", "one end"]


def test_a_killed_agent_goes_on_too(bench: Bench) -> None:
    agent = bench.start(ONE, HANG, TWO)
    agent.read_until("tool_call")
    agent.process.kill()
    agent.process.wait()
    again = bench.start(ONE, {"id": "stuck", "do": "say", "text": "free"}, TWO)
    code, frames = again.finish()
    assert code == 0
    assert [frame["text"] for frame in frames if frame["type"] == "say"] == ["free", "2"]


def test_a_commit_that_was_made_is_not_made_again(repository: Bench) -> None:
    steps = (
        {"id": "e", "do": "edit", "path": "a", "write": "1"},
        {"id": "c", "do": "commit", "message": "one"},
        {"id": "e2", "do": "edit", "path": "a", "write": "2"},
    )
    repository.play(*steps)
    for step in ("c", "e2"):
        repository.forget_end(step)
    code, frames = repository.play()
    assert code == 0
    outputs = [frame["output"] for frame in frames if frame["type"] == "tool_return"]
    assert outputs == ["already committed", "already so"]
    assert repository.subjects() == ["one", "base"]


def test_a_commit_of_another_session_with_the_same_step_proves_nothing(repository: Bench) -> None:
    repository.play(
        {"id": "e", "do": "edit", "path": "a", "write": "1"}, {"id": "c", "do": "commit", "message": "m"}
    )
    repository.journal.unlink()
    begun = {"session": "session_2", "step": "c", "phase": "begin"}
    repository.journal.with_name("session_2.jsonl").write_text(json.dumps(begun) + "\n")
    repository.SESSION = "session_2"  # type: ignore[misc]
    (repository.workspace / "b").write_text("new")
    repository.play({"id": "c", "do": "commit", "message": "mine"})
    assert repository.subjects() == ["mine", "m", "base"]


def test_a_commit_killed_in_git_is_made_by_the_next_start(repository: Bench) -> None:
    repository.play(
        {"id": "e", "do": "edit", "path": "a", "write": "1"}, {"id": "w", "do": "say", "text": ""}
    )
    with repository.journal.open("a") as journal:
        journal.write(json.dumps({"step": "c", "phase": "begin"}) + "\n")
    for lock in ("index.lock", "HEAD.lock", "refs/heads/main.lock"):
        (repository.workspace / ".git" / lock).touch()
    code, _frames = repository.play(
        {"id": "w", "do": "say", "text": ""}, {"id": "c", "do": "commit", "message": "saved"}
    )
    assert code == 0
    assert repository.subjects() == ["saved", "base"]


def test_an_edit_that_replaces_text_is_done_once(bench: Bench) -> None:
    (bench.workspace / "a").write_text("aaa")
    bench.play({"id": "e", "do": "edit", "path": "a", "old": "aaa", "new": "b"})
    bench.forget_end("e")
    code, frames = bench.play()
    assert (code, frames[2]["output"]) == (0, "already so")
    assert frames[1]["id"] == "e.2"


def test_a_line_of_the_journal_that_a_crash_tore_is_passed_over(bench: Bench) -> None:
    bench.play(ONE)
    with bench.journal.open("a") as journal:
        journal.write('{"step": "two", "pha')
    code, _frames = bench.play(ONE, TWO)
    assert code == 0
    lines = bench.journal.read_text().splitlines()
    assert json.loads(lines[-1])["step"] == "two"
    assert len(lines) == 5


def test_a_session_that_knows_other_steps_is_refused(bench: Bench) -> None:
    bench.play(ONE)
    code, frames = bench.play(TWO)
    assert (code, frames[-1]["error_class"]) == (1, "bad_script")


@pytest.mark.parametrize("step", [HANG, {"id": "stuck", "do": "wait", "duration_ms": 600_000}])
def test_an_interrupt_ends_what_waits(bench: Bench, step: dict[str, Any]) -> None:
    agent = bench.start(ONE, step, TWO)
    agent.read_until("tool_call")
    agent.send('{"type": "user", "text": "hello"}')
    agent.send("not json")
    agent.send('{"type": "interrupt"}')
    code, frames = agent.finish()
    assert code == 1
    assert (frames[-1]["status"], frames[-1]["error_class"]) == ("failed", "interrupted")
    assert "stuck end" not in bench.phases()


def test_an_interrupt_kills_the_program_that_runs(bench: Bench) -> None:
    agent = bench.start({"id": "r", "do": "run", "argv": SLEEPER}, TWO)
    agent.read_until("tool_call")
    agent.send('{"type": "interrupt"}')
    code, frames = agent.finish()
    assert (code, frames[-1]["error_class"]) == (1, "interrupted")
    assert frames[0]["output"].endswith("interrupted")
    assert bench.phases() == ["r begin"]


def test_the_end_of_stdin_ends_a_hang_and_a_wait(bench: Bench) -> None:
    for step in (HANG, gate(bench)):
        bench.journal.unlink(missing_ok=True)
        agent = bench.start(ONE, step)
        agent.read_until("tool_call")
        assert agent.finish(close_stdin=True) == (75, [])


def test_a_wait_of_some_milliseconds_ends_by_itself(bench: Bench) -> None:
    assert bench.play({"id": "w", "do": "wait", "duration_ms": 30}, ONE)[0] == 0


def test_a_wait_for_a_file_ends_when_it_appears(bench: Bench) -> None:
    agent = bench.start(ONE, gate(bench), TWO)
    agent.read_until("tool_call")
    (bench.folder / "open").touch()
    assert agent.finish()[0] == 0
