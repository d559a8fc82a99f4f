"""The eight failures measured in the systems that Podium replaces, each as a test named after it.

Three stand where a server and a worker in one process show them faster, in
`tests/integration/runs/test_way_of_one_run.py`: six tasks on three slots, twenty short tasks, a completion
after the cancel. Here are the ones that a person or a client sees from outside.
"""

from __future__ import annotations

import os
import signal
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from podium.testing.fleet import Fleet

from .conftest import ends, eventually, git, open_task, script, wait_for

ENDED = {"task.done", "task.failed", "task.cancelled"}


@pytest.fixture
def single(tmp_path: Path):
    made = Fleet(tmp_path / "home", separate=True, capacity=1)
    made.start_all()
    yield made
    made.stop()


def rows(fleet: Fleet, noun: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = fleet.call("GET", f"/{noun}?limit=500")["items"]
    return found


def counted(fleet: Fleet, task: str) -> Counter[str]:
    return Counter(event["event"]["type"] for event in fleet.events(task=task))


def called(fleet: Fleet, task: str, times: int) -> None:
    """Until the agent has begun that many steps."""
    eventually(lambda: len(fleet.events(task=task, type="run.tool_called")) >= times)


def alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def test_figaro_a_task_given_while_the_only_worker_is_busy_starts_when_it_is_free(single, tmp_path):
    """Said to be queued; never started."""
    gate = tmp_path / "gate"
    first = open_task(single, script({"do": "wait", "file": str(gate)}))
    wait_for(single, first, "run.tool_called")
    second = open_task(single, script({"do": "say", "text": "mine"}))
    assert single.call("GET", f"/tasks/{second}")["status"]["word"] == "queued"
    gate.touch()
    assert single.wait_ended(second)["state"]["word"] == "done"
    assert ends(single) == sorted([(first, "s0"), (second, "s0")])


def test_figaro_a_task_given_while_no_worker_is_there_starts_when_one_comes(single):
    single.kill("worker")
    task = open_task(single, script({"do": "say", "text": "hi"}))
    single.start("worker")
    assert single.wait_ended(task)["state"]["word"] == "done"


def test_factory_a_running_task_that_is_cancelled_ends_cancelled_and_nothing_else(fleet):
    """Ended as failed: timeout exceeded."""
    fleet.call("PUT", "/agents/scripted", {"harness": "scripted", "limits": {"grace_s": 0.3}})
    task = open_task(fleet, script({"do": "fork"}, {"do": "hang", "ignore": ["interrupt", "term", "eof"]}))
    called(fleet, task, 2)
    pid = fleet.call("GET", f"/runs/{fleet.call('GET', f'/tasks/{task}')['run_id']}")["pid"]
    fleet.call("POST", f"/tasks/{task}/cancel", {"reason": "not needed"})
    ended = fleet.wait_ended(task)
    assert (ended["state"]["word"], ended["state"]["reason"]) == ("cancelled", "not needed")
    assert not alive(pid)


def test_orchestra_a_cancel_is_stored_as_cancelled_with_exactly_one_row(fleet):
    """Stored as failed, with a second row that said completed."""
    task = open_task(fleet, script({"do": "hang"}))
    wait_for(fleet, task, "run.tool_called")
    for _ in range(3):
        fleet.call("POST", f"/tasks/{task}/cancel", {})
    fleet.wait_ended(task)
    fleet.call("POST", f"/tasks/{task}/cancel", {})
    assert [(row["id"], row["state"]["word"]) for row in rows(fleet, "tasks")] == [(task, "cancelled")]
    assert [(row["task_id"], row["state"]["word"]) for row in rows(fleet, "runs")] == [(task, "cancelled")]
    kinds = counted(fleet, task)
    assert {kind: kinds[kind] for kind in ENDED} == {"task.done": 0, "task.failed": 0, "task.cancelled": 1}
    assert kinds["task.cancel_requested"] == 1
    assert kinds["run.succeeded"] == 0


@pytest.mark.parametrize("again", ["server", "both"])
@pytest.mark.parametrize("state", ["queued", "running"])
def test_orchestra_a_task_can_be_cancelled_and_retried_after_kill_minus_9(tmp_path, state, again):
    """Project and agent were stuck; cancel and retry were both refused."""
    fleet = Fleet(tmp_path / "home", separate=True, capacity=1)
    fleet.start_all()
    try:
        ahead = open_task(fleet, script({"do": "hang"}))
        wait_for(fleet, ahead, "run.tool_called")
        task = ahead if state == "running" else open_task(fleet, script({"do": "hang"}))
        for name in ("server",) if again == "server" else ("server", "worker"):
            fleet.kill(name)
        fleet.start_all()
        fleet.call("POST", f"/tasks/{task}/cancel", {})
        assert fleet.wait_ended(task)["state"]["word"] == "cancelled"
        retried = fleet.call("POST", f"/tasks/{task}/retry", {})
        assert (retried["retry_of"], retried["status"]["word"]) == (task, "queued")
        if state == "queued":
            fleet.call("POST", f"/tasks/{ahead}/cancel", {})
        wait_for(fleet, retried["id"], "run.tool_called")
        fleet.call("POST", f"/tasks/{retried['id']}/cancel", {})
        assert fleet.wait_ended(retried["id"])["state"]["word"] == "cancelled"
        assert counted(fleet, task)["task.cancelled"] == 1
    finally:
        fleet.stop()


def test_orchestra_a_cancel_whose_server_dies_at_once_is_carried_out_by_the_next(tmp_path):
    """The intent was stored before anything was signalled."""
    fleet = Fleet(tmp_path / "home", separate=True, capacity=1)
    fleet.start_all()
    try:
        task = open_task(fleet, script({"do": "hang"}))
        wait_for(fleet, task, "run.tool_called")
        os.kill(fleet.pid("worker"), signal.SIGSTOP)  # it cannot hear of it
        fleet.call("POST", f"/tasks/{task}/cancel", {})
        fleet.kill("server")
        fleet.start("server")
        os.kill(fleet.pid("worker"), signal.SIGCONT)
        assert fleet.wait_ended(task)["state"]["word"] == "cancelled"
        assert counted(fleet, task)["task.cancelled"] == 1
    finally:
        fleet.stop()


def test_orchestra_two_agents_that_edit_one_file_both_keep_their_work(fleet, tmp_path, repository):
    """The second conflicted, was rejected, and its branch deleted; the project said completed."""
    gate = tmp_path / "gate"
    tasks = {
        word: open_task(
            fleet,
            script(
                {"do": "edit", "path": "a.txt", "write": f"{word}\n"},
                {"do": "commit", "message": word},
                {"do": "wait", "file": str(gate)},
            ),
            repository,
        )
        for word in ("first", "second")
    }
    for task in tasks.values():
        called(fleet, task, 3)
    gate.touch()
    changes = {word: fleet.wait_ended(task)["change_id"] for word, task in tasks.items()}
    for word, task in tasks.items():
        assert f"+{word}" in fleet.cli("diff", task).stdout
    applied = fleet.cli("apply", tasks["first"], "--repo", str(repository))
    assert applied.returncode == 0, applied.stderr
    conflicting = fleet.cli("apply", tasks["second"], "--repo", str(repository))
    assert conflicting.returncode == 1
    assert "a.txt" in conflicting.stderr
    assert "--branch" in conflicting.stderr, "the next step, and one that there is"
    assert (repository / "a.txt").read_text() == "first\n"
    assert git(repository, "status", "--porcelain") == "", "the checkout is as it was"
    states = {
        word: fleet.call("GET", f"/changes/{change}")["state"]["word"] for word, change in changes.items()
    }
    assert states == {"first": "proposed", "second": "proposed"}
    assert fleet.call("GET", f"/tasks/{tasks['second']}")["status"]["word"] == "review"
    assert "+second" in fleet.cli("diff", tasks["second"]).stdout, "still there"
    assert git(repository, "for-each-ref", "--format=%(refname)", "refs/heads").split() == ["refs/heads/main"]
    by_hand = fleet.cli("apply", tasks["second"], "--repo", str(repository), "--branch", "mine")
    assert by_hand.returncode == 0, by_hand.stderr
    assert git(repository, "show", "mine:a.txt") == "second\n"
    assert (repository / "a.txt").read_text() == "first\n"
    assert fleet.call("GET", f"/tasks/{tasks['second']}")["status"]["word"] == "review", "not taken in yet"
