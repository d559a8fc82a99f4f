"""`python -m podium.testing.model_server [--port N] [--scripts DIR] [--log FILE]`: listen until stopped."""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import signal
from pathlib import Path

from podium.testing.model_server.server import ModelServer


async def serve(port: int, scripts: Path | None, log: Path | None) -> None:
    """Prints one JSON object with the URL, then serves until SIGTERM or SIGINT."""
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    async with ModelServer(scripts, log).listening(port) as url:
        print(json.dumps({"url": url}), flush=True)
        await stop.wait()


def main() -> None:
    parser = argparse.ArgumentParser(prog="model_server", description=__doc__)
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--scripts", type=Path)
    parser.add_argument("--log", type=Path)
    given = parser.parse_args()
    with contextlib.suppress(KeyboardInterrupt):
        asyncio.run(serve(given.port, given.scripts, given.log))


if __name__ == "__main__":
    main()
