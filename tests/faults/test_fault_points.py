"""kill -9 exactly where it hurts most, once at every named point; the task ends done and nothing twice."""

from __future__ import annotations

import json
from pathlib import Path

import httpx
import pytest

from bench.faults import POINTS, SERVER_POINTS, WORKER_POINTS
from bench.observer import observe
from podium.kernel.faultpoint import POINTS as NAMED
from tests.support import eventually

STEPS = [
    {"id": "one", "do": "edit", "path": "one.txt", "write": "1"},
    {"id": "save", "do": "commit", "message": "one"},
    {"id": "two", "do": "edit", "path": "two.txt", "write": "2"},
    {"id": "say", "do": "say", "text": "done"},
]


def test_the_campaign_kills_at_every_point_that_the_code_names():
    assert set(SERVER_POINTS) | set(WORKER_POINTS) == NAMED


@pytest.mark.parametrize("point", POINTS)
def test_a_process_killed_there_loses_nothing_and_doubles_nothing(
    point, tmp_path: Path, repository, make_fleet
):
    name, fault = point.split(" ")
    journals = tmp_path / "journals"
    fleet = make_fleet(tmp_path / "home", environ={"PODIUM_RENEW_EVERY_S": "0.5"})
    fleet.start_all()
    fleet.call("PUT", "/agents/bench", {"harness": "scripted", "options": {"journal": str(journals)}})
    fleet.kill(name)
    fleet.start(name, f"{fault}:1")
    body = {
        "prompt": json.dumps({"steps": STEPS}), "agent": "bench", "repository": str(repository),
        "checks": [{"name": "two", "argv": ["test", "-f", "two.txt"]}],
    }  # fmt: skip
    task, died = None, False

    def done_after_its_death() -> bool:
        nonlocal task, died
        if not fleet.is_up(name):
            assert fleet.ended_by_kill(name), (fleet.home / f"{name}.out").read_text()[-2000:]
            died = True
            fleet.start(name)
        try:
            if task is None:
                task = fleet.call("POST", "/tasks", body, key="the task", tries=1)["id"]
            return fleet.call("GET", f"/tasks/{task}", tries=1)["state"]["word"] == "done" and died
        except (RuntimeError, OSError, httpx.TransportError, json.JSONDecodeError):
            return False  # away, not refused: asked again

    eventually(done_after_its_death, within_s=60)
    assert died, f"{point} was never passed"
    assert fleet.call("GET", f"/tasks/{task}")["state"]["word"] == "done"
    change = fleet.call("GET", f"/changes/{fleet.call('GET', f'/tasks/{task}')['change_id']}")
    assert change["files"] == 2
    seen = observe(journals, {task: [step["id"] for step in STEPS]})
    assert (seen.lost, seen.doubled) == ([], [])
    assert [event["event"]["type"] for event in fleet.events(task=task)].count("task.done") == 1
    fleet.stop()
