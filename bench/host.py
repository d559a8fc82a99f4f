"""`python -m bench.host HOME RATE DATABASE_URL`: a daemon whose log gets RATE events a second, ingested as a
worker's are. An empty word for a URL is SQLite.

The reports come from inside the process, so that no agents cost processor time beside it. Ends with stdin.
"""

from __future__ import annotations

import sys
import time
from pathlib import Path

import anyio
import anyio.to_thread

from bench.reports import Reports
from podium.app.daemon import Daemon
from podium.app.home import Home
from podium.kernel.config import Settings

TICK_S = 0.02
RUNS = 200


async def host(home: Path, rate: int, url: str) -> None:
    """Print "healthy" once it is; serve and feed until stdin ends."""
    daemon = Daemon(Home(home), Settings(port=0, worker=False, lease_ttl_s=3600.0, database_url=url or None))
    async with daemon.serving(), anyio.create_task_group() as tasks:
        if rate:
            # Not without need: runs of a worker that is not heard make lists look for what is unknown.
            tasks.start_soon(_feed, await Reports.prepare(daemon.store, runs=RUNS), rate)
        print("healthy", flush=True)
        await anyio.to_thread.run_sync(sys.stdin.read, abandon_on_cancel=True)
        tasks.cancel_scope.cancel()


async def _feed(reports: Reports, rate: int) -> None:
    began, sent = time.monotonic(), 0
    while True:
        due = int((time.monotonic() - began) * rate) - sent
        if due:
            await reports.send(due)
            sent += due
        await anyio.sleep(TICK_S)


if __name__ == "__main__":
    anyio.run(host, Path(sys.argv[1]), int(sys.argv[2]), sys.argv[3])
