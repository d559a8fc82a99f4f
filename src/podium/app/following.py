"""A further gateway: reads the database of the main server, and asks that for everything else by its bus."""

from __future__ import annotations

import logging
import os
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

import anyio

from podium import __version__
from podium.app.faults import arm_from_environment
from podium.app.home import Home, hint_beside, node_name
from podium.app.places import bound, published, serve
from podium.bus.unix import UnixWorker
from podium.gateway.app import build_app_beside
from podium.gateway.main_server import MainServer
from podium.gateway.server import Server
from podium.kernel.config import Settings
from podium.kernel.errors import InvalidRequest, Unavailable
from podium.process.clock import SystemClock
from podium.process.memory import collect_less, give_memory_back
from podium.process.procfs import boot_id
from podium.store.store import DATABASE_WAIT_S, Store

log = logging.getLogger("podium.daemon")
FIRST_LOOK_S = 3.0
"""How long a start waits to see whether that server is the right one; one that is away may come later."""


class Following:
    """As `app.daemon.Daemon`, owning neither the Writer nor workers. `main`: the socket of the server."""

    def __init__(self, home: Home, settings: Settings, main: Path) -> None:
        """Raises InvalidRequest or Unavailable, saying what to do, when it cannot be followed."""
        check_beside(home, settings, main)
        self.home = home
        self.settings = settings
        self.store = Store(
            home.path,
            SystemClock(settings.clock_offset_s),
            boot_id=boot_id(),
            database_url=settings.database_url,
            who=f"podium {os.getpid()} on {settings.node or node_name()}, following",
        )
        self.main = MainServer(UnixWorker(main), self.store, str(main))

    async def run(self, say: Callable[[str], None]) -> None:
        """Serve until SIGTERM or SIGINT. `say` is told once where it serves."""
        async with self.serving(signals=True) as stopped:
            collect_less()
            say(hint_beside(self.home, self.url, self.main.place))
            await stopped.wait()

    @asynccontextmanager
    async def serving(self, *, signals: bool = False) -> AsyncIterator[anyio.Event]:
        """Everything at work inside the block; yields the event that tells that it has stopped.

        Raises Conflict when another daemon has this home, the port is in use or the server's database is
        another one; Unavailable.
        """
        give_memory_back()
        self.home.open()
        arm_from_environment(os.environ)
        async with AsyncExitStack() as stack:
            stack.enter_context(self.home.owned())
            place = stack.enter_context(bound(self.settings))
            self.url = place.listening.url
            await self.store.open_to_read(wait_s=DATABASE_WAIT_S)
            stack.push_async_callback(self.store.close_reading)
            server = Server(
                build_app_beside(self.main, self.store, place.gateway), place.listening, signals=signals
            )
            stopped = anyio.Event()
            tasks = await stack.enter_async_context(anyio.create_task_group())
            tasks.start_soon(self.store.keep_up)
            tasks.start_soon(self.main.run)
            await self._look_at_main()
            await tasks.start(serve, server, stopped)
            stack.enter_context(published(self.home, place, self.main.place))
            log.info("podium %s on %s follows %s", __version__, self.url, self.main.place)
            yield stopped
            server.stop()
            await stopped.wait()
            tasks.cancel_scope.cancel()

    async def _look_at_main(self) -> None:
        with anyio.move_on_after(FIRST_LOOK_S):
            await self.main.looked.wait()
        if self.main.refusal is not None:
            raise self.main.refusal
        if not self.main.looked.is_set():
            log.warning("the server at %s is away; what is stored can be read", self.main.place)


def check_beside(home: Home, settings: Settings, main: Path) -> None:
    """Raises InvalidRequest or Unavailable, saying what to do."""
    if settings.database_url is None:
        raise InvalidRequest(
            "a gateway reads the database of the server that it follows, and a SQLite file has one reader",
            hint="give both homes the same database_url, a PostgreSQL one; a server moves: podium migrate",
        )
    if not main.is_absolute():
        raise InvalidRequest(f"beside: {main} is no absolute path", hint="name it from the root on")
    if main == home.bus_socket:
        raise InvalidRequest(
            f"beside: {main} is this home's own", hint="name the bus.sock in the home of the main server"
        )
    if not main.is_socket():
        raise Unavailable(
            f"beside: there is no bus of a server at {main}",
            hint="start the main server (podium up, on its home), and name the bus.sock in that home",
        )
