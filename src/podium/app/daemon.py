"""The daemon: store, engine, gateway and (by default) a worker in one process. Start-up is recovery."""

from __future__ import annotations

import logging
import os
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import timedelta

import anyio
import anyio.abc
import anyio.to_thread

from podium import __version__
from podium.app.faults import arm_from_environment
from podium.app.home import Home, node_name
from podium.app.places import bound, published, serve
from podium.app.workers import worker_at
from podium.bus.inprocess import InProcessBus
from podium.bus.joined import JoinedServer
from podium.bus.unix import UnixServer
from podium.client.home import Target, read_token
from podium.engine.defaults import define_defaults
from podium.engine.engine import Engine, EngineSettings
from podium.engine.mirrors import ServerMirrors
from podium.gateway.app import build_app
from podium.gateway.server import Server
from podium.gateway.token_files import ensure_tokens
from podium.git.command import Git
from podium.kernel.config import Settings
from podium.kernel.errors import PodiumError
from podium.kernel.ids import IdMaker
from podium.process.clock import SystemClock
from podium.process.command import execute
from podium.process.memory import collect_less, give_memory_back
from podium.process.procfs import boot_id
from podium.store.store import Store

log = logging.getLogger("podium.daemon")


class Daemon:
    """`async with daemon.running() as server:` … `await server.wait_stopped()`."""

    def __init__(self, home: Home, settings: Settings) -> None:
        self.home = home
        self.settings = settings
        self.clock = SystemClock(settings.clock_offset_s)
        self.ids = IdMaker(self.clock, os.urandom)
        self.store = Store(
            home.path,
            self.clock,
            boot_id=boot_id(),
            database_url=settings.database_url,
            who=f"podium {os.getpid()} on {settings.node or node_name()}",
        )
        self.local_bus = InProcessBus()
        self.bus = JoinedServer([self.local_bus.server_end(), UnixServer(home.bus_socket)])
        git = Git(execute, home.path / "server" / "git-home", os.environ)
        self.engine = Engine(
            self.store,
            self.bus,
            self.ids,
            ServerMirrors(git, home.path / "server" / "mirrors"),
            engine_settings(settings),
        )
        self.url = ""
        self.certificate: str | None = None

    async def run(self, say: Callable[[str], None]) -> None:
        """Serve until SIGTERM, SIGINT or a shutdown asked for by the API. Agents live on. `say` is told once
        where it serves, with an address that signs a browser in."""
        async with self.serving(signals=True) as stopped:
            public = self.gateway.settings.exposure.public_url or self.url
            collect_less()
            say(f"Podium {__version__} on {public}. Open {public}{self.gateway.login_path()}")
            await stopped.wait()

    @asynccontextmanager
    async def serving(self, *, signals: bool = False) -> AsyncIterator[anyio.Event]:
        """Everything at work inside the block; yields the event that tells that the server has stopped.

        Raises Conflict when another daemon has this home or the port is in use, NewerDatabase, Unavailable.
        """
        give_memory_back()
        self.home.open()
        arm_from_environment(os.environ)
        async with AsyncExitStack() as stack:
            stack.enter_context(self.home.owned())
            place = stack.enter_context(bound(self.settings))
            self.url, self.certificate = place.listening.url, place.certificate
            await self.store.open(__version__)
            stack.push_async_callback(self.store.close)
            await self.store.settled(lambda: ensure_tokens(self.store, self.home.path))
            await self.store.settled(lambda: self.store.writer.run(define_defaults))
            self.gateway = build_app(self.engine, self.store, place.gateway)
            server = Server(self.gateway, place.listening, signals=signals)
            stopped = anyio.Event()
            tasks = await stack.enter_async_context(anyio.create_task_group())
            await tasks.start(self.engine.run)
            await tasks.start(serve, server, stopped)
            tasks.start_soon(self._stop_when_asked, server)
            stack.enter_context(published(self.home, place))
            if self.settings.worker:
                tasks.start_soon(self._work, server, stopped)
            log.info("podium %s serves %s on %s", __version__, self.home.path, self.url)
            yield stopped
            server.stop()
            await stopped.wait()
            tasks.cancel_scope.cancel()

    async def _stop_when_asked(self, server: Server) -> None:
        await self.engine.stop_asked.wait()
        server.stop()

    async def _work(self, server: Server, stopped: anyio.Event) -> None:
        try:
            await self._run_worker()
        except PodiumError:
            # A machine on which no worker can be (no inotify left): the server ends in order, then says why.
            server.stop()
            with anyio.CancelScope(shield=True):
                await stopped.wait()
            raise

    async def _run_worker(self) -> None:
        async def server() -> Target:
            # Read each time: the owner may have given it a new secret.
            secret = await anyio.to_thread.run_sync(read_token, self.home.path, "worker")
            return Target(url=self.url, token=secret, certificate=self.certificate)

        async with worker_at(
            self.home,
            self.settings,
            self.home.worker_id(self.ids),
            self.local_bus.worker_end(),
            self.clock,
            server,
            directory=self.home.worker_dir(),
        ) as worker:
            await worker.run()


def engine_settings(settings: Settings) -> EngineSettings:
    return EngineSettings(
        lease_ttl_s=settings.lease_ttl_s,
        renew_every_s=settings.renew_every_s,
        affinity_wait_s=settings.affinity_wait_s,
        version=__version__,
        organisation=settings.organisation,
        harnesses=settings.harnesses,
        keep_events=timedelta(days=settings.keep_events_days),
        keep_artifacts=timedelta(days=settings.keep_artifacts_days),
    )
