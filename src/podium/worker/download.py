"""Fetching what only the server has, however long it is away."""

from __future__ import annotations

import logging
from pathlib import Path

import anyio

from podium.kernel.errors import Unavailable
from podium.kernel.ids import ArtifactId
from podium.worker.context import WorkerContext

log = logging.getLogger("podium.worker")
RETRY_S = 0.25
MAX_RETRY_S = 10.0


async def patiently(context: WorkerContext, artifact: ArtifactId, path: Path) -> None:
    """The artifact at `path`, which appears whole. Raises NotFound, Forbidden; waits for a server."""
    pause_s = RETRY_S
    while True:
        try:
            await context.download(artifact, path)
            return
        except Unavailable as error:
            log.info("%s waits for the server: %s", artifact, error.message)
        await anyio.sleep(pause_s)
        pause_s = min(pause_s * 2, MAX_RETRY_S)
