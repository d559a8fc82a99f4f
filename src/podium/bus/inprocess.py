"""The bus inside one process: the default of `podium up`. Messages are encoded all the same."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable
from typing import Any

import anyio

from podium.bus import messages as m
from podium.bus.base import Departure, ServerHandler, WorkerHandler
from podium.kernel.errors import PodiumError, Timeout, Unavailable, WorkerUnreachable
from podium.kernel.ids import WorkerId

log = logging.getLogger("podium.bus")


class InProcessBus:
    """Both ends: a ServerBus, and a WorkerBus for the one worker of the daemon."""

    def __init__(self) -> None:
        self._server: ServerHandler | None = None
        self._departed: Departure | None = None
        self._worker: WorkerHandler | None = None
        self._worker_id: WorkerId | None = None
        self._serving = anyio.Event()

    # ---- the server's end ----------------------------------------------------------------------------

    async def serve(self, handler: ServerHandler, departed: Departure) -> None:
        self._server, self._departed = handler, departed
        self._serving.set()
        try:
            await anyio.sleep_forever()
        finally:
            self._server = None
            self._serving = anyio.Event()

    async def ask_worker(self, worker: WorkerId, message: m.ToWorker, *, timeout_s: float) -> m.Answer:
        handler = self._worker
        if handler is None or worker != self._worker_id:
            raise WorkerUnreachable(f"{worker} is not connected")
        with anyio.move_on_after(timeout_s):
            return await _carry(handler, message)
        raise WorkerUnreachable(f"{worker} did not answer within {timeout_s:g} s")

    def connected(self) -> frozenset[WorkerId]:
        return frozenset() if self._worker_id is None else frozenset({self._worker_id})

    # ---- the worker's end ----------------------------------------------------------------------------

    async def run(self, handler: WorkerHandler, on_connect: Callable[[], Awaitable[None]]) -> None:
        await self._serving.wait()
        self._worker = handler
        try:
            await on_connect()
            await anyio.sleep_forever()
        finally:
            self._worker = None
            if self._departed is not None and self._worker_id is not None:
                self._departed(self._worker_id)
            self._worker_id = None

    async def ask_server(self, message: m.ToServer, *, timeout_s: float) -> m.Answer:
        if self._server is None:
            raise Unavailable("the server is not up")
        if isinstance(message, m.Hello):
            self._worker_id = message.worker_id
        with anyio.move_on_after(timeout_s):
            return await _carry(self._server, message)
        raise Timeout(f"no answer within {timeout_s:g} s")

    def server_end(self) -> InProcessServer:
        return InProcessServer(self)

    def worker_end(self) -> InProcessWorker:
        return InProcessWorker(self)


class InProcessServer:
    def __init__(self, bus: InProcessBus) -> None:
        self._bus = bus

    async def serve(self, handler: ServerHandler, departed: Departure) -> None:
        await self._bus.serve(handler, departed)

    async def ask(self, worker: WorkerId, message: m.ToWorker, *, timeout_s: float = 5.0) -> m.Answer:
        return await self._bus.ask_worker(worker, message, timeout_s=timeout_s)

    def connected(self) -> frozenset[WorkerId]:
        return self._bus.connected()


class InProcessWorker:
    def __init__(self, bus: InProcessBus) -> None:
        self._bus = bus

    async def run(self, handler: WorkerHandler, on_connect: Callable[[], Awaitable[None]]) -> None:
        await self._bus.run(handler, on_connect)

    async def ask(self, message: m.ToServer, *, timeout_s: float = 15.0) -> m.Answer:
        return await self._bus.ask_server(message, timeout_s=timeout_s)


async def _carry(handler: Callable[[Any], Awaitable[m.Answer]], message: m.Message) -> m.Answer:
    """Through bytes and back, in both directions, as any other transport would."""
    try:
        answer = await handler(m.decode(m.encode(message)))
    except PodiumError as error:
        answer = m.failure_of(error)
    except Exception:
        log.exception("answering %s failed; this is a bug of ours", type(message).__name__)
        answer = m.Failure(code="internal", message="the request failed", retry=True)
    return m.decode_answer(m.encode(answer))
