"""The command harness: any program as an agent."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from podium.harness.base import About, Exit, Frame, LaunchPlan, LaunchRequest
from podium.harness.command import CommandHarness
from podium.kernel.errors import InvalidRequest
from podium.kernel.ids import RunId, TaskId
from podium.kernel.nouns import Agent, Reason

ABOUT = About(task_id=TaskId("task_1"), run_id=RunId("run_1"))


def agent(argv: str, **fields: Any) -> Agent:
    return Agent(name="a", harness="command", options={"argv": argv}, **fields)


def launched(argv: str, prompt: str = "do it", **fields: Any) -> LaunchPlan:
    request = LaunchRequest(
        about=ABOUT,
        agent=agent(argv, **fields),
        prompt=prompt,
        workspace=Path("/place/work tree"),
        files_dir=Path("/place/files"),
        keep_dir=Path("/place/keep"),
    )
    return CommandHarness(ABOUT).launch(request)


@pytest.mark.parametrize(
    "prompt", ["a b", "'; rm -rf .", "$(id)", "--help", "line\nline", '"q" \\', "{workspace}", ""]
)
def test_a_prompt_is_one_word_and_never_a_command(prompt: str) -> None:
    assert launched('["tool", "{prompt}"]', prompt).argv == ("tool", prompt)


def test_placeholders_are_filled_within_a_word_too() -> None:
    plan = launched('["tool", "--in={workspace}/src", "say: {prompt}!"]')
    assert plan.argv == ("tool", "--in=/place/work tree/src", "say: do it!")


def test_instructions_stand_before_the_prompt() -> None:
    assert launched('["t", "{prompt}"]', instructions="Be brief.").argv[1] == "Be brief.\n\ndo it"


def test_stdin_is_closed_and_nothing_is_added_to_the_environment() -> None:
    plan = launched('["t"]')
    assert (plan.close_stdin, plan.first_input, plan.env, plan.conversation_id) == (True, b"", {}, None)


@pytest.mark.parametrize("argv", ["", "[]", '[""]', '"ls"', "[1]", "ls -l", '{"a": 1}', "null"])
def test_an_argv_that_is_no_list_of_words_is_refused_with_an_example(argv: str) -> None:
    with pytest.raises(InvalidRequest) as refused:
        CommandHarness.validate(agent(argv))
    assert "argv=" in (refused.value.hint or "")


def test_an_unknown_option_is_refused() -> None:
    with pytest.raises(InvalidRequest, match="shell"):
        CommandHarness.validate(Agent(name="a", harness="command", options={"argv": '["x"]', "shell": "1"}))


@pytest.mark.parametrize(("argv", "prompt"), [('["t", "{prompt}"]', "a\0b"), ('["t\\u0000"]', "x")])
def test_nul_can_stand_in_no_argument(argv: str, prompt: str) -> None:
    with pytest.raises(InvalidRequest):
        launched(argv, prompt)


def test_lines_are_what_it_says_however_they_are_encoded() -> None:
    harness = CommandHarness(ABOUT)
    lines = (b"plain", b"windows\r", b"\xff\0", "Grüße".encode())
    said = [harness.decode(harness.begin(), Frame(data=line))[1][0] for line in lines]
    assert [fact.text for fact in said] == ["plain", "windows", "\ufffd\ufffd", "Grüße"]


@pytest.mark.parametrize(
    ("exit", "reason", "lost", "detail"),
    [
        (Exit(code=0), Reason.COMPLETED, False, ""),
        (Exit(code=3, stderr=b"first\nlast line\n"), Reason.AGENT_FAILED, False, "exit code 3: last line"),
        (Exit(code=-11), Reason.AGENT_FAILED, False, "signal 11"),
        (Exit(code=-15), Reason.KILLED, True, ""),
        (Exit(code=143), Reason.KILLED, True, ""),
        (Exit(code=-1), Reason.KILLED, True, ""),
        (Exit(code=-9), Reason.KILLED, True, ""),
        (Exit(code=None), Reason.KILLED, True, ""),
    ],
)
def test_the_exit_code_decides(exit: Exit, reason: Reason, lost: bool, detail: str) -> None:
    harness = CommandHarness(ABOUT)
    outcome = harness.outcome(harness.begin(), exit)
    assert (outcome.reason, outcome.lost, outcome.detail) == (reason, lost, detail)
    assert outcome.succeeded is (exit.code == 0)
    assert outcome.exit_code == exit.code
