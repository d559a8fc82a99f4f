"""The ring of a process beside the one that writes: what others commit, read from the log in order."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

import anyio
from sqlalchemy import Connection, select

from podium.kernel.errors import PodiumError
from podium.store import schema
from podium.store.queries import last_seq
from podium.store.ring import Entry
from podium.store.unit import wire_of

if TYPE_CHECKING:
    from podium.store.store import Store

log = logging.getLogger("podium.store")
PAGE_EVENTS = 1_000
LOOK_EVERY_S = 2.0
"""A net under the wake-ups: a connection that died without a word brings none."""
AGAIN_S = 0.25
"""Between two attempts while the database is away."""


class KeepingUp:
    """`run()` until cancelled. Exactly once and in order: the ring's newest number says where to go on."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._news = anyio.Event()

    async def run(self) -> None:
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(self._listen)
            while True:
                with anyio.move_on_after(LOOK_EVERY_S):
                    await self._news.wait()
                self._news = anyio.Event()
                try:
                    await self._read_on()
                except PodiumError as error:
                    log.info("the log could not be read on: %s", error.message)
                    await anyio.sleep(AGAIN_S)
                    self._news.set()

    async def _listen(self) -> None:
        async for _ in self._store.follow():
            self._news.set()

    async def _read_on(self) -> None:
        ring, full = self._store.ring, True
        while full:
            place = ring.last_seq
            newest, entries = await self._store.reader.run(lambda c: _log_after(c, place))  # noqa: B023
            if 0 < newest < place and not entries:
                # The database crashed and lost the last of what was not durable.
                ring.drop_after(newest)
            ring.publish(entries)
            full = len(entries) == PAGE_EVENTS


def _log_after(connection: Connection, seq: int) -> tuple[int, list[Entry]]:
    """The newest number, and the next page of the log."""
    newest = last_seq(connection)
    table = schema.events
    columns = (table.c.seq, table.c.at, table.c.by, table.c.v, table.c.body)
    query = select(*columns, table.c.type, table.c.task_id, table.c.run_id).where(table.c.seq > seq)
    rows = connection.execute(query.order_by(table.c.seq).limit(PAGE_EVENTS)).all()
    return newest, [
        Entry(row.seq, row.task_id, row.run_id, row.type, wire_of(row.seq, row.at, row.by, row.v, row.body))
        for row in rows
    ]
