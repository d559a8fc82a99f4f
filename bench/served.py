"""A server (and worker) on a home of its own for the length of a measurement."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from bench.wire import Address, Http
from podium.testing.fleet import Fleet

HOLD_S = 120.0


class Serving:
    """`fleet` with `http`, one connection to its server."""

    def __init__(self, fleet: Fleet) -> None:
        self.fleet = fleet
        self.address = Address.of(fleet.home)
        self.http = Http(self.address)

    @property
    def pid(self) -> int:
        return self.fleet.pid("server")

    def command_agent(self, name: str, argv: list[str]) -> None:
        """Define an agent that is a plain program."""
        body = {"harness": "command", "options": {"argv": json.dumps(argv)}}
        self.http.call("PUT", f"/agents/{name}", body)


def same_code() -> dict[str, str]:
    """What makes a child import the very files that this process does."""
    return {"PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}


@contextmanager
def scratch() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="podium-bench-", ignore_cleanup_errors=True) as folder:
        yield Path(folder)


@contextmanager
def serving(*, capacity: int = 4, works: bool = True) -> Iterator[Serving]:
    """`podium up` as a person would run it, healthy."""
    with scratch() as folder:
        fleet = Fleet(folder / "home", separate=not works, capacity=capacity, environ=same_code())
        try:
            fleet.start("server")
            fleet.call("GET", "/health")
            yield Serving(fleet)
        finally:
            fleet.stop()


@contextmanager
def program(module: str, *words: str) -> Iterator[subprocess.Popen[str]]:
    """A part of the bench as a process of its own, ended with the block."""
    child = subprocess.Popen(
        [sys.executable, "-P", "-m", f"bench.{module}", *words],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
        env={**os.environ, **same_code()},
    )  # fmt: skip
    try:
        yield child
    finally:
        if child.poll() is None:
            child.terminate()
        child.wait(timeout=HOLD_S)
        for pipe in (child.stdin, child.stdout):
            if pipe is not None and not pipe.closed:
                pipe.close()


def run_program(module: str, *words: str) -> dict[str, float]:
    """What such a process printed as its JSON answer."""
    with program(module, *words) as child:
        said, _ = child.communicate(timeout=HOLD_S)
    if child.returncode != 0:
        raise RuntimeError(f"bench.{module} failed with {child.returncode}")
    answer: dict[str, float] = json.loads(said.splitlines()[-1])
    return answer


def cpu_seconds(pid: int) -> float:
    """User and system time a process has used, threads included."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def rss_mb(pid: int) -> float:
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) / 1024
    raise RuntimeError(f"{pid} has no memory")


@contextmanager
def cpu_share(pid: int) -> Iterator[list[float]]:
    """Appends, at the end of the block, how much of one core (in %) the process used inside it."""
    found: list[float] = []
    began, used = time.monotonic(), cpu_seconds(pid)
    yield found
    found.append(100 * (cpu_seconds(pid) - used) / (time.monotonic() - began))
