"""Which workers are heard: known to the server that hears them, asked of it by a gateway beside it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Protocol

from podium.bus.messages import HeardWorker, MainIs
from podium.kernel.clock import Clock
from podium.kernel.errors import PodiumError
from podium.kernel.ids import WorkerId


class Presence(Protocol):
    """`engine.roster.Roster` where the server is."""

    async def refresh(self) -> None:
        """Bring up to date what the others answer."""

    def is_connected(self, worker: WorkerId | None) -> bool: ...

    def silence_s(self, worker: WorkerId) -> float | None:
        """Seconds since it was heard; None when it is not known at all."""

    def capacities(self) -> dict[WorkerId, int]:
        """Of the connected workers."""


class AskedPresence:
    """As the server said last. While it does not answer nobody is connected, and every silence grows: then
    nobody knows how the agents are, and after a moment their tasks are shown as unknown."""

    def __init__(self, clock: Clock, ask: Callable[[], Awaitable[MainIs]]) -> None:
        self._clock = clock
        self._ask = ask
        self._workers: dict[WorkerId, HeardWorker] = {}
        self._told_at = 0.0
        self.answers = False
        """Whether it did when it was asked last."""

    async def refresh(self) -> None:
        try:
            told = await self._ask()
        except PodiumError:
            self.answers = False
            return
        self.answers = True
        self._workers = {worker.worker_id: worker for worker in told.workers}
        self._told_at = self._clock.monotonic()

    def is_connected(self, worker: WorkerId | None) -> bool:
        return self.answers and worker in self._workers and self._workers[worker].connected

    def silence_s(self, worker: WorkerId) -> float | None:
        known = self._workers.get(worker)
        return None if known is None else known.silent_s + self._clock.monotonic() - self._told_at

    def capacities(self) -> dict[WorkerId, int]:
        if not self.answers:
            return {}
        return {worker.worker_id: worker.capacity for worker in self._workers.values() if worker.connected}
