"""Which workers are there and when each was last heard. In memory only: liveness is not a fact to store.

All ages are measured on the monotonic clock, so that a jump of the wall clock ends no lease early or late.
"""

from __future__ import annotations

from collections.abc import Iterable

from podium.bus.messages import HeardWorker
from podium.kernel.clock import Clock
from podium.kernel.ids import RunId, WorkerId

LEASE_TTL_S = 15.0
RENEW_EVERY_S = 5.0
MISSING_LIMIT = 2
"""In how many renewals in a row a held run must be missing before it counts as lost on its node."""


class Presence:
    """What is known about one worker."""

    def __init__(self, capacity: int, heard: float) -> None:
        self.capacity = capacity
        self.heard = heard
        self.connected = False
        self.missing: dict[RunId, int] = {}


class Roster:
    def __init__(self, clock: Clock, *, lease_ttl_s: float = LEASE_TTL_S) -> None:
        self._clock = clock
        self.lease_ttl_s = lease_ttl_s
        self._workers: dict[WorkerId, Presence] = {}

    def expect(self, workers: Iterable[WorkerId]) -> None:
        """At server start: workers that hold runs get one full lease to come back."""
        for worker in workers:
            self._workers.setdefault(worker, Presence(0, self._clock.monotonic()))

    def hello(self, worker: WorkerId, capacity: int) -> None:
        presence = self._workers.setdefault(worker, Presence(capacity, 0.0))
        presence.capacity, presence.connected = capacity, True
        presence.heard = self._clock.monotonic()
        presence.missing.clear()

    def heard(self, worker: WorkerId) -> None:
        if worker in self._workers:
            self._workers[worker].heard = self._clock.monotonic()

    def departed(self, worker: WorkerId) -> None:
        if worker in self._workers:
            self._workers[worker].connected = False

    def expired(self) -> list[WorkerId]:
        """Workers not heard for a whole lease; each is forgotten here and returned once."""
        limit = self._clock.monotonic() - self.lease_ttl_s
        gone = [worker for worker, presence in self._workers.items() if presence.heard < limit]
        for worker in gone:
            del self._workers[worker]
        return gone

    def is_connected(self, worker: WorkerId | None) -> bool:
        return worker is not None and worker in self._workers and self._workers[worker].connected

    def silence_s(self, worker: WorkerId) -> float | None:
        """Seconds since the worker was heard; None when it is not known at all."""
        presence = self._workers.get(worker)
        return None if presence is None else self._clock.monotonic() - presence.heard

    def everybody(self) -> tuple[HeardWorker, ...]:
        """For a gateway beside us."""
        now = self._clock.monotonic()
        return tuple(
            HeardWorker(worker_id=worker, capacity=p.capacity, connected=p.connected, silent_s=now - p.heard)
            for worker, p in self._workers.items()
        )

    async def refresh(self) -> None:
        """Nothing to ask: the server itself is who hears them."""

    def capacities(self) -> dict[WorkerId, int]:
        """Of the connected workers."""
        return {worker: p.capacity for worker, p in self._workers.items() if p.connected}

    def count_missing(self, worker: WorkerId, missing: set[RunId]) -> list[RunId]:
        """Note which held runs a renewal did not name; returns those missing too often in a row."""
        presence = self._workers.get(worker)
        if presence is None:
            return []
        presence.missing = {run: presence.missing.get(run, 0) + 1 for run in missing}
        return [run for run, times in presence.missing.items() if times >= MISSING_LIMIT]
