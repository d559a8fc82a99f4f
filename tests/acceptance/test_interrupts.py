"""Ctrl-C, as often as an impatient person presses it."""

from __future__ import annotations

import contextlib
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from podium.testing.fleet import PODIUM, Fleet

from .conftest import open_task, script, wait_for


@pytest.fixture
def home(tmp_path: Path) -> Iterator[Fleet]:
    """Nothing runs on it yet."""
    made = Fleet(tmp_path / "home")
    yield made
    made.stop()


def press(process: subprocess.Popen[bytes], gaps: list[float]) -> tuple[int, str]:
    """Send SIGINT, each followed by its gap; (exit code, standard error) of the end."""
    for gap in gaps:
        process.send_signal(signal.SIGINT)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(gap)
    _, said = process.communicate(timeout=30)
    return process.returncode, said.decode()


def started(fleet: Fleet, *words: str) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        [*PODIUM, *words], env=fleet.environ, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
        stderr=subprocess.PIPE, start_new_session=True,
    )  # fmt: skip


def first_line(process: subprocess.Popen[bytes]) -> None:
    assert process.stdout is not None
    assert process.stdout.readline()


@pytest.mark.parametrize("gaps", [[0], [0, 0], [0.02, 0.02, 0.02]], ids=["once", "twice", "thrice"])
def test_a_server_and_a_worker_end_in_order_however_often_it_is_pressed(home, gaps):
    fleet = home
    server = started(fleet, "up", "--no-worker")
    fleet.call("GET", "/health")
    worker = started(fleet, "worker")
    end = time.monotonic() + 30
    while not fleet.call("GET", "/status")["workers_connected"]:
        assert time.monotonic() < end
    assert press(worker, gaps) == (0, "")
    assert press(server, gaps) == (0, "")


def test_a_server_with_somebody_following_ends_in_order_too(fleet):
    if "worker" in fleet.names:
        pytest.skip("the same server")
    fleet.terminate("server")
    server = started(fleet, "up")
    fleet.call("GET", "/health")
    task = open_task(fleet, script({"do": "hang"}))
    wait_for(fleet, task, "run.tool_called")
    follower = started(fleet, "logs", "-f", task)
    first_line(follower)
    assert press(server, [0, 0]) == (0, "")
    code, said = press(follower, [0])
    assert (code, "Traceback" in said) == (130, False)
    fleet.start_all()


def test_following_a_task_is_interrupted_without_a_trace_and_the_task_goes_on(fleet):
    task = open_task(fleet, script({"do": "hang"}))
    wait_for(fleet, task, "run.tool_called")
    for words in (("logs", "-f", task), ("events", "tail", "-f", "--task", task, "--after", begin(fleet))):
        process = started(fleet, *words)
        first_line(process)
        code, said = press(process, [0])
        assert (code, "Traceback" in said) == (130, False), words
    process = started(fleet, "run", script({"do": "hang"}), "--agent", "scripted")
    first_line(process)
    code, said = press(process, [0])
    assert (code, "The task goes on" in said, "Traceback" in said) == (130, True, False)
    assert fleet.call("GET", f"/tasks/{task}")["status"]["word"] == "running"


def begin(fleet: Fleet) -> str:
    return str(fleet.call("GET", "/events?limit=1")["cursor"])


def test_a_demo_is_left_at_once(home):
    demo = started(home, "demo", "--once")
    first_line(demo)
    home.call("GET", "/health")
    code, said = press(demo, [0, 0])
    assert (code, "Traceback" in said) == (130, False)
