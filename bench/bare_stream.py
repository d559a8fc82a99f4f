"""Floors of agents' output and of following, taken on the machine as it is right now."""

from __future__ import annotations

import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import NamedTuple

from bench.agents import AGENT
from bench.figure import percentile
from bench.served import program, scratch

LARGEST_TICK_S = 0.05
"""The longest that Podium lets clients wait: who waits longer sends fewer frames."""


WARM_UP_S = 1.0


class Tailed(NamedTuple):
    cpu: float
    """% of a core."""
    p50: float
    p95: float
    """ms from a line to its client."""


def bare_tail(agents: int, seconds: float, pause_s: float) -> Tailed:
    """The same agents, writing into plain files that one small program follows."""
    with (
        scratch() as folder,
        _talking(folder, agents),
        program("bare_tail", str(folder), str(pause_s)) as child,
    ):
        assert child.stdin is not None
        assert child.stdout is not None
        with socket.create_connection(("127.0.0.1", int(child.stdout.readline()))) as client:
            late, passed = _lateness(client, seconds)
            child.stdin.close()
            used = float(child.stdout.readline())
    return Tailed(100 * used / passed, percentile(late, 0.50), percentile(late, 0.95))


def bare_fan(clients: int, rate: int, seconds: float) -> float:
    """% of a core that sending the same bytes to as many clients takes."""
    with program("bare_fan", str(clients), str(rate), str(LARGEST_TICK_S)) as child:
        assert child.stdin is not None
        assert child.stdout is not None
        with program("drain", child.stdout.readline().strip(), str(clients)) as drain:
            assert drain.stdout is not None
            drain.stdout.readline()
            began = time.monotonic()
            time.sleep(seconds)
            child.stdin.close()
            used = float(child.stdout.readline())
            passed = time.monotonic() - began
    return 100 * used / passed


@contextmanager
def _talking(folder: Path, agents: int) -> Iterator[None]:
    with ExitStack() as ending:
        for number in range(agents):
            (folder / str(number)).mkdir()
            out = ending.enter_context((folder / str(number) / "out").open("wb"))
            child = subprocess.Popen([sys.executable, "-I", "-S", "-c", AGENT], stdout=out)
            ending.callback(child.wait)
            ending.callback(child.kill)
        yield


def _lateness(client: socket.socket, seconds: float) -> tuple[list[float], float]:
    """ms by which each line came late, by the stamp it begins with; and the seconds that passed."""
    late: list[float] = []
    rest = b""
    began = time.monotonic()
    while (passed := time.monotonic() - began) < seconds:
        *lines, rest = (rest + client.recv(1 << 18)).split(b"\n")
        now = time.time_ns()
        if passed > WARM_UP_S:  # what was written before anybody read is late by no fault of the path
            late += [(now - int(line[:19])) / 1e6 for line in lines if line[:19].isdigit()]
    return late, passed
