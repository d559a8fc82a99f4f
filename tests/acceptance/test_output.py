"""Raw output, from outside: while an agent works, when it has ended, and when its worker is gone."""

from __future__ import annotations

import time

from .conftest import open_task

TELLS = "line $i of the output, which is longer than one piece"
WRITES = f"i=0; while [ $i -lt 120000 ]; do echo {TELLS}; i=$((i+1)); done"


def test_output_is_the_same_after_the_end_as_before_and_needs_no_worker(fleet):
    expected = "".join(f"line {n} of the output, which is longer than one piece\n" for n in range(120_000))
    words = ("sh", "-c", f"{WRITES}; echo oops >&2; read wait_for_the_end")
    fleet.cli("agents", "add", "writer", "--harness", "command", "--", *words)
    fleet.cli("agents", "add", "quiet", "--harness", "command", "--", "true")
    task, quiet = open_task(fleet, "x", agent="writer"), open_task(fleet, "x", agent="quiet")
    fleet.wait_ended(task)
    fleet.wait_ended(quiet)
    run = until_kept(fleet, task)
    until_kept(fleet, quiet)
    if "worker" in fleet.names:
        fleet.kill("worker")
    assert fleet.cli("runs", "output", task).stdout == expected
    assert fleet.cli("runs", "output", run, "--stream", "err").stdout == "oops\n"
    part = fleet.cli("runs", "output", run, "--offset", "5000003", "--limit", "31")
    assert part.stdout == expected[5000003:5000034]
    nothing = fleet.cli("runs", "output", quiet)
    assert (nothing.returncode, nothing.stdout) == (0, "")


def until_kept(fleet, task: str) -> str:
    end = time.monotonic() + 30
    run_id = fleet.call("GET", f"/tasks/{task}")["run_id"]
    while fleet.call("GET", f"/runs/{run_id}")["out"] is None:
        assert time.monotonic() < end, "the output was not kept within 30 s"
    return str(run_id)
