"""The command line as it describes itself, and the documents made from it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import click
import pytest

from podium.app.commands import command_line
from podium.kernel.config import Settings
from tools import cli_reference, config_reference, events_reference

ROOT = Path(__file__).resolve().parents[3]
COMMANDS = dict(cli_reference.commands(command_line(), ("podium",)))


@pytest.mark.parametrize(
    ("document", "made", "tool"),
    [
        ("cli.md", cli_reference.reference(command_line()), "cli_reference"),
        ("configuration.md", config_reference.reference(), "config_reference"),
        ("events.md", events_reference.reference(), "events_reference"),
    ],
    ids=["cli", "configuration", "events"],
)
def test_a_reference_is_what_its_tool_makes(document: str, made: str, tool: str) -> None:
    path = ROOT / "docs" / "reference" / document
    assert path.read_text() == made, f"to mend: python -m tools.{tool} > {path.relative_to(ROOT)}"


@pytest.mark.parametrize("words", COMMANDS, ids=" ".join)
def test_a_command_and_each_of_its_options_say_what_they_do(words: tuple[str, ...]) -> None:
    command = COMMANDS[words]
    assert command.help
    silent = [p.opts for p in command.params if isinstance(p, click.Option) and not p.help]
    assert silent == []


@pytest.mark.parametrize("words", COMMANDS, ids=" ".join)
def test_help_fits_a_terminal(words: tuple[str, ...]) -> None:
    text = cli_reference.help_of(words, COMMANDS[words])
    assert max(len(line) for line in text.splitlines()) <= cli_reference.WIDTH


def test_every_setting_is_described_once() -> None:
    assert [name for name, _, _ in config_reference.settings()] == list(Settings.__struct_fields__)
    assert all(meaning.endswith(".") for _, _, meaning in config_reference.settings())


@pytest.mark.parametrize("flag", ["-h", "--help"])
def test_the_program_itself_prints_it(flag: str, tmp_path: Path) -> None:
    command = [sys.executable, "-P", "-m", "podium.app", "tasks", flag]
    environ = {"PODIUM_HOME": str(tmp_path), "PYTHONPATH": str(ROOT / "src"), "COLUMNS": "100"}
    said = subprocess.run(command, env=environ, capture_output=True, text=True, timeout=60)
    assert (said.returncode, said.stderr) == (0, "")
    assert said.stdout.startswith("Usage: podium tasks [OPTIONS] COMMAND [ARGS]...")


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (["no-such"], 2, "No such command"),
        (["tasks", "list", "--limit", "0"], 2, "--limit"),
        (["ps"], 1, "podium up"),
        (["ps", "--json"], 1, '{"error"'),
    ],
)
def test_a_mistake_is_a_line_and_a_next_step(words: list[str], code: int, said: str, tmp_path: Path) -> None:
    environ = {"PODIUM_HOME": str(tmp_path), "PYTHONPATH": str(ROOT / "src"), "PATH": "/usr/bin:/bin"}
    command = [sys.executable, "-P", "-m", "podium.app", *words]
    done = subprocess.run(command, env=environ, capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stdout) == (code, "")
    assert said in done.stderr
    assert "Traceback" not in done.stderr
