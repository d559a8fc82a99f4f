"""Killed, stopped, frozen, doubled: what a person sees afterwards."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from pathlib import Path

import pytest

from podium.testing.fleet import PODIUM, Fleet

from .conftest import ends, eventually, open_task, script, wait_for


def run_of(fleet: Fleet, task_id: str) -> dict:
    return fleet.call("GET", f"/runs/{fleet.call('GET', f'/tasks/{task_id}')['run_id']}")


def test_kill_minus_9_in_the_middle_and_the_same_agent_completes_the_task(fleet, tmp_path, repository):
    gate = tmp_path / "gate"
    prompt = script(
        {"do": "edit", "path": "b.txt", "write": "1"},
        {"do": "wait", "file": str(gate)},
        {"do": "edit", "path": "c.txt", "write": "2"},
    )
    task = open_task(fleet, prompt, repository)
    wait_for(fleet, task, "run.tool_returned")
    before = run_of(fleet, task)
    fleet.kill_all()
    os.kill(before["pid"], 0)  # the agent lives
    gate.touch()
    fleet.start_all()
    done = fleet.wait_ended(task)
    after = run_of(fleet, task)
    assert done["state"]["word"] == "done"
    assert (after["id"], after["pid"]) == (before["id"], before["pid"])
    assert ends(fleet) == [(task, "s0"), (task, "s1"), (task, "s2")]


def test_twenty_runs_in_flight_survive_a_term_and_are_all_adopted(tmp_path):
    fleet = Fleet(tmp_path / "home", separate=False, capacity=20)
    fleet.start_all()
    gate = tmp_path / "gate"
    tasks = [open_task(fleet, script({"do": "wait", "file": str(gate)})) for _ in range(20)]
    for task in tasks:
        wait_for(fleet, task, "run.tool_called")
    assert fleet.terminate("server") == 0
    gate.touch()
    fleet.start_all()
    assert [fleet.wait_ended(task)["state"]["word"] for task in tasks] == ["done"] * 20
    assert [fleet.call("GET", f"/tasks/{task}")["reruns"] for task in tasks] == [0] * 20
    assert ends(fleet) == sorted((task, "s0") for task in tasks)
    fleet.stop()


def processes_of_runs(run_ids: set[str]) -> list[str]:
    """Command lines of whatever has one of these runs in its environment, agents and their children."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            environ = (folder / "environ").read_bytes().decode(errors="replace").split("\0")
            if run_ids & {line.removeprefix("PODIUM_RUN=") for line in environ}:
                found.append((folder / "cmdline").read_text())
        except OSError:
            continue
    return found


@pytest.mark.parametrize("separate", [False, True])
def test_down_with_stop_agents_leaves_no_process_and_the_tasks_go_on_later(tmp_path, separate):
    fleet = Fleet(tmp_path / "home", separate=separate, capacity=20)
    fleet.start_all()
    gate = tmp_path / "gate"
    tasks = [open_task(fleet, script({"do": "fork"}, {"do": "wait", "file": str(gate)})) for _ in range(20)]
    for task in tasks:
        eventually(lambda task=task: len(fleet.events(task=task, type="run.tool_called")) == 2)
    runs = {run_of(fleet, task)["id"] for task in tasks}
    assert len(processes_of_runs(runs)) >= 40, "twenty agents and what each has forked"
    holders = fleet.holders()
    assert runs <= set(holders)
    told = fleet.cli("down", "--stop-agents")
    assert told.returncode == 0, told.stderr
    assert processes_of_runs(runs) == []
    assert [pid for run, pid in holders.items() if run in runs and Path(f"/proc/{pid}/exe").exists()] == []
    fleet.kill_all()
    gate.touch()
    fleet.start_all()
    assert [fleet.wait_ended(task)["state"]["word"] for task in tasks] == ["done"] * 20
    fleet.stop()


def test_a_second_daemon_on_one_home_refuses_within_two_seconds(fleet):
    began = time.monotonic()
    second = subprocess.run([*PODIUM, "up"], env=fleet.environ, capture_output=True, text=True, timeout=20)
    took = time.monotonic() - began
    assert second.returncode == 1
    assert "in use by another Podium" in second.stderr
    assert fleet.call("GET", "/health") == {"status": "ok"}
    assert took < 10, "a deadline, generous on a loaded machine; it refuses before it opens anything"


def test_a_worker_frozen_beyond_its_lease_is_refused_when_it_goes_on(tmp_path):
    quick = {"PODIUM_LEASE_TTL_S": "1.5", "PODIUM_RENEW_EVERY_S": "0.3", "PODIUM_AFFINITY_WAIT_S": "600"}
    fleet = Fleet(tmp_path / "home", separate=True, environ=quick)
    fleet.start_all()
    gate = tmp_path / "gate"
    task = open_task(fleet, script({"do": "wait", "file": str(gate)}, {"do": "say", "text": "late"}))
    wait_for(fleet, task, "run.tool_called")
    first = run_of(fleet, task)
    os.kill(fleet.pid("worker"), signal.SIGSTOP)
    gate.touch()  # the agent finishes while its worker is frozen
    wait_for(fleet, task, "task.requeued")
    os.kill(fleet.pid("worker"), signal.SIGCONT)
    done = fleet.wait_ended(task)
    assert done["state"]["word"] == "done"
    assert run_of(fleet, task)["id"] != first["id"]
    ended = [event["event"]["type"] for event in fleet.events(run=first["id"])]
    assert "run.succeeded" not in ended, "its late result was refused by its fence"
    assert [event["event"]["type"] for event in fleet.events(task=task)].count("task.done") == 1
    fleet.stop()


