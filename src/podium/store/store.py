"""The store of one server: opens everything in order, closes it in reverse. See `Store.open`."""

from __future__ import annotations

import asyncio
import contextlib
from datetime import timedelta
from pathlib import Path

import anyio.to_thread
from sqlalchemy import select

from podium.kernel import events as e
from podium.kernel.clock import Clock
from podium.kernel.errors import Unavailable
from podium.store import retention, schema
from podium.store.artifacts import Artifacts
from podium.store.database import Database
from podium.store.reader import Reader
from podium.store.ring import Ring
from podium.store.unit import Unit
from podium.store.writer import Writer, last_seq

SEQ_SKIP = 1_000_000
"""How far the sequence jumps after the machine itself went down: events that clients had seen may not have
reached the disk, and a cursor must never point at a different event than before."""


class Store:
    """`writer` changes, `reader` reads, `ring` follows, `artifacts` keeps bytes."""

    def __init__(self, home: Path, clock: Clock, *, boot_id: str) -> None:
        self.home = home
        self.clock = clock
        self._boot_id = boot_id
        self.database = Database(home / "podium.db")
        self.artifacts = Artifacts(home / "artifacts")
        self.clean = True

    async def open(self, version: str) -> None:
        """Migrate if needed and start the threads. Raises NewerDatabase (nothing touched), Unavailable."""
        await anyio.to_thread.run_sync(self.database.open)
        self.artifacts.open()
        self.reader = Reader(self.database)
        first, self.clean = await anyio.to_thread.run_sync(self._first_seq)
        self.ring = Ring(last_seq=first - 1)
        self.writer = Writer(self.database, self.clock, self.ring, first_seq=first)
        self.reader.start()
        self.writer.start()
        await self.writer.run(lambda unit: self._note_start(unit, version))

    async def close(self) -> None:
        """Note a clean end, finish what waits, stop the threads."""
        with contextlib.suppress(Unavailable):  # its home has gone: what is there is not clean
            await self.writer.run(lambda unit: _set_meta(unit, "clean", "1"))
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

    def _first_seq(self) -> tuple[int, bool]:
        engine = self.database.reading_engine()
        try:
            with engine.connect() as connection:
                rows = connection.execute(select(schema.meta.c.key, schema.meta.c.value)).all()
                newest = last_seq(connection)
        finally:
            engine.dispose()
        known = {row.key: row.value for row in rows}
        clean = not known or known.get("clean") == "1" or known.get("boot_id") == self._boot_id
        return newest + 1 + (0 if clean else SEQ_SKIP), clean

    def _note_start(self, unit: Unit, version: str) -> None:
        _set_meta(unit, "boot_id", self._boot_id)
        _set_meta(unit, "clean", "0")
        unit.record(e.ServerStarted(version=version, clean=self.clean), by="server")


def _set_meta(unit: Unit, key: str, value: str) -> None:
    table = schema.meta
    if not unit.execute(table.update().where(table.c.key == key).values(value=value)):
        unit.execute(table.insert().values(key=key, value=value))
