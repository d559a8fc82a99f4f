"""A harness that Podium does not ship, named in the configuration."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from podium.testing.fleet import Fleet

from .conftest import open_task, script

MODULE = """
from podium.harness.scripted import Scripted

class Mine(Scripted):
    name = "mine"
"""


@pytest.fixture(params=[False, True], ids=["embedded", "separate"])
def home(request, tmp_path: Path):
    (tmp_path / "code").mkdir()
    (tmp_path / "code" / "my_harness.py").write_text(MODULE)
    made = Fleet(tmp_path / "home", separate=request.param, environ={"PYTHONPATH": str(tmp_path / "code")})
    yield made
    made.stop()


def configure(fleet: Fleet, path: str) -> None:
    (fleet.home / "config.toml").write_text(f'[harnesses]\nmine = "{path}"\n')


def test_an_agent_of_ones_own_harness_works_and_unknown_names_list_it(home):
    configure(home, "my_harness:Mine")
    home.start_all()
    assert home.cli("agents", "add", "me", "--harness", "mine").returncode == 0
    done = home.wait_ended(open_task(home, script({"do": "say", "text": "hello"}), agent="me"))
    assert done["state"]["word"] == "done"
    refused = home.cli("agents", "add", "other", "--harness", "thine")
    assert refused.returncode == 1
    assert "claude_code, codex, command, mine, scripted" in refused.stderr
    shown = home.cli("doctor", "--config").stdout
    line = next(line for line in shown.splitlines() if line.startswith("harnesses.mine"))
    assert "my_harness:Mine" in line
    assert str(home.home / "config.toml") in line


@pytest.mark.parametrize("words", [("up",), ("worker",)])
def test_a_path_that_leads_nowhere_is_an_error_at_the_start(home, words):
    configure(home, "my_harness:Theirs")
    refused = home.cli(*words)
    assert refused.returncode == 1
    assert "config.toml: harnesses.mine" in refused.stderr
    assert "Theirs" in refused.stderr
    assert json.loads(home.cli("doctor", "--config", "--json").stdout)["harnesses"]["value"]


def test_a_run_whose_harness_its_worker_no_longer_knows_ends_and_the_worker_goes_on(tmp_path):
    (tmp_path / "code").mkdir()
    (tmp_path / "code" / "my_harness.py").write_text(MODULE)
    fleet = Fleet(tmp_path / "home", environ={"PYTHONPATH": str(tmp_path / "code")})
    try:
        configure(fleet, "my_harness:Mine")
        fleet.start("server")
        fleet.call("GET", "/health")
        assert fleet.cli("agents", "add", "me", "--harness", "mine").returncode == 0
        (fleet.home / "config.toml").write_text("")
        fleet.start("worker")
        steps = script({"do": "say", "text": "hello"})
        failed = fleet.wait_ended(open_task(fleet, steps, agent="me"))
        assert (failed["state"]["word"], failed["state"]["reason"]) == ("failed", "program_missing")
        assert "no harness 'mine'" in failed["state"]["evidence"]["detail"]
        assert fleet.wait_ended(open_task(fleet, steps))["state"]["word"] == "done"
    finally:
        fleet.stop()