@pytest.mark.parametrize("separate", [False, True])
def test_a_server_that_comes_back_an_hour_later_adopts_and_doubles_nothing(tmp_path, separate):
    fleet = Fleet(tmp_path / "home", separate=separate)
    fleet.start_all()
    gate = tmp_path / "gate"
    prompt = script({"do": "wait", "file": str(gate)}, {"do": "say", "text": "x"})
    tasks = [open_task(fleet, prompt) for _ in range(5)]
    for task in tasks:
        wait_for(fleet, task, "run.tool_called")
    before = [(run_of(fleet, task)["id"], run_of(fleet, task)["pid"]) for task in tasks]
    fleet.kill("server")
    for number, offset in enumerate(("3600", "-3600", "315360000"), start=1):
        fleet.environ["PODIUM_CLOCK_OFFSET_S"] = offset
        fleet.start_all()
        for task in tasks:
            eventually(lambda t=task, n=number: len(fleet.events(task=t, type="run.adopted")) == n)
        assert [fleet.call("GET", f"/tasks/{task}")["reruns"] for task in tasks] == [0] * 5
        fleet.kill("server")
    fleet.start_all()
    gate.touch()
    assert [fleet.wait_ended(task)["state"]["word"] for task in tasks] == ["done"] * 5
    assert [(run_of(fleet, task)["id"], run_of(fleet, task)["pid"]) for task in tasks] == before
    assert ends(fleet) == sorted((task, step) for task in tasks for step in ("s0", "s1"))
    fleet.stop()


def test_a_port_in_use_and_a_wrong_setting_are_told_and_nothing_is_made(tmp_path, fleet):
    import json

    port = json.loads((fleet.home / "server.json").read_text())["url"].rsplit(":", 1)[1]
    environ = {**fleet.environ, "PODIUM_HOME": str(tmp_path / "other"), "PODIUM_PORT": port}
    told = subprocess.run([*PODIUM, "up"], env=environ, capture_output=True, text=True, timeout=30)
    assert (told.returncode, "in use" in told.stderr) == (1, True)
    (tmp_path / "other" / "config.toml").write_text("capcity = 3\n")
    told = subprocess.run([*PODIUM, "up"], env=environ, capture_output=True, text=True, timeout=30)
    assert told.returncode == 1
    assert "did you mean 'capacity'" in told.stderr


AS_NOBODY = """
import os, sys
import podium.app.commands, podium.app.daemon, podium.local.commands  # before the interpreter is out of reach
os.setgroups([]); os.setgid(65534); os.setuid(65534)
sys.argv = ["podium", "up"]
sys.exit(podium.app.commands.run())
"""


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root to become another user")
def test_a_home_of_another_user_is_refused_with_the_next_step(tmp_path):
    home = tmp_path / "home"
    home.mkdir(mode=0o700)
    environ = {"PATH": os.environ["PATH"], "PODIUM_HOME": str(home), "HOME": "/", "PODIUM_PORT": "0"}
    command = [PODIUM[0], "-c", AS_NOBODY]
    told = subprocess.run(command, env=environ, cwd="/", capture_output=True, text=True, timeout=30)
    assert told.returncode == 1
    assert "PODIUM_HOME" in told.stderr
    assert list(home.iterdir()) == []


def test_the_demo_is_green_by_its_own_json(tmp_path):
    import json

    environ = {
        "PATH": os.environ["PATH"],
        "HOME": str(tmp_path),
        "PODIUM_HOME": str(tmp_path / "h"),
        "PODIUM_PORT": "0",
    }
    done = subprocess.run(
        [*PODIUM, "demo", "--once", "--json"], env=environ, capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    assert set(told) == {"tasks", "changes", "url", "seconds"}
    assert [task["status"] for task in told["tasks"]] == ["review"] * 3
    assert [[check["verdict"] for check in change["checks"]] for change in told["changes"]] == [["pass"]] * 3


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root to make a home read-only")
@pytest.mark.parametrize("used", [False, True])
def test_a_read_only_home_is_refused_at_once_and_left_as_it_was(tmp_path, used):
    fleet = Fleet(tmp_path / "home", separate=False)
    if used:
        fleet.start_all()
        fleet.stop()
    before = sorted((path.name, path.stat().st_size) for path in fleet.home.iterdir())
    subprocess.run(["mount", "--bind", str(fleet.home), str(fleet.home)], check=True)
    try:
        subprocess.run(["mount", "-o", "remount,bind,ro", str(fleet.home)], check=True)
        told = subprocess.run([*PODIUM, "up"], env=fleet.environ, capture_output=True, text=True, timeout=30)
    finally:
        subprocess.run(["umount", "-l", str(fleet.home)], check=True)
    assert (told.returncode, "Read-only file system" in told.stderr) == (1, True)
    assert "PODIUM_HOME" in told.stderr, "the next step"
    assert "Traceback" not in told.stderr
    assert sorted((path.name, path.stat().st_size) for path in fleet.home.iterdir()) == before
