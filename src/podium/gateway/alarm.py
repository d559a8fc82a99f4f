"""Somebody trying out secrets becomes an event: once a minute for each address, however many they try."""

from __future__ import annotations

import contextlib
from collections import OrderedDict
from collections.abc import Sequence
from functools import partial

import anyio

from podium.bus.messages import SecretsRefused
from podium.gateway.main_server import MainServer
from podium.kernel import events as e
from podium.kernel.errors import StorageFull, Unavailable
from podium.store.store import Store
from podium.store.unit import Unit

FROM_COUNT = 20
WITHIN_S = 60.0
MAX_ADDRESSES = 1_000
TOLD_WITHIN_S = 5.0


class Alarms:
    """`hear` counts, `run` records: itself, or by the server `main` that is followed. A wrong token or two is
    a mistake and no event."""

    def __init__(self, store: Store, main: MainServer | None = None) -> None:
        self._store = store
        self._main = main
        self._counts: OrderedDict[str, tuple[int, float]] = OrderedDict()
        self._due: dict[str, int] = {}
        self._news = anyio.Event()

    def hear(self, address: str) -> None:
        now = self._store.clock.monotonic()
        count, since = self._counts.get(address, (0, now))
        if now - since > WITHIN_S:
            count, since = 0, now
        self._counts[address] = (count + 1, since)
        while len(self._counts) > MAX_ADDRESSES:
            self._counts.popitem(last=False)
        if count + 1 == FROM_COUNT:
            self.take(address, count + 1)

    def take(self, address: str, count: int) -> None:
        """As counted here, or by a gateway beside us."""
        if len(self._due) < MAX_ADDRESSES:
            self._due[address[:100]] = count
            self._news.set()

    async def run(self) -> None:
        """Until cancelled."""
        while True:
            await self._news.wait()
            self._news, due, self._due = anyio.Event(), self._due, {}
            with contextlib.suppress(Unavailable, StorageFull):  # the log of the process has them all
                await self._tell(due)

    async def _tell(self, due: dict[str, int]) -> None:
        if self._main is not None:
            for address, count in due.items():
                await self._main.ask(SecretsRefused(address=address, count=count), timeout_s=TOLD_WITHIN_S)
            return
        events = [
            e.AccessRefused(address=address, count=count, within_s=WITHIN_S) for address, count in due.items()
        ]
        await self._store.writer.run(partial(_record, events))


def _record(events: Sequence[e.Event], unit: Unit) -> None:
    for event in events:
        unit.append(event, by="guard")
