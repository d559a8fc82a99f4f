"""The server that a gateway beside it follows, as that gateway sees it: over the bus, there or away."""

from __future__ import annotations

import logging

import anyio

from podium.bus.base import WorkerBus
from podium.bus.messages import Answer, AskMain, Failure, MainIs, ToServer, ToWorker
from podium.gateway.errors import told_by_worker
from podium.kernel.errors import Conflict, PodiumError, Timeout, Unavailable
from podium.store.meta import epoch_of
from podium.store.store import Store

log = logging.getLogger("podium.gateway")
PRESENCE_S = 1.0
"""How long the server may take to say who is there."""
AWAY = (
    "what was stored can be read meanwhile; try again in a moment, or see to it: podium status, on its home"
)


class MainServer:
    """`run()` in a task group. `place`: its socket, for people."""

    def __init__(self, bus: WorkerBus, store: Store, place: str) -> None:
        self._bus = bus
        self._store = store
        self.place = place
        self._is_ours = False
        self.looked = anyio.Event()
        """Set once it was seen whether it is ours; `refusal` says why it is not."""
        self.refusal: Conflict | None = None

    async def run(self) -> None:
        """Keep a connection until cancelled."""
        await self._bus.run(_refuse, self._introduce)

    async def ask(self, message: ToServer, *, timeout_s: float, changes: bool = False) -> Answer:
        """Raises Unavailable while it is away; with `in_doubt` in its details when that which `changes`
        something was sent and not answered."""
        if not self._is_ours:
            raise Unavailable(f"the main server ({self.place}) is not connected", hint=AWAY)
        return await self._ask(message, timeout_s, changes)

    async def _ask(self, message: ToServer, timeout_s: float, changes: bool = False) -> Answer:
        try:
            return await self._bus.ask(message, timeout_s=timeout_s)
        except (Timeout, Unavailable) as error:
            if changes and (isinstance(error, Timeout) or error.details.get("sent")):
                raise Unavailable(
                    f"the main server ({self.place}) went away: it is not known whether this was done",
                    hint="ask again with the same Idempotency-Key, or look",
                    in_doubt=True,
                ) from error
            raise Unavailable(f"the main server ({self.place}) does not answer", hint=AWAY) from error

    async def who(self) -> MainIs:
        """Raises Unavailable."""
        return self._told(await self.ask(AskMain(), timeout_s=PRESENCE_S))

    def _told(self, told: Answer) -> MainIs:
        if isinstance(told, Failure):
            raise told_by_worker(told)
        if not isinstance(told, MainIs):
            raise Unavailable(f"the main server ({self.place}) gave an answer to something else")
        return told

    async def _introduce(self) -> None:
        """After every connection: is it the one whose rows we read?"""
        self._is_ours = False
        try:
            told = self._told(await self._ask(AskMain(), PRESENCE_S))
            if told.epoch is None or told.epoch != await self._store.reader.run(epoch_of):
                self.refusal = Conflict(
                    f"the server at {self.place} does not write to {self._store.database.place}",
                    hint="give both the same database_url: podium doctor --config, on either home",
                )
                raise self.refusal
        except PodiumError as error:
            log.warning("not following the server at %s: %s", self.place, error.message)
            raise
        finally:
            self.looked.set()
        self._is_ours, self.refusal = True, None
        log.info("following the server at %s", self.place)


async def _refuse(_message: ToWorker) -> Answer:
    return Failure(code="invalid_request", message="a gateway is no worker")
