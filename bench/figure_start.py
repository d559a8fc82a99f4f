"""Start and idle memory, beside a bare server that imports the same libraries and binds."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

from bench.figure import Figure, Measurement, median
from bench.served import rss_mb, same_code, scratch
from bench.wire import Address, Http
from podium.testing.fleet import Fleet

STARTS = 5
DEADLINE_S = 30.0
LOOK_EVERY_S = 0.001
IDLE_S = 2.0
START, MEMORY = "start to healthy", "idle memory"
BARE = """
import asyncio, functools, socket
import litestar, sqlalchemy, uvicorn
app = litestar.Litestar([])
bound = socket.create_server(("127.0.0.1", 0))
async def main():
    server = uvicorn.Server(uvicorn.Config(app, log_level="error", lifespan="off"))
    asyncio.get_running_loop().call_soon(functools.partial(print, "healthy", flush=True))
    await server.serve(sockets=[bound])
asyncio.run(main())
"""


def take() -> Iterator[Figure]:
    """The median of several starts on one home that exists already."""
    bare = [_bare() for _ in range(STARTS)]
    with scratch() as folder:
        fleet = Fleet(folder / "home", separate=False, environ=same_code())
        start_s(fleet)
        fleet.terminate("server")
        times, memory = [], []
        for number in range(STARTS):
            times.append(start_s(fleet))
            if number == STARTS - 1:
                time.sleep(IDLE_S)
                memory.append(rss_mb(fleet.pid("server")))
            fleet.terminate("server")
        fleet.stop()
    floor_ms, floor_mb = (median([pair[index] for pair in bare]) for index in (0, 1))
    yield Figure(name=START, value=1000 * median(times), unit="ms", floor=floor_ms, budget=800)
    yield Figure(name=MEMORY, value=median(memory), unit="MB", floor=floor_mb, budget=70)


def start_s(fleet: Fleet) -> float:
    """Seconds from the spawn to the first answer of /health."""
    began = time.monotonic()
    fleet.start("server")
    while time.monotonic() - began < DEADLINE_S:
        try:
            http = Http(_address(fleet.home, fleet.pid("server")))
            http.call("GET", "/health")
            http.close()
            return time.monotonic() - began
        except (OSError, ValueError, KeyError):
            time.sleep(LOOK_EVERY_S)
    raise TimeoutError("the server did not start")


def _address(home: Path, pid: int) -> Address:
    if json.loads((home / "server.json").read_text())["pid"] != pid:
        raise ValueError("not yet")
    return Address.of(home)


def _bare() -> tuple[float, float]:
    """(ms to bound, MB) of the libraries alone."""
    began = time.monotonic()
    child = subprocess.Popen([sys.executable, "-P", "-c", BARE], stdout=subprocess.PIPE)
    try:
        assert child.stdout is not None
        child.stdout.readline()
        return 1000 * (time.monotonic() - began), rss_mb(child.pid)
    finally:
        child.kill()
        child.communicate()


MEASUREMENTS = (Measurement(names=(START, MEMORY), take=take),)
