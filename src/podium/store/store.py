"""The store of one server: opens everything in order, closes it in reverse. See `Store.open`."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import timedelta
from pathlib import Path
from typing import TypeVar

import anyio
import anyio.to_thread
from sqlalchemy import Connection, select

from podium.kernel import events as e
from podium.kernel.clock import Clock
from podium.kernel.errors import Unavailable
from podium.store import retention, schema
from podium.store.absence import FIRST_PAUSE_S, MAX_PAUSE_S
from podium.store.artifacts import Artifacts
from podium.store.database import Seat, database_at
from podium.store.keeping_up import KeepingUp
from podium.store.meta import set_meta
from podium.store.queries import last_seq
from podium.store.reader import Reader
from podium.store.ring import Ring
from podium.store.unit import Unit
from podium.store.writer import Writer

log = logging.getLogger("podium.store")
T = TypeVar("T")
DATABASE_WAIT_S = 20.0
"""How long a start waits for a database that is away."""
MEND = "start the database, or mend database_url: podium doctor --config shows it and where it is set"

SEQ_SKIP = 1_000_000
"""How far the sequence jumps after the machine itself went down: events that clients had seen may not have
reached the disk, and a cursor must never point at a different event than before."""


class Store:
    """`writer` changes, `reader` reads, `ring` follows, `artifacts` keeps bytes."""

    def __init__(
        self,
        home: Path,
        clock: Clock,
        *,
        boot_id: str,
        database_url: str | None = None,
        who: str = "podium",
    ) -> None:
        """`boot_id`: the machine's. `database_url`: see `kernel.database_url`; None: a file in the home.
        `who`: what the database tells others about us. Raises Unavailable when the driver is missing."""
        self.home = home
        self.clock = clock
        self._boot_id = boot_id
        self.database = database_at(home, database_url, who)
        self.artifacts = Artifacts(home / "artifacts")
        self.clean = True
        self.reads_only = False
        self.epoch: str | None = None
        """See `Seat.epoch`, while we have the seat."""

    async def open(self, version: str, *, wait_s: float = DATABASE_WAIT_S) -> None:
        """Migrate if needed and start the threads. Waits at most `wait_s` for a database that is away.

        Raises NewerDatabase (nothing touched), Conflict when another server has it, Unavailable.
        """
        self.reader = Reader(self.database)
        seat = await anyio.to_thread.run_sync(self._take_seat, wait_s)
        try:
            self.artifacts.open()
            first = await anyio.to_thread.run_sync(self._look, seat.connection)
        except BaseException:
            seat.leave()
            raise
        self.epoch = seat.epoch
        self.ring = Ring(last_seq=first - 1)
        self.writer = Writer(self.database, seat, self.clock, self.ring, first_seq=first)
        self.reader.start()
        self.writer.start()
        await self.settled(lambda: self.writer.run(lambda unit: self._note_start(unit, version)))

    async def settled(self, step: Callable[[], Awaitable[T]], *, wait_s: float = DATABASE_WAIT_S) -> T:
        """`step`, again for as long as the database is away, at most `wait_s`: for a step of the start, which
        must not fail because of a moment. It may be carried out twice."""
        end = time.monotonic() + wait_s
        while True:
            try:
                return await step()
            except Unavailable as error:
                cut_off = not self.reads_only and not self.writer.can_write
                away = cut_off or self.database.is_away(error.__cause__ or error)
                if not away or time.monotonic() >= end:
                    raise
                await anyio.sleep(FIRST_PAUSE_S)

    async def open_to_read(self, *, wait_s: float = 0.0) -> None:
        """Only `reader`, `ring`, `keep_up` and `follow`: for a process beside the one that writes.

        Waits at most `wait_s` for a database that is away. Raises Unavailable then, and when it is not at
        our version: only a Writer migrates.
        """
        self.reads_only = True
        await self.settled(lambda: anyio.to_thread.run_sync(self.database.check), wait_s=wait_s)
        self.reader = Reader(self.database)
        self.reader.start()
        self.ring = Ring(last_seq=await self.reader.run(last_seq))

    async def keep_up(self) -> None:
        """After `open_to_read`: publish in `ring` what others commit. Until cancelled."""
        await KeepingUp(self).run()

    async def close_reading(self) -> None:
        """After `open_to_read`."""
        self.ring.close()
        await asyncio.to_thread(self.reader.stop)

    def follow(self) -> AsyncIterator[int]:
        """The number of the newest event at once, then again whenever somebody committed some; in whatever
        process. Raises Unavailable for an embedded database, which only one process has."""
        return self.database.follow()

    async def close(self) -> None:
        """Note a clean end, finish what waits, stop the threads."""
        with contextlib.suppress(Unavailable):  # its home has gone: what is there is not clean
            await self.writer.run(lambda unit: set_meta(unit, "clean", "1"))
        self.ring.close()
        await asyncio.to_thread(self.writer.stop)
        await asyncio.to_thread(self.reader.stop)

    async def prune(self, *, keep_events: timedelta, keep_artifacts: timedelta) -> tuple[int, int]:
        """One pass of retention; returns (events, artifacts) forgotten. Repeat until both are 0."""
        now = self.clock.now()
        await self.writer.run(retention.prune_keys)
        gone = await self.writer.run(lambda unit: retention.prune_events(unit, before=now - keep_events))
        limit = now - keep_artifacts
        stale = await self.reader.run(lambda c: retention.prunable_artifacts(c, before=limit))
        forgotten = 0
        for artifact_id in stale:
            if await self.writer.run(lambda unit, a=artifact_id: retention.forget_artifact(unit, a)):  # type: ignore[misc]
                await anyio.to_thread.run_sync(self.artifacts.remove, artifact_id)
                forgotten += 1
        return gone, forgotten

    def _take_seat(self, wait_s: float) -> Seat:
        end, pause_s = time.monotonic() + wait_s, FIRST_PAUSE_S
        while True:
            seat = self.database.seat()
            try:
                self.database.open()
                seat.take()
            except Exception as error:
                seat.leave()
                told = self.database.told(error)
                if not self.database.is_away(error.__cause__ or error):
                    raise told from error
                if time.monotonic() >= end:
                    raise Unavailable(told.message, hint=MEND) from error
                if pause_s == FIRST_PAUSE_S:
                    log.warning("%s; waiting up to %g s for it", told.message, wait_s)
                time.sleep(pause_s)
                pause_s = min(pause_s * 2, MAX_PAUSE_S)
            else:
                return seat

    def _look(self, connection: Connection) -> int:
        """The first number to give out. Notes whether the last end was clean, and in which era we are."""
        rows = connection.execute(select(schema.meta.c.key, schema.meta.c.value)).all()
        newest = last_seq(connection)
        self._era = self.database.era(connection, self._boot_id)
        connection.rollback()
        known = {row.key: row.value for row in rows}
        self.clean = "boot_id" not in known or known.get("clean") == "1" or known.get("boot_id") == self._era
        return newest + 1 + (0 if self.clean else SEQ_SKIP)

    def _note_start(self, unit: Unit, version: str) -> None:
        set_meta(unit, "boot_id", self._era)
        set_meta(unit, "clean", "0")
        unit.record(e.ServerStarted(version=version, clean=self.clean), by="server")
