"""The gateway put together: routes inside the framework, pages beside them, the guard around both."""

from __future__ import annotations

import os
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import anyio
from litestar import Litestar, Router
from litestar.datastructures import State
from litestar.exceptions import HTTPException
from litestar.routes import HTTPRoute
from litestar.types import Receive, Scope, Send

from podium.engine.engine import Engine
from podium.gateway import stream
from podium.gateway.alarm import Alarms
from podium.gateway.api import Api
from podium.gateway.beside import passing_on
from podium.gateway.carry import Carrier
from podium.gateway.errors import on_exception, on_http_exception, on_podium_error
from podium.gateway.guard import Guard
from podium.gateway.main_server import MainServer
from podium.gateway.openapi import PREFIX
from podium.gateway.rest import (
    agents,
    artifacts,
    changes,
    events,
    inbox,
    login,
    projects,
    runs,
    sessions,
    system,
    talk,
    tasks,
    tokens,
    workers,
)
from podium.gateway.routes import may
from podium.gateway.settings import GatewaySettings
from podium.gateway.web import Pages, joined
from podium.kernel.errors import PodiumError
from podium.store.store import Store

ROOMS = (
    tasks, talk, inbox, sessions, runs, changes, projects, agents, workers, artifacts, tokens, login,
    events, system, stream,
)  # fmt: skip


class Gateway:
    """The ASGI application. `stopping()` ends every stream and long poll; call it before a server waits
    for its requests to end."""

    def __init__(
        self, engine: Engine | None, store: Store, settings: GatewaySettings, main: MainServer | None = None
    ) -> None:
        self.settings = settings
        self._api = Api(engine, store, settings, main)
        self._alarms = Alarms(store, main)
        self.litestar = Litestar(
            [Router(PREFIX, route_handlers=[route for room in ROOMS for route in room.ROUTES])],
            state=State({"api": self._api}),
            guards=[may],
            before_request=passing_on(self._api),
            lifespan=[self._lifespan],
            exception_handlers={
                PodiumError: on_podium_error,
                HTTPException: on_http_exception,
                Exception: on_exception,
            },
            request_max_body_size=None,  # the guard's limits know uploads from orders
            openapi_config=None,
            logging_config=None,
        )
        inside = joined(Pages(), self.litestar)
        self._guarded = Guard(
            inside,
            self._api.tokens,
            settings,
            store.clock,
            alarm=self._alarms.hear,
            methods_at=Methods(self.litestar),
        )
        self._api.punish = self._guarded.punish
        self._carrier = Carrier(self.litestar, self._guarded, settings, self._alarms)
        if engine is not None:
            engine.on_partial = self._api.hub.hear
            engine.on_command = self._carrier

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await self._guarded(scope, receive, send)

    def login_path(self) -> str:
        """Behind this server's address: signs a browser in as the owner, once, soon."""
        return f"/#login={self._api.logins.issue(self._api.tokens.of_owner(), os.urandom)}"

    def stopping(self) -> None:
        self._api.hub.close()

    @asynccontextmanager
    async def _lifespan(self, _app: Litestar) -> AsyncIterator[None]:
        await self._api.store.settled(self._api.tokens.refresh)
        async with anyio.create_task_group() as tasks_of_app:
            tasks_of_app.start_soon(self._api.tokens.keep_fresh)
            tasks_of_app.start_soon(self._alarms.run)
            self._carrier.start(tasks_of_app)
            tasks_of_app.start_soon(self._api.hub.run)
            yield
            tasks_of_app.cancel_scope.cancel()


class Methods:
    """Which methods an address takes, by its routes. For refusals only, so it may take its time."""

    def __init__(self, app: Litestar) -> None:
        self._routes = [
            (
                re.compile(re.sub(r"\{[^}]*\}", "[^/]+", route.path_format)),
                sorted(str(method) for method in route.methods),
            )
            for route in app.routes
            if isinstance(route, HTTPRoute)
        ]

    def __call__(self, path: str) -> list[str]:
        return next((methods for shape, methods in self._routes if shape.fullmatch(path)), ["GET", "HEAD"])


def build_app(engine: Engine, store: Store, settings: GatewaySettings) -> Gateway:
    """An application over an open store and its engine (which the caller runs). Serves nothing by itself."""
    return Gateway(engine, store, settings)


def build_app_beside(main: MainServer, store: Store, settings: GatewaySettings) -> Gateway:
    """The same over a store that only reads and a server that does the rest (the caller runs `main`)."""
    return Gateway(None, store, settings, main)


__all__ = ["Gateway", "build_app", "build_app_beside"]
