"""The one Writer: one thread, one connection, commands in order, everything waiting in one commit.

It never waits in order to batch: it takes what queued while it was busy. A transaction is fully durable if
any of its commands asked for it; agent output does not. A command that refuses before it wrote anything
fails alone; otherwise the transaction is rolled back and done again with a savepoint around each command,
so that only the guilty one fails.

When the connection to the database is lost, commands are refused until there is a new one (`absence.py`).
"""

from __future__ import annotations

import asyncio
import logging
import queue
import threading
import time
from collections.abc import Callable
from typing import Any, Generic, TypeVar

from sqlalchemy import Connection

from podium.kernel.clock import Clock
from podium.kernel.errors import PodiumError, Unavailable
from podium.kernel.faultpoint import reach
from podium.store.absence import (
    FIRST_PAUSE_S,
    IN_DOUBT_S,
    MAX_PAUSE_S,
    Absence,
    not_done,
    not_known,
    note_return,
)
from podium.store.database import Database, InDoubt, Resumed, Seat, Superseded
from podium.store.ring import Entry, Ring
from podium.store.unit import Batch, Unit

log = logging.getLogger("podium.store")
T = TypeVar("T")
Command = Callable[[Unit], T]

MAX_BATCH = 256
MAX_WAITING = 20_000
"""Commands waiting for the Writer; beyond it callers are told `unavailable` at once."""


class Call(Generic[T]):
    """One command that waits for its commit."""

    __slots__ = ("command", "durable", "error", "future", "loop", "result")

    def __init__(self, command: Command[T], durable: bool, loop: asyncio.AbstractEventLoop) -> None:
        self.command = command
        self.durable = durable
        self.loop = loop
        self.future: asyncio.Future[T] = loop.create_future()
        self.result: Any = None
        self.error: Exception | None = None


