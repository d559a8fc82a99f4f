"""The machine misbehaves: a full disk, a locked database, an agent that floods."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import sqlite3
import subprocess
import time
from pathlib import Path

import httpx
import pytest

from podium.testing.fleet import Fleet
from tests.support import eventually

GROWTH_LIMIT_KIB = 32 * 1024
LOCKED_S = float(os.environ.get("PODIUM_TEST_LOCKED_S", "12"))
"""How long another program keeps the database. 60 once in a while: `PODIUM_TEST_LOCKED_S=60 ./podium test
faults -- -k locked`."""


def rss_kib(pid: int) -> int:
    status = Path(f"/proc/{pid}/status").read_text()
    return int(next(line for line in status.splitlines() if line.startswith("VmRSS")).split()[1])


def scripted(fleet: Fleet, *steps: dict) -> str:
    script = {"steps": [{"id": f"s{number}", **step} for number, step in enumerate(steps)]}
    return fleet.call("POST", "/tasks", {"prompt": json.dumps(script), "agent": "scripted"})["id"]


def test_a_locked_database_refuses_within_its_bound_and_loses_nothing(tmp_path, make_fleet):
    fleet = make_fleet(tmp_path / "home", separate=False)
    fleet.start_all()
    task = scripted(fleet, *[{"do": "wait", "duration_ms": 50} for _ in range(100)])
    before = fleet.call("GET", "/status")
    other = sqlite3.connect(fleet.home / "podium.db", isolation_level=None, timeout=30)
    other.execute("BEGIN IMMEDIATE")
    locked_at = time.monotonic()
    with pytest.raises((RuntimeError, httpx.TimeoutException)):
        fleet.call("POST", "/tasks", {"prompt": "x", "agent": "scripted"}, tries=1)
    assert time.monotonic() - locked_at < 30
    assert fleet.call("GET", "/status")["version"] == before["version"], "reads go on"
    eventually(lambda: time.monotonic() - locked_at > LOCKED_S, within_s=LOCKED_S + 30)
    other.execute("ROLLBACK")
    other.close()
    assert fleet.wait_ended(task)["state"]["word"] == "done"
    returned = [event for event in fleet.events(task=task) if event["event"]["type"] == "run.tool_returned"]
    assert len(returned) == 100
    fleet.stop()


QUICK = {"PODIUM_LEASE_TTL_S": "1.5", "PODIUM_RENEW_EVERY_S": "0.3"}


def refusal(fleet: Fleet, place: Path) -> tuple[int, str]:
    """How a task is answered while the home is not where it was; `place`: where its files are."""
    server = json.loads((place / "server.json").read_text())["url"]
    token = (place / "owner.token").read_text().strip()
    answer = httpx.post(
        f"{server}/api/v1/tasks",
        json={"prompt": "x", "agent": "scripted"}, headers={"Authorization": f"Bearer {token}"}, timeout=10,
    )  # fmt: skip
    return answer.status_code, answer.json()["error"]["code"]


def longer_than_a_lease() -> None:
    begun = time.monotonic()
    eventually(lambda: time.monotonic() - begun > 2 * float(QUICK["PODIUM_LEASE_TTL_S"]))


def said(log: Path) -> list[str]:
    """Every warning, without its time."""
    return [line.split(" WARNING ", 1)[1] for line in log.read_text().splitlines() if " WARNING " in line]


def test_a_home_that_is_moved_away_takes_nothing_in_and_goes_on_when_it_is_back(tmp_path, make_fleet):
    """Once: acknowledged into a file that nobody would ever find again; and the worker ended with a trace."""
    fleet = make_fleet(tmp_path / "home", separate=False, environ=QUICK)
    fleet.start_all()
    gate, elsewhere = tmp_path / "gate", tmp_path / "elsewhere"
    task = scripted(fleet, {"do": "wait", "file": str(gate)}, {"do": "say", "text": "x"})
    eventually(lambda: fleet.events(task=task, type="run.tool_called"))
    fleet.home.rename(elsewhere)
    assert refusal(fleet, elsewhere) == (503, "unavailable")
    gate.touch()
    eventually(lambda: any("leases not renewed" in line for line in said(elsewhere / "podium.log")))
    longer_than_a_lease()
    warnings = [line for line in said(elsewhere / "podium.log") if line.startswith("podium.worker")]
    assert len(warnings) == len(set(warnings)), "said once, not at every try"
    assert refusal(fleet, elsewhere) == (503, "unavailable")
    assert fleet.is_up("server")
    elsewhere.rename(fleet.home)
    assert fleet.wait_ended(task)["state"]["word"] == "done"
    assert len(fleet.call("GET", "/tasks?limit=10")["items"]) == 1
    returned = [event["event"]["call_id"] for event in fleet.events(task=task, type="run.tool_returned")]
    assert len(returned) == len(set(returned)) == 1
    fleet.stop()


def removed(path: Path) -> bool:
    shutil.rmtree(path, ignore_errors=True)
    return not path.exists()


def test_a_home_that_is_removed_takes_nothing_in_and_its_server_ends_when_told(tmp_path, make_fleet):
    fleet = make_fleet(tmp_path / "home", separate=False, environ=QUICK)
    fleet.start_all()
    task = scripted(fleet, {"do": "say", "text": "x"})
    fleet.wait_ended(task)
    kept = tmp_path / "kept"
    kept.mkdir()
    for name in ("server.json", "owner.token", "podium.log"):
        os.link(fleet.home / name, kept / name)
    eventually(lambda: removed(fleet.home))  # again, while the last output of the run is being kept
    assert refusal(fleet, kept) == (503, "unavailable")
    eventually(lambda: any("leases not renewed" in line for line in said(kept / "podium.log")))
    longer_than_a_lease()
    assert refusal(fleet, kept) == (503, "unavailable")
    assert fleet.terminate("server") == 0
    assert not fleet.home.exists(), "nothing was begun anew behind somebody's back"


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root to mount a small disk")
def test_a_full_disk_refuses_commands_keeps_reads_and_recovers_by_itself(tmp_path, make_fleet):
    disk = tmp_path / "disk"
    disk.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=24m", "tmpfs", str(disk)], check=True)
    fleet = make_fleet(disk / "home", separate=False)
    try:
        fleet.start_all()
        known = scripted(fleet, {"do": "say", "text": "before"})
        fleet.wait_ended(known)
        filler = disk / "filler"
        handle = os.open(filler, os.O_WRONLY | os.O_CREAT)
        with contextlib.suppress(OSError):
            while True:
                os.write(handle, b"x" * 4096)
        os.close(handle)
        refusals = []
        for number in range(40):
            body = {"prompt": json.dumps({"steps": [], "pad": "y" * 100_000}), "agent": "scripted"}
            answer = fleet._request("POST", "/tasks", body, f"k{number}")
            if answer.status_code >= 400:
                refusals.append((answer.status_code, answer.json()["error"]["code"]))
                break
        assert refusals == [(507, "storage_full")]
        assert fleet.call("GET", f"/tasks/{known}")["state"]["word"] == "done"
        filler.unlink()
        after = scripted(fleet, {"do": "say", "text": "after"})
        assert fleet.wait_ended(after)["state"]["word"] == "done"
    finally:
        fleet.stop()
        subprocess.run(["umount", "-l", str(disk)], check=True)


@pytest.mark.parametrize(
    ("name", "shell"),
    [
        ("one line of 1 GiB", "head -c 1073741824 /dev/zero | tr '\\0' x; echo; echo after"),
        ("ten million short lines", "yes '' | head -n 10000000; echo after"),
        ("binary", "head -c 50000000 /dev/urandom; echo; echo after"),
    ],
)
@pytest.mark.timeout(400)
def test_an_agent_that_floods_neither_stops_its_run_nor_grows_the_server(name, shell, tmp_path, make_fleet):
    fleet = make_fleet(tmp_path / "home", separate=False)
    fleet.start_all()
    fleet.call(
        "PUT", "/agents/flood", {"harness": "command", "options": {"argv": json.dumps(["sh", "-c", shell])}}
    )
    fleet.call("PUT", "/agents/small", {"harness": "command", "options": {"argv": '["echo", "warm"]'}})
    fleet.wait_ended(fleet.call("POST", "/tasks", {"prompt": "x", "agent": "small"})["id"])
    before = rss_kib(fleet.pid("server"))
    task = fleet.call("POST", "/tasks", {"prompt": "x", "agent": "flood"})["id"]
    peak = before

    def over() -> bool:
        nonlocal peak
        peak = max(peak, rss_kib(fleet.pid("server")))
        return fleet.call("GET", f"/tasks/{task}")["state"]["word"] in {"done", "failed"}

    eventually(over, within_s=300)
    assert fleet.call("GET", f"/tasks/{task}")["state"]["word"] == "done"
    last = [event["event"] for event in fleet.events(task=task) if event["event"]["type"] == "run.said"][-1]
    assert last["text"].endswith("after")
    assert peak - before < GROWTH_LIMIT_KIB, f"{name}: grew by {(peak - before) // 1024} MiB"
    fleet.stop()
