"""`python -m bench.bare FILE`: an HTTP server that only answers FILE's bytes: the floor of every answer."""

from __future__ import annotations

import socket
import sys
from pathlib import Path
from typing import Any

import uvicorn


def serve(body: bytes) -> None:
    """Prints its port; serves until killed."""
    head = [(b"content-type", b"application/json"), (b"content-length", b"%d" % len(body))]

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": head})
        await send({"type": "http.response.body", "body": body})

    bound = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    bound.bind(("127.0.0.1", 0))
    bound.listen(128)
    print(bound.getsockname()[1], flush=True)
    config = uvicorn.Config(app, log_level="error", lifespan="off", http="httptools", access_log=False)
    uvicorn.Server(config).run(sockets=[bound])


if __name__ == "__main__":
    serve(Path(sys.argv[1]).read_bytes())
