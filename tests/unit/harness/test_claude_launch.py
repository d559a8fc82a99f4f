"""The launch plan of Claude Code: what it may do, what it is told, and where nothing may stand."""

from __future__ import annotations

import json
import os
import uuid
from pathlib import Path
from typing import Any

import pytest

from podium.harness.base import About, LaunchPlan, LaunchRequest, Said
from podium.harness.claude_code import ClaudeCode
from podium.kernel.errors import InvalidRequest, NotFound
from podium.kernel.ids import IdMaker, MessageId, RunId, TaskId
from podium.kernel.nouns import Agent, Check, Permissions
from podium.kernel.session import Mode, uuid_of
from podium.process.clock import SystemClock

ABOUT = About(task_id=TaskId("task_1"), run_id=RunId("run_1"))
SESSION = "5f3f2d6e-7a53-4d0c-9a43-1d6b4b1c2a11"


class Machine:
    """A machine with a `claude` on its PATH and a configuration directory."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.config = folder / "config"
        program = folder / "bin" / "claude"
        program.parent.mkdir()
        program.write_text("#!/bin/sh\n")
        program.chmod(0o755)
        self.program = program
        self.environ = {
            "PATH": str(program.parent),
            "CLAUDE_CONFIG_DIR": str(self.config),
            "SECRET": "s3cret",
        }

    def knows(self, session: str, *lines: dict[str, Any]) -> None:
        record = self.config / "projects" / "-some-where" / f"{session}.jsonl"
        record.parent.mkdir(parents=True)
        record.write_text("".join(f"{json.dumps(line)}\n" for line in ({"type": "user"}, *lines)))

    def launch(
        self,
        *,
        prompt: str = "mend it",
        session: str | None = None,
        checks: Any = (),
        attachments: tuple[Path, ...] = (),
        said: tuple[Said, ...] = (),
        **fields: Any,
    ) -> LaunchPlan:
        request = LaunchRequest(
            about=ABOUT,
            agent=Agent(name="claude", harness="claude_code", **fields),
            prompt=prompt,
            workspace=self.folder,
            files_dir=self.folder,
            keep_dir=self.folder,
            conversation_id=session,
            attachments=attachments,
            said=said,
            checks=tuple(Check(name=f"c{number}", argv=argv) for number, argv in enumerate(checks)),
            environ=self.environ,
        )
        return ClaudeCode(ABOUT).launch(request)


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    return Machine(tmp_path)


def content(plan: LaunchPlan) -> str:
    assert plan.first_input.endswith(b"\n")
    assert plan.first_input.count(b"\n") == 1
    return json.loads(plan.first_input)["message"]["content"]


def test_the_prompt_comes_by_stdin_and_stands_in_no_argument(machine: Machine) -> None:
    plan = machine.launch(prompt="a secret\nplan")
    assert content(plan) == "a secret\nplan"
    assert not any("secret" in word for word in plan.argv)
    assert not plan.close_stdin


def test_attached_files_are_named_to_the_model_and_may_be_read(machine: Machine) -> None:
    plan = machine.launch(prompt="look", attachments=(Path("/w/attached/a.txt"), Path("/w/attached/b.png")))
    assert content(plan) == (
        "look\n\nThese files were attached for you to read:\n- /w/attached/a.txt\n- /w/attached/b.png"
    )
    assert "--add-dir=/w/attached" in plan.argv


@pytest.mark.parametrize("prompt", ["/clear", "/etc/hosts is wrong"])
def test_a_slash_is_moved_off_the_beginning_where_it_would_be_a_command(
    machine: Machine, prompt: str
) -> None:
    assert content(machine.launch(prompt=prompt)) == f"\n{prompt}"


def test_settings_hooks_and_mcp_servers_come_from_the_plan_alone(machine: Machine) -> None:
    argv = machine.launch().argv
    assert argv[argv.index("--setting-sources") + 1] == ""
    assert "--strict-mcp-config" in argv


def test_of_the_environment_only_the_login_is_passed_on(machine: Machine) -> None:
    machine.environ["ANTHROPIC_API_KEY"] = "sk-ant-1"
    plan = machine.launch()
    assert plan.env["ANTHROPIC_API_KEY"] == "sk-ant-1"
    assert plan.env["DISABLE_AUTOUPDATER"] == "1"
    assert "SECRET" not in plan.env
    assert "PATH" not in plan.env
    assert not any("sk-ant-1" in word for word in plan.argv)


def test_a_new_conversation_gets_an_id_made_from_the_run(machine: Machine) -> None:
    first, again = machine.launch(), machine.launch()
    assert first.conversation_id == again.conversation_id
    assert uuid.UUID(first.conversation_id or "").version == 5
    assert f"--session-id={first.conversation_id}" in first.argv
    assert "uuid" in json.loads(first.first_input)


def test_a_known_conversation_is_resumed_and_told_of_the_interruption(machine: Machine) -> None:
    machine.knows(SESSION)
    plan = machine.launch(session=SESSION)
    assert f"--resume={SESSION}" in plan.argv
    assert plan.conversation_id == SESSION
    assert "interrupted" in content(plan)
    assert content(plan).endswith("mend it")
    assert "uuid" not in json.loads(plan.first_input), "a message told twice is passed over by the CLI"


def test_a_conversation_that_it_never_wrote_down_is_begun_under_its_id(machine: Machine) -> None:
    plan = machine.launch(session=SESSION)
    assert f"--session-id={SESSION}" in plan.argv
    assert content(plan) == "mend it"


@pytest.mark.parametrize("session", ["--dangerously-skip-permissions", "../../x", "*", "x" * 300])
def test_a_session_id_that_is_no_uuid_reaches_neither_arguments_nor_paths(
    machine: Machine, session: str
) -> None:
    plan = machine.launch(session=session)
    assert not any(session in word for word in plan.argv)
    assert f"--session-id={plan.conversation_id}" in plan.argv


def test_edit_may_run_the_checks_and_nothing_more(machine: Machine) -> None:
    argv = machine.launch(checks=[("ruff", "check", "."), ("pytest", "-k", "a b")]).argv
    rules = argv[argv.index("--allowedTools") + 1 :]
    assert rules == ("Bash(ruff check .)", "Bash(pytest -k 'a b')")
    assert argv[argv.index("--permission-mode") + 1] == "acceptEdits"


@pytest.mark.parametrize("argv", [("ls", "*"), ("python3", "-c", "f()"), ("a", "b)"), ("a\nb",)])
def test_a_check_that_would_be_read_as_a_pattern_is_not_allowed(
    machine: Machine, argv: tuple[str, ...]
) -> None:
    assert "--allowedTools" not in machine.launch(checks=[argv]).argv


def test_full_permissions_pass_everything(machine: Machine) -> None:
    argv = machine.launch(permissions=Permissions.FULL).argv
    assert argv[argv.index("--permission-mode") + 1] == "bypassPermissions"
    assert "IS_SANDBOX" not in machine.launch(permissions=Permissions.FULL).env


def test_values_of_the_agent_stay_values(machine: Machine) -> None:
    argv = machine.launch(model="--evil", instructions="--worse", options={"max_turns": "3"}).argv
    assert {"--model=--evil", "--append-system-prompt=--worse", "--max-turns=3"} <= set(argv)


def test_without_the_program_the_message_says_how_to_get_it(machine: Machine) -> None:
    machine.environ["PATH"] = str(machine.folder)
    with pytest.raises(NotFound) as refused:
        machine.launch()
    assert "npm install" in (refused.value.hint or "")


def test_the_program_can_be_named(machine: Machine) -> None:
    machine.environ["PATH"] = "/nonexistent"
    plan = machine.launch(options={"program": str(machine.program)})
    assert plan.argv[0] == str(machine.program)


@pytest.mark.parametrize("options", [{"max_turns": "many"}, {"max_turns": "-1"}, {"tools": "all"}])
def test_options_that_it_does_not_understand_are_refused(options: dict[str, str]) -> None:
    with pytest.raises(InvalidRequest):
        ClaudeCode.validate(Agent(name="claude", harness="claude_code", options=options))


def test_the_interrupt_is_one_line_of_its_control_protocol() -> None:
    line = ClaudeCode(ABOUT).interrupt(ClaudeCode(ABOUT).begin())
    assert line is not None
    assert b"\n" not in line
    assert json.loads(line)["request"] == {"subtype": "interrupt"}


def test_a_message_counts_as_held_once_the_conversation_has_it_and_not_when_only_the_queue_has(
    machine: Machine,
) -> None:
    ids = IdMaker(SystemClock(), os.urandom)
    queued, attached, unknown = (MessageId(ids.new("message")) for _ in range(3))
    removed = {"type": "queue-operation", "operation": "remove", "commandUuid": str(uuid_of(queued))}
    taken = {"type": "attachment", "attachment": {"source_uuid": str(uuid_of(attached))}}
    machine.knows(SESSION, removed, taken)
    said = tuple(Said(id=one, text="This.", mode=Mode.STEER) for one in (queued, attached, unknown))
    assert machine.launch(session=SESSION, said=said).taken == (attached,)
