"""The README's tour, line by line, and what the command line promises."""

from __future__ import annotations

import json
import subprocess

import pytest

from podium.testing.fleet import PODIUM

from .conftest import git, open_task, script, wait_for

TIDY = ("agents", "add", "tidy", "--harness", "command", "--", "sh", "-c", "echo at work; echo bye > a.txt")


def test_a_task_from_run_to_apply(fleet, repository):
    assert fleet.cli(*TIDY).returncode == 0
    done = fleet.cli(
        "run", "say bye", "--repo", str(repository), "--agent", "tidy", "--check", "bye=grep -q bye a.txt"
    )
    assert done.returncode == 0, done.stderr
    assert "at work" in done.stdout
    assert "check bye: pass" in done.stdout
    task = json.loads(fleet.cli("tasks", "list", "--json").stdout)["items"][0]
    assert task["status"]["word"] == "review"
    assert task["id"][-6:] in fleet.cli("ps").stdout
    assert "at work" in fleet.cli("logs", task["id"][-6:]).stdout
    assert "+bye" in fleet.cli("diff", task["id"]).stdout
    assert (repository / "a.txt").read_text() == "hello\n", "nobody touches the checkout before apply"
    applied = fleet.cli("apply", task["id"], "--repo", str(repository))
    assert applied.returncode == 0, applied.stderr
    assert (repository / "a.txt").read_text() == "bye\n"
    assert fleet.cli("tasks", "show", task["id"], "--field", "status.word").stdout == "done\n"


def test_apply_refuses_a_checkout_with_uncommitted_changes_and_leaves_it_alone(fleet, repository):
    fleet.cli(*TIDY)
    fleet.cli("run", "say bye", "--repo", str(repository), "--agent", "tidy", "--detach")
    task = json.loads(fleet.cli("tasks", "list", "--json").stdout)["items"][0]["id"]
    assert fleet.cli("wait", task).returncode == 0
    (repository / "a.txt").write_text("mine\n")
    refused = fleet.cli("apply", task, "--repo", str(repository))
    assert refused.returncode == 1
    assert "stash" in refused.stderr
    assert (repository / "a.txt").read_text() == "mine\n"
    assert git(repository, "log", "--oneline").count("\n") == 1


def test_uncommitted_changes_are_said_to_be_not_included(fleet, repository):
    fleet.cli(*TIDY)
    (repository / "b.txt").write_text("new\n")
    said = fleet.cli("run", "x", "--repo", str(repository), "--agent", "tidy", "--detach")
    assert "not included" in said.stderr


@pytest.mark.parametrize(
    ("words", "code", "says"),
    [
        (("tasks", "show", "task_" + "0" * 26), 3, "there is no task"),
        (("tasks", "show", "zzzzzz"), 3, "there is no task"),
        (("run",), 2, "PROMPT"),
        (("run", " ", "--agent", "scripted"), 1, "prompt is empty"),
        (("run", "x", "--agent", "nobody"), 3, "there is no agent"),
        (("run", "x", "--agent", "scripted", "--repo", "ext::sh -c id"), 1, "ext::"),
        (("run", "x", "--agent", "scripted", "--repo", "--upload-pack=x"), 1, "upload-pack"),
        (("run", "x", "--agent", "scripted", "--base", "-x", "--repo", "/"), 1, "no branch, tag or commit"),
        (("projects", "add", "p", "--repo", "/does/not/exist"), 1, "does not exist"),
        (("tasks", "list", "--field", "items.0.nonsense"), 3, "there is no field"),
        (("tasks", "list", "--status", "strange"), 2, "strange"),
        (("nonsense",), 2, "nonsense"),
        (("wait", "task_" + "0" * 26), 3, "there is no task"),
    ],
)
def test_every_mistake_is_one_clear_line_with_its_exit_code(fleet, words, code, says):
    told = fleet.cli(*words)
    assert (told.returncode, says in told.stderr, "Traceback" in told.stderr) == (code, True, False), (
        told.stderr
    )
    if "--field" not in words:
        as_json = fleet.cli(*words, "--json")
        if as_json.returncode == code and code != 2:
            assert set(json.loads(as_json.stderr)["error"]) == {"code", "message", "hint", "details"}


def test_a_wait_tells_how_it_ended_by_its_exit_code(fleet):
    failing = open_task(fleet, script({"do": "fail", "message": "no"}))
    hanging = open_task(fleet, script({"do": "hang"}))
    assert fleet.cli("wait", failing).returncode == 5
    assert fleet.cli("wait", hanging, "--timeout", "0.2").returncode == 124
    assert fleet.cli("cancel", hanging).returncode == 0
    assert fleet.cli("wait", hanging).returncode == 5
    assert fleet.call("GET", f"/tasks/{hanging}")["state"]["word"] == "cancelled"


def test_diagnose_names_the_process_its_evidence_and_the_next_step(fleet):
    task = open_task(fleet, script({"do": "hang"}))
    wait_for(fleet, task, "run.tool_called")
    found = json.loads(fleet.cli("diagnose", task, "--json").stdout)
    assert (found["issue"], found["process"]["word"], found["worker"]["connected"]) == ("none", "alive", True)
    assert found["process"]["argv"][-2:] == ["--session", "…"]
    assert found["state"]["evidence"]["seq"] > 0
    assert "podium logs -f" in fleet.cli("diagnose", task).stdout
    assert fleet.cli("cancel", task).returncode == 0


def test_without_a_server_every_command_says_how_to_start_one(tmp_path, fleet):
    environ = {**fleet.environ, "PODIUM_HOME": str(tmp_path / "elsewhere")}
    told = subprocess.run([*PODIUM, "ps"], env=environ, capture_output=True, text=True)
    assert told.returncode == 1
    assert "podium up" in told.stderr
