"""Puts a worker together: in the daemon over the in-process bus, alone over the socket."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path

from podium import __version__
from podium.app.home import Home, default_capacity, node_name
from podium.bus.base import WorkerBus
from podium.client.blobs import fetch_artifact, put_artifact
from podium.client.home import Target
from podium.git.command import Git
from podium.kernel.clock import Clock
from podium.kernel.config import Settings
from podium.kernel.errors import Unavailable
from podium.kernel.ids import ArtifactId, TaskId, WorkerId
from podium.process.command import execute
from podium.process.launcher import Launcher
from podium.process.watch import directory_watch
from podium.worker.context import WorkerContext
from podium.worker.home import WorkerHome
from podium.worker.ports import OutputOf, WorkerSettings
from podium.worker.report import Reporter
from podium.worker.watching import Watching
from podium.worker.worker import Worker, free_memory_bytes

Address = Callable[[], Awaitable[Target]]
"""The server and the worker's token, asked for at every upload because a restarted server may have moved."""


@asynccontextmanager
async def worker_at(
    home: Home,
    settings: Settings,
    worker_id: WorkerId,
    bus: WorkerBus,
    clock: Clock,
    address: Address,
    *,
    directory: Path,
) -> AsyncIterator[Worker]:
    """A worker ready to `run()`; its template process lives as long as the block, agents longer."""
    files = WorkerHome(directory)
    files.open()
    artifacts = Artifacts(address)
    watching = Watching(directory_watch())
    try:
        async with Launcher() as launcher:
            yield Worker(
                WorkerContext(
                    settings=WorkerSettings(
                        worker_id=worker_id,
                        node=settings.node or node_name(),
                        capacity=settings.capacity or default_capacity(free_memory_bytes()),
                        version=__version__,
                        environ=dict(os.environ),
                        harnesses=settings.harnesses,
                        keys=home.path / "keys",
                        finish_turn_s=settings.finish_turn_s,
                        keep_workspaces=settings.keep_workspaces,
                    ),
                    home=files,
                    bus=bus,
                    reporter=Reporter(bus, worker_id),
                    launcher=launcher,
                    watching=watching,
                    git=Git(execute, directory / "git-home", os.environ),
                    execute=execute,
                    upload=artifacts.upload,
                    download=artifacts.download,
                    clock=clock,
                )
            )
    finally:
        watching.close()


class Artifacts:
    """The server's artifacts over HTTP, wherever it is now."""

    def __init__(self, address: Address) -> None:
        self._address = address

    async def upload(
        self, path: Path, *, media_type: str, name: str, task_id: TaskId, output: OutputOf | None
    ) -> ArtifactId:
        server = await self._server()
        about = {"task": str(task_id)}
        if output is not None:
            about |= {"run": output.run_id, "stream": output.stream, "size": str(output.size)}
        return await put_artifact(server, path, media_type=media_type, name=name, about=about)

    async def download(self, artifact_id: ArtifactId, path: Path) -> None:
        await fetch_artifact(await self._server(), artifact_id, path)

    async def _server(self) -> Target:
        try:
            return await self._address()
        except FileNotFoundError as error:
            raise Unavailable("the server is not up") from error
