"""A server and its worker in one event loop, without HTTP: what tests of engine and worker stand on.

Everything is real (store, git, processes, spools); only the upload of artifacts skips the network.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from pathlib import Path

import anyio
import anyio.abc
import anyio.to_thread
import msgspec

from podium.bus.inprocess import InProcessBus
from podium.engine import commands
from podium.engine.engine import Engine, EngineSettings
from podium.engine.mirrors import ServerMirrors
from podium.git.command import Git
from podium.kernel.ids import ArtifactId, IdMaker, TaskId, WorkerId
from podium.kernel.nouns import Agent, KeptOutput, Run, Task
from podium.kernel.states import TASK_TERMINAL
from podium.process.clock import SystemClock
from podium.process.command import execute
from podium.process.launcher import Launcher
from podium.process.watch import directory_watch
from podium.store.store import Store
from podium.testing.databases import chosen
from podium.worker.context import WorkerContext
from podium.worker.home import WorkerHome
from podium.worker.ports import OutputOf, WorkerSettings
from podium.worker.report import Reporter
from podium.worker.watching import Watching
from podium.worker.worker import Worker

WORKER = WorkerId("worker_" + "0" * 26)


class Rig:
    """One server with one worker on one home. Kill it (leave the block) and make another on the same home."""

    def __init__(self, home: Path, *, capacity: int = 4, settings: EngineSettings | None = None) -> None:
        self.home = home
        self.clock = SystemClock()
        self.ids = IdMaker(self.clock, os.urandom)
        self.store = Store(home, self.clock, boot_id="rig", database_url=chosen.url(home), who="rig")
        self.bus = InProcessBus()
        self.git = Git(execute, home / "git-home", os.environ)
        mirrors = ServerMirrors(self.git, home / "server" / "mirrors")
        self.settings = settings or EngineSettings()
        self.engine = Engine(self.store, self.bus.server_end(), self.ids, mirrors, self.settings)
        self._capacity = capacity
        self.worker_home = WorkerHome(home / "worker")

    @asynccontextmanager
    async def running(self) -> AsyncIterator[Rig]:
        """Server and worker at work; at the end both are cancelled and agents live on."""
        self.home.mkdir(parents=True, exist_ok=True)
        await self.store.open("rig")
        watching = Watching(directory_watch())
        try:
            async with anyio.create_task_group() as tasks, Launcher() as launcher:
                await tasks.start(self.engine.run)
                self.launcher = launcher
                self.worker = self._make_worker(launcher, watching)
                tasks.start_soon(self.worker.run)
                yield self
                tasks.cancel_scope.cancel()
        finally:
            watching.close()
            await self.store.close()

    def _make_worker(self, launcher: Launcher, watching: Watching) -> Worker:
        bus = self.bus.worker_end()
        self.worker_home.open()
        settings = WorkerSettings(
            worker_id=WORKER, node="rig", capacity=self._capacity, version="rig", environ=os.environ
        )
        context = WorkerContext(
            settings=settings,
            home=self.worker_home,
            bus=bus,
            reporter=Reporter(bus, WORKER),
            launcher=launcher,
            watching=watching,
            git=self.git,
            execute=execute,
            upload=lambda path, **fields: self.upload(path, **fields),
            download=self.download,
            clock=self.clock,
        )
        return Worker(context)

    async def upload(
        self, path: Path, *, media_type: str, name: str, task_id: TaskId, output: OutputOf | None
    ) -> ArtifactId:
        async def pieces() -> AsyncIterator[bytes]:
            yield await anyio.Path(path).read_bytes()

        artifact, _ = await self.store.artifacts.write(pieces())
        if output is not None:
            kept = KeptOutput(artifact=artifact, size=output.size)
            await self.store.writer.run(
                lambda unit: commands.keep_output(unit, output.run_id, output.stream, kept, by="worker")
            )
        return artifact

    async def download(self, artifact_id: ArtifactId, path: Path) -> None:
        await anyio.to_thread.run_sync(shutil.copyfile, self.store.artifacts.path(artifact_id), path)

    # ---- what a test asks for ------------------------------------------------------------------------

    async def define(self, agent: Agent) -> None:
        ask = commands.DefineAgent(
            harness=agent.harness,
            options=agent.options,
            limits=commands.LimitsBody(**msgspec.structs.asdict(agent.limits)),
            env=agent.env,
            permissions=agent.permissions,
        )
        await self.store.writer.run(lambda unit: commands.define_agent(unit, agent.name, ask, by="test"))

    async def open(self, ask: commands.OpenTask) -> Task:
        task = await self.store.writer.run(
            lambda unit: commands.open_task(unit, ask, by="test", ids=self.ids)
        )
        self.engine.wake()
        return task

    async def cancel(self, task_id: TaskId) -> Task:
        task, run = await self.store.writer.run(
            lambda unit: commands.cancel_task(
                unit, task_id, commands.CancelTask(), by="test", ids=self.engine.ids
            )
        )
        await self.engine.stop_run(run, "test")
        return task

    async def task(self, task_id: TaskId) -> Task:
        return await self.store.writer.run(lambda unit: unit.task(task_id), durable=False)

    async def run_of(self, task_id: TaskId) -> Run:
        return await self.store.writer.run(
            lambda unit: unit.run(unit.task(task_id).run_id or ""), durable=False
        )

    async def ended(self, task_id: TaskId, *, timeout_s: float = 30.0) -> Task:
        """The task once it has ended. Raises TimeoutError."""
        with anyio.fail_after(timeout_s):
            while True:
                seen = self.store.ring.last_seq
                task = await self.task(task_id)
                if task.state.word in TASK_TERMINAL:
                    return task
                await self.store.ring.wait(seen, timeout_s)


SHORT_LEASES = EngineSettings(
    lease_ttl_s=1.0, renew_every_s=0.2, affinity_wait_s=1.0, keep_events=timedelta(days=1)
)
