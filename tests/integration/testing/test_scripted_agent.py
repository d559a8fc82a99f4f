"""The scripted agent does what its script says, and says what it did."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from datetime import datetime
from typing import Any

import pytest

from .conftest import SRC, Bench

SAY = {"id": "hello", "do": "say", "text": "hello"}
Results = Callable[..., dict[str, Any]]


def returned(frames: list[dict[str, Any]]) -> dict[str, Any]:
    [frame] = [frame for frame in frames if frame["type"] == "tool_return"]
    return frame


def test_it_talks_thinks_counts_and_succeeds(bench: Bench) -> None:
    code, frames = bench.play(
        SAY,
        {"id": "hm", "do": "think", "text": "hmm ü"},
        {"id": "cost", "do": "usage", "input_tokens": 10, "output_tokens": 2, "cost_usd": 0.5},
        {"id": "free", "do": "usage", "input_tokens": 1, "output_tokens": 1},
    )
    assert code == 0
    assert frames == [
        {"type": "init", "session": "session_1", "resumed_after": None},
        {"type": "say", "text": "hello"},
        {"type": "think", "text": "hmm ü"},
        {"type": "usage", "input_tokens": 10, "output_tokens": 2, "cost_usd": 0.5},
        {"type": "usage", "input_tokens": 1, "output_tokens": 1},
        {"type": "result", "status": "success", "message": "the script is done"},
    ]


def test_each_step_stands_in_the_journal_between_begin_and_end(bench: Bench) -> None:
    bench.play(SAY, {"id": "again", "do": "say", "text": "again"})
    assert bench.phases() == ["hello begin", "hello end", "again begin", "again end"]
    first = bench.records()[0]
    assert (first["session"], first["run"], first["task"]) == ("session_1", "run_1", "task_1")
    assert first["pid"] == bench.started[0].process.pid
    assert datetime.fromisoformat(first["at"]).utcoffset() is not None


def test_it_edits_runs_and_commits_for_real(repository: Bench) -> None:
    code, frames = repository.play(
        {"id": "new", "do": "edit", "path": "pkg/a.py", "write": "x = 1\n"},
        {"id": "change", "do": "edit", "path": "pkg/a.py", "old": "1", "new": "2"},
        {"id": "look", "do": "run", "argv": [sys.executable, "-c", "print(open('pkg/a.py').read())"]},
        {"id": "save", "do": "commit", "message": "two is better"},
    )
    assert code == 0
    assert [frame["name"] for frame in frames if frame["type"] == "tool_call"] == [
        "edit",
        "edit",
        "run",
        "commit",
    ]
    assert [frame["is_error"] for frame in frames if frame["type"] == "tool_return"] == [False] * 4
    assert "x = 2" in frames[6]["output"]
    assert repository.subjects() == ["two is better", "base"]
    assert repository.git("show", "HEAD:pkg/a.py") == "x = 2"
    assert repository.git("log", "-1", "--format=%(trailers:key=Podium-Step,valueonly)") == "save"
    assert repository.git("status", "--porcelain") == ""


def test_a_commit_without_changes_is_no_error(repository: Bench) -> None:
    code, frames = repository.play({"id": "save", "do": "commit", "message": "nothing"})
    assert (code, returned(frames)["output"]) == (0, "nothing to commit")
    assert repository.subjects() == ["base"]


def test_an_edit_never_leaves_the_workspace(bench: Bench, results: Results) -> None:
    outside = bench.folder / "outside"
    outside.mkdir()
    (bench.workspace / "link").symlink_to(outside)
    for path in ("../outside/a", "/tmp/../" + str(outside / "a"), "link/a", ".", "b/../../outside/a"):
        result = results({"id": "out", "do": "edit", "path": path, "write": "x"})
        assert (result["status"], result["error_class"]) == ("failed", "step_failed")
    assert list(outside.iterdir()) == []


def test_replacing_text_that_is_not_there_fails_the_run(results: Results) -> None:
    result = results({"id": "e", "do": "edit", "path": "a", "old": "x", "new": "y"})
    assert result["message"] == "step e: a does not contain the old text"


def test_a_failing_program_is_told_and_the_script_goes_on(bench: Bench) -> None:
    program = [sys.executable, "-c", "import sys; print('out', flush=True); sys.exit('err')"]
    code, frames = bench.play({"id": "r", "do": "run", "argv": program})
    output = "out\nerr\nexit code 1"
    assert returned(frames) == {"type": "tool_return", "id": "r.1", "output": output, "is_error": True}
    assert (code, frames[-1]["status"]) == (0, "success")


def test_a_program_that_ends_otherwise_than_expected_fails_the_run(results: Results) -> None:
    program = [sys.executable, "-c", ""]
    assert results({"id": "r", "do": "run", "argv": program, "expect_code": 0})["status"] == "success"


def test_an_unexpected_exit_code_fails_the_run(results: Results) -> None:
    program = [sys.executable, "-c", ""]
    result = results({"id": "r", "do": "run", "argv": program, "expect_code": 1})
    assert (result["status"], result["error_class"]) == ("failed", "step_failed")


def test_a_program_is_killed_at_its_timeout(bench: Bench) -> None:
    program = [sys.executable, "-c", "import signal; print('up', flush=True); signal.pause()"]
    _code, frames = bench.play({"id": "r", "do": "run", "argv": program, "timeout_s": 0.2})
    assert returned(frames)["is_error"]
    assert returned(frames)["output"].endswith("killed after 0.2 s")


def test_long_output_is_cut_and_the_cut_is_told(bench: Bench) -> None:
    program = [sys.executable, "-c", "print('x' * 100_000)"]
    _code, frames = bench.play({"id": "r", "do": "run", "argv": program})
    assert returned(frames)["output"].startswith("[34465 bytes cut]\nxxx")
    assert len(returned(frames)["output"]) < 66_000


def test_a_program_that_does_not_exist_fails_the_run(results: Results) -> None:
    assert (
        "cannot run no-such-thing" in results({"id": "r", "do": "run", "argv": ["no-such-thing"]})["message"]
    )


def test_failing_on_purpose_carries_its_error_class(bench: Bench) -> None:
    code, frames = bench.play(
        {"id": "f", "do": "fail", "message": "no more credit", "error_class": "billing"}, SAY
    )
    assert code == 1
    assert frames[-1] == {
        "type": "result",
        "status": "failed",
        "message": "no more credit",
        "error_class": "billing",
    }
    assert bench.play()[1][-1] == frames[-1]  # a failed session says the same again


@pytest.mark.parametrize(
    ("step", "why"),
    [
        ({"id": "a", "do": "dance"}, "step a: unknown do 'dance'"),
        ({"id": "a", "do": "say"}, "step a: text is missing"),
        ({"id": "a", "do": "say", "text": 1}, "step a: text must be a string"),
        ({"id": "a", "do": "say", "text": "x", "colour": "red"}, "step a: say has no field 'colour'"),
        ({"id": "a", "do": "edit", "path": "p"}, "step a: edit takes either write, or old and new"),
        ({"id": "a", "do": "wait"}, "step a: wait takes either file or duration_ms"),
        ({"id": "a", "do": "run", "argv": []}, "step a: argv is empty"),
        ({"id": "a", "do": "run", "argv": "ls"}, "step a: argv must be a list of strings"),
        ({"id": "a", "do": "flood", "kind": "water"}, "step a: kind cannot be 'water'"),
        ({"id": "a", "do": "fork", "children": [["twins"]]}, "step a: children cannot be 'twins'"),
        ({"id": "a b", "do": "say", "text": ""}, "step number 2 needs an id without spaces"),
        ({"id": "hello", "do": "say", "text": ""}, "two steps have the id hello"),
        ([], "step number 2 is not an object"),
    ],
)
def test_a_bad_script_is_refused_before_its_first_step(
    results: Results, bench: Bench, step: Any, why: str
) -> None:
    result = results(SAY, step)
    assert result["error_class"] == "bad_script"
    assert result["message"].startswith(why)
    assert bench.records() == []


@pytest.mark.parametrize("text", ["", "{", "[]", '{"steps": 1}', "[" * 100_000])
def test_a_script_file_that_is_not_a_script_is_a_failed_run(bench: Bench, text: str) -> None:
    bench.script.write_text(text)
    code, frames = bench.play()
    assert (code, frames[-1]["error_class"]) == (1, "bad_script")


@pytest.mark.parametrize(
    "arguments", [[], ["--session"], ["--session", "../x"], ["--session", ".x"], ["-h", "x"]]
)
def test_a_wrong_call_is_answered_with_the_usage(arguments: list[str]) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "podium.testing.scripted_agent", *arguments],
        env={**os.environ, "PYTHONPATH": str(SRC), "PODIUM_SCRIPT": "x"},
        capture_output=True,
        text=True,
        timeout=30,
    )
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("usage: scripted_agent --session ID")


def test_it_needs_nothing_but_the_standard_library(bench: Bench) -> None:
    bench.script.write_text(json.dumps({"steps": [{"id": "r", "do": "run", "argv": [sys.executable, "-V"]}]}))
    reading, writing = os.pipe()
    try:
        done = subprocess.run(
            [sys.executable, "-S", "-m", "podium.testing.scripted_agent", "--session", "s"],
            env={"PYTHONPATH": str(SRC), "PODIUM_SCRIPT": str(bench.script)},
            stdin=reading,
            capture_output=True,
            text=True,
            timeout=30,
        )
    finally:
        os.close(reading)
        os.close(writing)
    assert (done.returncode, done.stderr) == (0, "")


def test_started_with_nobody_at_its_stdin_it_does_nothing(bench: Bench) -> None:
    bench.script.write_text(json.dumps({"steps": [SAY]}))
    done = subprocess.run(
        [sys.executable, "-m", "podium.testing.scripted_agent", "--session", "s"],
        env={"PYTHONPATH": str(SRC), "PODIUM_SCRIPT": str(bench.script)},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=30,
    )
    assert done.returncode == 75
    assert [json.loads(line)["type"] for line in done.stdout.splitlines()] == ["init"]
