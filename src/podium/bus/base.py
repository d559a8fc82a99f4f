"""The contract of a bus: requests with answers between one server and its workers.

Delivery is at most once and unordered between requests; loss shows as an error or a timeout and the
caller's own rules (fences, offsets, rows) make repeating safe. Every transport carries encoded bytes,
the in-process one included, so that nothing can lean on shared memory.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Protocol

from podium.bus.messages import Answer, ToServer, ToWorker
from podium.kernel.ids import WorkerId

MAX_MESSAGE_BYTES = 64 * 1024 * 1024

ServerHandler = Callable[[ToServer], Awaitable[Answer]]
WorkerHandler = Callable[[ToWorker], Awaitable[Answer]]
Departure = Callable[[WorkerId], None]


class ServerBus(Protocol):
    """The server's end."""

    async def serve(self, handler: ServerHandler, departed: Departure) -> None:
        """Answer workers until cancelled. `handler` runs concurrently for different requests; what it
        raises is told to the worker as a Failure. A worker is known by the Hello of its connection; a
        later connection with the same id replaces the earlier. `departed` is called once when a
        worker's connection ends."""
        ...

    async def ask(self, worker: WorkerId, message: ToWorker, *, timeout_s: float = 5.0) -> Answer:
        """Raises WorkerUnreachable when the worker is not connected or does not answer in time.
        Cancellation forgets the question; the worker may still carry it out."""
        ...

    def connected(self) -> frozenset[WorkerId]:
        """Workers that have said Hello and are still connected."""
        ...


class WorkerBus(Protocol):
    """A worker's end; also that of a gateway beside the server, which says no Hello."""

    async def run(self, handler: WorkerHandler, on_connect: Callable[[], Awaitable[None]]) -> None:
        """Keep a connection until cancelled, reconnecting by itself with a growing pause of at most
        2 s. After every (re)connection `on_connect` is called; it says Hello first. Requests of the
        server go to `handler`, concurrently."""
        ...

    async def ask(self, message: ToServer, *, timeout_s: float = 15.0) -> Answer:
        """Raises Unavailable when there is no connection (with `sent` in its details when it went down
        before the answer), Timeout when no answer came."""
        ...
