"""`podium worker`: a worker in its own process, over the Unix socket, sharing no store with the server."""

from __future__ import annotations

import os
from pathlib import Path

from podium.app.faults import arm_from_environment
from podium.app.home import Home
from podium.app.workers import worker_at
from podium.bus.unix import UnixWorker
from podium.client.home import Target, read_server_file
from podium.kernel.config import Settings
from podium.kernel.errors import Unavailable
from podium.kernel.ids import IdMaker
from podium.process.clock import SystemClock
from podium.process.memory import collect_less, give_memory_back


async def work(home: Home, settings: Settings, name: str) -> None:
    """Work until cancelled. The server may come and go; agents and this worker do not mind.

    Raises Conflict when another worker of this name runs on this home.
    """
    give_memory_back()
    home.open()
    arm_from_environment(os.environ)
    clock = SystemClock(settings.clock_offset_s)
    directory = home.worker_dir(name)
    directory.mkdir(parents=True, exist_ok=True, mode=0o700)

    async def server() -> Target:
        found = read_server_file(home.path)
        return Target(url=found.url, token=_token(home.path), certificate=found.certificate)

    with home.owned(f"{name}/lock"):
        async with worker_at(
            home,
            settings,
            home.worker_id(IdMaker(clock, os.urandom), name),
            UnixWorker(home.bus_socket),
            clock,
            server,
            directory=directory,
        ) as worker:
            collect_less()
            await worker.run()


def _token(home: Path) -> str:
    try:
        return (home / "worker.token").read_text(encoding="ascii").strip()
    except OSError as error:
        raise Unavailable(
            "the worker token cannot be read", hint="start the server once: podium up"
        ) from error
