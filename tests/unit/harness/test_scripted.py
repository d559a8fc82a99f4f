"""The harness of the scripted agent, and the table of harnesses."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from podium.harness.base import About, Exit, LaunchPlan, LaunchRequest
from podium.harness.registry import HARNESSES, check_harnesses, harness_class
from podium.harness.scripted import LEFT_OFF, Scripted
from podium.kernel.errors import InvalidRequest
from podium.kernel.ids import RunId, TaskId
from podium.kernel.nouns import Agent, Reason

ABOUT = About(task_id=TaskId("task_1"), run_id=RunId("run_1"))
SCRIPT = json.dumps({"steps": [{"id": "a", "do": "say", "text": "hi"}]})


def launched(prompt: str, session: str | None = None, **options: str) -> LaunchPlan:
    request = LaunchRequest(
        about=ABOUT,
        agent=Agent(name="s", harness="scripted", options=options),
        prompt=prompt,
        workspace=Path("/place/tree"),
        files_dir=Path("/place/files"),
        keep_dir=Path("/place/keep"),
        conversation_id=session,
    )
    return Scripted(ABOUT).launch(request)


@pytest.mark.parametrize(
    "prompt", [SCRIPT, f"  {SCRIPT}\n", f"Please play:\n```script\n{SCRIPT}\n```\nthanks"]
)
def test_the_script_is_the_prompt_or_a_block_in_it(prompt: str) -> None:
    plan = launched(prompt)
    assert plan.files == {"script.json": SCRIPT.encode()}
    assert plan.env["PODIUM_SCRIPT"] == "/place/files/script.json"


def test_a_prompt_without_a_script_is_refused_with_the_place_to_read() -> None:
    with pytest.raises(InvalidRequest) as refused:
        launched("fix the bug")
    assert "scripted-agent.md" in (refused.value.hint or "")


def test_the_journal_outlives_the_run_so_that_a_resumed_one_finds_it() -> None:
    assert launched(SCRIPT).env["PODIUM_JOURNAL"].startswith("/place/keep")
    assert launched(SCRIPT, journal="/elsewhere").env["PODIUM_JOURNAL"] == "/elsewhere"


def test_a_session_is_named_after_its_run_or_goes_on() -> None:
    assert launched(SCRIPT).conversation_id == "s-run_1"
    resumed = launched(SCRIPT, session="s-run_0")
    assert resumed.conversation_id == "s-run_0"
    assert resumed.argv[-2:] == ("--session", "s-run_0")


def test_it_does_not_run_code_of_the_workspace() -> None:
    argv = launched(SCRIPT).argv
    assert argv.index("-P") < argv.index("-m")


def test_input_that_ended_early_is_no_failure_of_the_agent() -> None:
    harness = Scripted(ABOUT)
    outcome = harness.outcome(harness.begin(), Exit(code=LEFT_OFF))
    assert (outcome.lost, outcome.reason) == (True, Reason.KILLED)


def test_unknown_options_are_refused() -> None:
    with pytest.raises(InvalidRequest, match="speed"):
        Scripted.validate(Agent(name="s", harness="scripted", options={"speed": "9"}))


@pytest.mark.parametrize("name", sorted(HARNESSES))
def test_every_name_of_the_table_is_a_harness_of_that_name(name: str) -> None:
    assert harness_class(name).name == name


def test_any_dotted_path_is_a_harness_too() -> None:
    assert harness_class("podium.harness.scripted:Scripted") is Scripted


@pytest.mark.parametrize("name", ["codex9", "os:nothing_there", "no.such.module:X", "", ":x", "a b"])
def test_an_unknown_name_is_refused_with_the_choice(name: Any) -> None:
    with pytest.raises(InvalidRequest) as refused:
        harness_class(name)
    assert "claude_code" in (refused.value.hint or "")


def test_a_name_of_the_configuration_is_a_harness_and_stands_among_the_known() -> None:
    configured = {"mine": "podium.harness.scripted:Scripted"}
    assert harness_class("mine", configured) is Scripted
    with pytest.raises(InvalidRequest) as refused:
        harness_class("other", configured)
    assert refused.value.hint == "choose one of: claude_code, codex, command, mine, scripted"
    with pytest.raises(InvalidRequest):
        harness_class("mine")


@pytest.mark.parametrize(
    ("path", "said"),
    [("no_such_package:X", "No module named"), ("json:loads", "is no harness"), ("json:nothing", "nothing")],
)
def test_a_configured_path_that_is_no_harness_is_told_with_its_origin(path: str, said: str) -> None:
    with pytest.raises(InvalidRequest, match=said) as refused:
        check_harnesses({"mine": path}, "/home/config.toml")
    assert refused.value.message.startswith("/home/config.toml: harnesses.mine: ")