class Writer:
    """Start with `start()`, stop with `stop()`; both from the event loop's thread. `seat` is taken."""

    def __init__(self, database: Database, seat: Seat, clock: Clock, ring: Ring, *, first_seq: int) -> None:
        self._database = database
        self._seat = seat
        self._clock = clock
        self._ring = ring
        self._next_seq = first_seq
        self._waiting: queue.SimpleQueue[Call[Any] | None] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._work, name="podium-writer", daemon=True)
        self._stopping = False
        self._absence: Absence | None = None
        self._batch: Batch | None = None
        """What is being committed."""
        self.commits = 0

    def start(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._thread.start()

    def stop(self) -> None:
        """Finish what waits, close the connection. Later commands are refused."""
        self._stopping = True
        self._waiting.put(None)
        self._thread.join()
        self._seat.leave()

    @property
    def can_write(self) -> bool:
        """False while the database is away, as far as is known: an idle Writer does not ask."""
        return self._absence is None

    async def run(self, command: Command[T], *, durable: bool = True) -> T:
        """Carry out `command` in a transaction; return its result after the commit.

        Raises what the command raised (nothing of it is kept), StorageFull, or Unavailable: then nothing of
        it is kept either, unless its `details` say `in_doubt`. A caller that is cancelled while waiting does
        not stop the command: it may still commit.
        """
        if self._stopping:
            raise Unavailable("Podium is stopping")
        if (absence := self._absence) is not None:
            raise absence.refusal()
        if self._waiting.qsize() > MAX_WAITING:
            raise Unavailable("too many commands are waiting", hint="wait a moment, then try again")
        call = Call(command, durable, asyncio.get_running_loop())
        self._waiting.put(call)
        return await call.future

    # ---- the thread --------------------------------------------------------------------------------

    def _work(self) -> None:
        while True:
            first = self._waiting.get()
            if first is None:
                return
            calls, last = self._take(first)
            entries = self._carry_out(calls)
            if self._absence is None:
                self._tell(calls, entries)
            elif self._wait_through(self._absence):
                return
            if last:
                return

    def _take(self, first: Call[Any]) -> tuple[list[Call[Any]], bool]:
        calls = [first]
        while len(calls) < MAX_BATCH:
            try:
                call = self._waiting.get_nowait()
            except queue.Empty:
                return calls, False
            if call is None:
                return calls, True
            calls.append(call)
        return calls, False

    def _carry_out(self, calls: list[Call[Any]]) -> list[Entry]:
        """The events of what was committed. With `_absence` set afterwards nobody has been told anything."""
        try:
            return self._transact(calls, _run_plainly)
        except _RedoError as error:
            if self._is_lost(error, calls):
                return []
        except Exception as error:
            if self._is_lost(error, calls):
                return []
            if len(calls) == 1 or self._database.is_locked(error):
                return self._fail(calls, error)
        try:
            return self._transact(calls, self._run_in_savepoint)
        except Exception as error:
            return [] if self._is_lost(error, calls) else self._fail(calls, error)

    def _transact(
        self, calls: list[Call[Any]], run: Callable[[Connection, Unit, Call[Any]], None]
    ) -> list[Entry]:
        try:
            self._seat.begin(durable=any(call.durable for call in calls))
            batch = Batch(self._seat.connection, self._clock.now(), self._next_seq)
            wrote = False
            for call in calls:
                call.result = call.error = None
                before = len(batch.rows), batch.next_seq
                unit = Unit(batch)
                run(self._seat.connection, unit, call)
                wrote = wrote or unit.wrote
                if call.error is not None:
                    del batch.rows[before[0] :]
                    batch.next_seq = before[1]
            batch.write_events()
            self._seat.seal(wrote=wrote, last_seq=batch.next_seq - 1 if batch.rows else None)
            reach("command.before_commit")
            self._batch = batch
            self._seat.commit()
            reach("command.after_commit")
        except BaseException:
            self._seat.rollback()
            raise
        return self._keep(batch)

    def _keep(self, batch: Batch) -> list[Entry]:
        self._next_seq = batch.next_seq
        self.commits += 1
        return batch.entries()

    def _run_in_savepoint(self, connection: Connection, unit: Unit, call: Call[Any]) -> None:
        savepoint = connection.begin_nested()
        try:
            call.result = call.command(unit)
            unit.flush()
        except Exception as error:
            if self._database.is_away(error):
                raise
            savepoint.rollback()
            call.error = self._database.told(error)
            if call.error is not error:
                call.error.__cause__ = error
        else:
            savepoint.commit()

    def _fail(self, calls: list[Call[Any]], error: Exception) -> list[Entry]:
        told = self._database.told(error)
        told.__cause__ = error
        for call in calls:
            call.error = told
        return []

    def _tell(self, calls: list[Call[Any]], entries: list[Entry]) -> None:
        loops = {call.loop for call in calls}
        for loop in loops:
            mine = [call for call in calls if call.loop is loop]
            try:
                loop.call_soon_threadsafe(self._settle, mine, entries)
            except RuntimeError:
                continue  # that loop has ended; what was committed stays committed

    def _settle(self, calls: list[Call[Any]], entries: list[Entry]) -> None:
        self._ring.publish(entries)
        for call in calls:
            if call.future.done():
                continue
            if call.error is not None:
                call.future.set_exception(call.error)
            else:
                call.future.set_result(call.result)

    # ---- while the database is away ------------------------------------------------------------------

    def _is_lost(self, error: Exception, calls: list[Call[Any]]) -> bool:
        """Whether the right to write went; then an absence begins, with the calls that are not told yet."""
        cause = error.__cause__ if isinstance(error, (_RedoError, InDoubt)) else error
        for_good = isinstance(error, Superseded)
        if not (for_good or self._database.is_away(cause or error)):
            return False
        told = self._database.told(cause if isinstance(cause, Exception) else error)
        log.warning("nothing can be written: %s", told.message)
        self._absence = Absence(told, for_good=for_good)
        if isinstance(error, InDoubt):
            self._absence.doubt(calls, self._batch)
        else:
            self._tell(calls, self._fail(calls, told))
        return True

    def _wait_through(self, absence: Absence) -> bool:
        """Connect again, refusing what comes meanwhile. True when the Writer is to stop instead."""
        pause_s = FIRST_PAUSE_S
        while True:
            if absence.for_good:
                self._seat.leave()  # whoever writes now, or shall, needs the lock
            if not absence.for_good and self._came_back(absence):
                return False
            if self._refuse_for(pause_s, absence):
                self._tell_doubted(absence, not_known())
                return True
            if absence.lasts_s() > IN_DOUBT_S:
                self._tell_doubted(absence, not_known())
            pause_s = min(pause_s * 2, MAX_PAUSE_S)

    def _came_back(self, absence: Absence) -> bool:
        try:
            found = self._seat.resume()
            if absence.batch is not None:
                self._resolve(absence, found)
            lost = max(0, self._next_seq - 1 - found.last_seq)
            if lost:
                self._loop.call_soon_threadsafe(self._ring.drop_after, found.last_seq)
            note = Call(
                lambda unit: note_return(
                    unit, away_s=absence.lasts_s(), lost_events=lost, era=found.era
                ), True, self._loop,
            )  # fmt: skip
            entries = self._transact([note], _run_plainly)
        except InDoubt:
            absence.doubt([], self._batch)  # should the note be there, its number is taken, and there are two
            return False
        except Superseded as error:
            absence.told, absence.for_good = error, True
            self._tell_doubted(absence, not_known())
            log.error("%s", error.message)
            return False
        except Exception as error:
            told = self._database.told(error)
            if told.message != absence.told.message:
                log.warning("still nothing can be written: %s", told.message)
            absence.told = told
            return False
        self._absence = None
        self._tell([note], entries)
        log.warning("the database is back after %.1f s; %d events lost", absence.lasts_s(), lost)
        return True

    def _resolve(self, absence: Absence, found: Resumed) -> None:
        """Whoever waits for a commit that was not answered learns what became of it."""
        batch, absence.batch = absence.batch, None
        calls = absence.take_doubted()
        if found.committed and batch is not None:
            self._tell_all(calls, self._keep(batch))
        else:
            self._tell(calls, self._fail(calls, not_done()))

    def _tell_all(self, calls: list[Call[Any]], entries: list[Entry]) -> None:
        """Also when nobody waits any more, followers learn of the events."""
        if calls:
            self._tell(calls, entries)
        else:
            self._loop.call_soon_threadsafe(self._ring.publish, entries)

    def _tell_doubted(self, absence: Absence, error: PodiumError) -> None:
        calls = absence.take_doubted()
        self._tell(calls, self._fail(calls, error))

    def _refuse_for(self, pause_s: float, absence: Absence) -> bool:
        """True when the Writer is to stop."""
        end = time.monotonic() + pause_s
        while (left_s := end - time.monotonic()) > 0:
            try:
                call = self._waiting.get(timeout=left_s)
            except queue.Empty:
                break
            if call is None:
                return True
            call.error = absence.refusal()
            self._tell([call], [])
        return False


class _RedoError(Exception):
    """A command refused after it had written: the batch must be done again with savepoints."""


def _run_plainly(_connection: Connection, unit: Unit, call: Call[Any]) -> None:
    try:
        call.result = call.command(unit)
        unit.flush()
    except Exception as error:
        if unit.wrote or not isinstance(error, PodiumError):
            raise _RedoError from error
        call.error = error
