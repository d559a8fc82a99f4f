"""The gateway put together: routes inside the framework, the guard around it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import anyio
from litestar import Litestar, Router
from litestar.datastructures import State
from litestar.exceptions import HTTPException
from litestar.types import Receive, Scope, Send

from podium.engine.engine import Engine
from podium.gateway import stream
from podium.gateway.api import Api
from podium.gateway.auth import Tokens, load_tokens
from podium.gateway.errors import on_exception, on_http_exception, on_podium_error
from podium.gateway.guard import Guard
from podium.gateway.openapi import PREFIX
from podium.gateway.rest import (
    agents,
    artifacts,
    changes,
    events,
    inbox,
    projects,
    runs,
    sessions,
    system,
    talk,
    tasks,
    workers,
)
from podium.gateway.settings import GatewaySettings
from podium.kernel.errors import PodiumError
from podium.store.store import Store

ROOMS = (
    tasks, talk, inbox, sessions, runs, changes, projects, agents, workers, artifacts, events, system, stream
)  # fmt: skip


class Gateway:
    """The ASGI application. `stopping()` ends every stream and long poll; call it before a server waits
    for its requests to end."""

    def __init__(self, engine: Engine, store: Store, settings: GatewaySettings) -> None:
        self.settings = settings
        self._api = Api(engine, store, settings)
        engine.on_partial = self._api.hub.hear
        self._store = store
        self._tokens = Tokens({})
        self.litestar = Litestar(
            [Router(PREFIX, route_handlers=[route for room in ROOMS for route in room.ROUTES])],
            state=State({"api": self._api}),
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
        self._guarded = Guard(self.litestar, lambda: self._tokens, settings, store.clock)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await self._guarded(scope, receive, send)

    def stopping(self) -> None:
        self._api.hub.close()

    @asynccontextmanager
    async def _lifespan(self, _app: Litestar) -> AsyncIterator[None]:
        self._tokens = await self._store.settled(lambda: load_tokens(self._store))
        async with anyio.create_task_group() as tasks_of_app:
            tasks_of_app.start_soon(self._api.hub.run)
            yield
            tasks_of_app.cancel_scope.cancel()


def build_app(engine: Engine, store: Store, settings: GatewaySettings) -> Gateway:
    """An application over an open store and its engine (which the caller runs). Serves nothing by itself."""
    return Gateway(engine, store, settings)


__all__ = ["Gateway", "build_app"]
