"""Podium on a PostgreSQL database, from outside: what the database does, agents do not notice."""

from __future__ import annotations

import signal
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from podium.testing.fleet import Fleet
from podium.testing.postgresql import Cluster
from tests.acceptance.conftest import ends, git, open_task, script, wait_for
from tests.support import eventually

pytestmark = pytest.mark.only_on("postgresql")
EDIT = {"do": "edit", "path": "a.txt", "write": "bye\n"}


@pytest.fixture
def own_cluster(nothing_is_left_behind: None) -> Iterator[Cluster]:
    made = Cluster()
    made.start()
    yield made
    made.remove()


@pytest.fixture(params=["embedded", "separate"])
def on_postgresql(request, tmp_path: Path, own_cluster: Cluster) -> Iterator[Fleet]:
    url = own_cluster.databases.make(migrated=False).replace("podium@", "podium:geheim@")
    environ = {"PODIUM_DATABASE_URL": url}
    made = Fleet(tmp_path / "home", separate=request.param == "separate", capacity=20, environ=environ)
    made.start_all()
    yield made
    if not own_cluster.is_up():
        own_cluster.start()
    made.stop()


def status_of(fleet: Fleet, method: str, path: str, body: object = None) -> int:
    return fleet._request(method, path, body, "").status_code


def test_a_task_goes_from_its_opening_to_its_change_and_the_server_may_be_killed_meanwhile(
    on_postgresql, repository, tmp_path
):
    fleet, gate = on_postgresql, tmp_path / "gate"
    task = open_task(fleet, script(EDIT, {"do": "wait", "file": str(gate)}), repository)
    wait_for(fleet, task, "run.tool_returned")
    fleet.kill_all()
    gate.touch()
    fleet.start_all()
    done = fleet.wait_ended(task)
    assert done["state"]["word"] == "done"
    assert ends(fleet) == [(task, "s0"), (task, "s1")]
    applied = fleet.cli("apply", task, "--repo", str(repository))
    assert applied.returncode == 0, applied.stderr
    assert git(repository, "show", "HEAD:a.txt") == "bye\n"
    numbers = [event["seq"] for event in fleet.events()]
    assert numbers == list(range(1, len(numbers) + 1))
    assert not (fleet.home / "podium.db").exists()
    said = b"".join(path.read_bytes() for path in fleet.home.glob("*.out")) + log_of(fleet)
    assert b"geheim" not in said


def log_of(fleet: Fleet) -> bytes:
    path = fleet.home / "podium.log"
    return path.read_bytes() if path.exists() else b""


@pytest.mark.parametrize("how", [signal.SIGQUIT, signal.SIGKILL], ids=["immediate", "kill-9"])
def test_agents_work_on_while_the_database_is_away_and_nothing_is_lost_or_doubled(
    on_postgresql, own_cluster: Cluster, tmp_path, how
):
    fleet = on_postgresql
    steps = [{"do": "wait", "duration_ms": 20} for _ in range(40)]
    tasks = [open_task(fleet, script(*steps)) for _ in range(6)]
    for task in tasks:
        wait_for(fleet, task, "run.tool_returned")
    own_cluster.stop(how)
    eventually(lambda: status_of(fleet, "GET", "/health") == 503)
    assert status_of(fleet, "POST", "/tasks", {"prompt": "x", "agent": "scripted"}) == 503
    assert status_of(fleet, "GET", "/tasks") == 503
    answer = fleet._request("GET", "/tasks", None, "").json()["error"]
    assert answer["code"] == "unavailable"
    assert answer["hint"]
    eventually(lambda: len(ends(fleet)) == 6 * 40)  # the agents have ended, and nobody has heard of it
    own_cluster.start()
    eventually(lambda: status_of(fleet, "GET", "/health") == 200)
    assert [fleet.wait_ended(task)["state"]["word"] for task in tasks] == ["done"] * 6
    assert [fleet.call("GET", f"/tasks/{task}")["reruns"] for task in tasks] == [0] * 6
    for task in tasks:
        returned = [event["event"]["call_id"] for event in fleet.events(task=task, type="run.tool_returned")]
        assert len(returned) == len(set(returned)) == 40
    assert len(ends(fleet)) == 6 * 40
    assert fleet.events(type="database.returned")
    after = open_task(fleet, script({"do": "say", "text": "on"}))
    assert fleet.wait_ended(after)["state"]["word"] == "done", "dispatch has resumed by itself"


def test_a_start_without_its_database_waits_and_then_ends_with_what_to_do(tmp_path, own_cluster: Cluster):
    url = own_cluster.databases.make().replace("podium@", "podium:geheim@")
    fleet = Fleet(tmp_path / "home", separate=False, environ={"PODIUM_DATABASE_URL": url})
    own_cluster.stop()
    fleet.start("server")
    eventually(lambda: "waiting up to" in (fleet.home / "server.out").read_text() + log_of(fleet).decode())
    own_cluster.start()
    assert fleet.call("GET", "/health") == {"status": "ok"}
    assert fleet.terminate("server") == 0
    own_cluster.stop()
    began = time.monotonic()
    refused = fleet.cli("up")
    assert refused.returncode == 1
    assert "is away" in refused.stderr
    assert "geheim" not in refused.stderr + log_of(fleet).decode()
    assert time.monotonic() - began < 60
    fleet.stop()


def test_a_second_server_on_the_same_database_ends_and_names_the_first(tmp_path, on_postgresql):
    second = Fleet(tmp_path / "other", separate=False, environ=on_postgresql.environ | {
        "PODIUM_HOME": str(tmp_path / "other")
    })  # fmt: skip
    refused = second.cli("up")
    assert refused.returncode == 1
    assert f"podium {on_postgresql.pid('server')} on" in refused.stderr
    assert on_postgresql.call("GET", "/health") == {"status": "ok"}
    second.stop()
