"""How late clients are, and what it costs to keep them up to date."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from pathlib import Path

from bench.agents import chattering
from bench.bare_stream import bare_fan, bare_tail
from bench.figure import Figure, Measurement
from bench.host_process import hosted
from bench.served import cpu_share, program, run_program

AGENTS, MANY_AGENTS, CLIENTS, RATE = 200, 500, 200, 1_000
SECONDS = 8
LATE_50, LATE_95 = "agent line to client p50, 200 agents", "agent line to client p95, 200 agents"
FAN_OUT, MANY = "200 clients x 1,000 events/s", "500 agents"
BARE_SECONDS = 4
LARGEST_PAUSE_S = 0.020
"""Between two commits of 500 agents' lines; who commits less often is cheaper and later."""


def lateness() -> Iterator[Figure]:
    with chattering(AGENTS) as served:
        found = run_program("listener", str(served.fleet.home), str(SECONDS), "1")
    bare = bare_tail(AGENTS, BARE_SECONDS, 0.0)
    yield Figure(name=LATE_50, value=found["p50"], unit="ms", floor=bare.p50, budget=3)
    yield Figure(name=LATE_95, value=found["p95"], unit="ms", floor=bare.p95, budget=10)


def many_agents() -> Iterator[Figure]:
    with chattering(MANY_AGENTS) as served, cpu_share(served.pid) as share:
        time.sleep(SECONDS)
    bare = bare_tail(MANY_AGENTS, BARE_SECONDS, LARGEST_PAUSE_S)
    yield Figure(name=MANY, value=share[0], unit="% core", floor=bare.cpu, budget=30)


def fan_out() -> Iterator[Figure]:
    """All of the process: taking the events in, committing and sending them."""
    with hosted(RATE) as (home, pid):
        share, got = _followed(home, pid)
    if got < 0.9 * RATE:
        raise RuntimeError(f"a client got {got:.0f} events/s of {RATE}")
    bare = bare_fan(CLIENTS, RATE, BARE_SECONDS)
    yield Figure(name=FAN_OUT, value=share, unit="% core", floor=bare, budget=15)


def _followed(home: Path, pid: int) -> tuple[float, float]:
    with program("listener", str(home), str(SECONDS), str(CLIENTS)) as child:
        assert child.stdout is not None
        child.stdout.readline()
        with cpu_share(pid) as share:
            answer = json.loads(child.stdout.readline())
    return share[0], answer["events_per_s"]


MEASUREMENTS = (
    Measurement(names=(LATE_50, LATE_95), take=lateness),
    Measurement(names=(FAN_OUT,), take=fan_out),
    Measurement(names=(MANY,), take=many_agents, full=True),
)
