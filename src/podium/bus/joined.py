"""Several transports as one: the daemon's own worker in process, further workers over the socket."""

from __future__ import annotations

from collections.abc import Sequence

import anyio

from podium.bus.base import Departure, ServerBus, ServerHandler
from podium.bus.messages import Answer, ToWorker
from podium.kernel.errors import WorkerUnreachable
from podium.kernel.ids import WorkerId


class JoinedServer:
    def __init__(self, buses: Sequence[ServerBus]) -> None:
        self._buses = buses

    async def serve(self, handler: ServerHandler, departed: Departure) -> None:
        async with anyio.create_task_group() as tasks:
            for bus in self._buses:
                tasks.start_soon(bus.serve, handler, departed)

    async def ask(self, worker: WorkerId, message: ToWorker, *, timeout_s: float = 5.0) -> Answer:
        for bus in self._buses:
            if worker in bus.connected():
                return await bus.ask(worker, message, timeout_s=timeout_s)
        raise WorkerUnreachable(f"{worker} is not connected")

    def connected(self) -> frozenset[WorkerId]:
        return frozenset().union(*(bus.connected() for bus in self._buses))
