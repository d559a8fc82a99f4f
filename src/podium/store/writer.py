"""The one Writer: one thread, one connection, commands in order, everything waiting in one commit.

It never waits in order to batch: it takes what queued while it was busy. A transaction is fully durable if
any of its commands asked for it; agent output does not. A command that refuses before it wrote anything
fails alone; otherwise the transaction is rolled back and done again with a savepoint around each command,
so that only the guilty one fails.
"""

from __future__ import annotations

import asyncio
import queue
import threading
from collections.abc import Callable
from typing import Any, Generic, TypeVar

from sqlalchemy import Connection, func, select

from podium.kernel.clock import Clock
from podium.kernel.errors import PodiumError, Unavailable
from podium.kernel.faultpoint import reach
from podium.store import schema
from podium.store.database import Database, as_podium_error, is_locked
from podium.store.ring import Entry, Ring
from podium.store.unit import Batch, Unit

T = TypeVar("T")
Command = Callable[[Unit], T]

MAX_BATCH = 256
MAX_WAITING = 20_000
"""Commands waiting for the Writer; beyond it callers are told `unavailable` at once."""


class _Call(Generic[T]):
    __slots__ = ("command", "durable", "error", "future", "loop", "result")

    def __init__(self, command: Command[T], durable: bool, loop: asyncio.AbstractEventLoop) -> None:
        self.command = command
        self.durable = durable
        self.loop = loop
        self.future: asyncio.Future[T] = loop.create_future()
        self.result: Any = None
        self.error: Exception | None = None


class Writer:
    """Start with `start()`, stop with `stop()`; both from the event loop's thread."""

    def __init__(self, database: Database, clock: Clock, ring: Ring, *, first_seq: int) -> None:
        self._database = database
        self._engine = database.writing_engine()
        self._clock = clock
        self._ring = ring
        self._next_seq = first_seq
        self._waiting: queue.SimpleQueue[_Call[Any] | None] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._work, name="podium-writer", daemon=True)
        self._stopping = False
        self._full: bool | None = None
        self.commits = 0

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        """Finish what waits, close the connection. Later commands are refused."""
        self._stopping = True
        self._waiting.put(None)
        self._thread.join()
        self._engine.dispose()

    async def run(self, command: Command[T], *, durable: bool = True) -> T:
        """Carry out `command` in a transaction; return its result after the commit.

        Raises what the command raised (nothing of it is kept), StorageFull, or Unavailable. A caller that
        is cancelled while waiting does not stop the command: it may still commit.
        """
        if self._stopping:
            raise Unavailable("Podium is stopping")
        if self._waiting.qsize() > MAX_WAITING:
            raise Unavailable("too many commands are waiting", hint="wait a moment, then try again")
        call = _Call(command, durable, asyncio.get_running_loop())
        self._waiting.put(call)
        return await call.future

    # ---- the thread --------------------------------------------------------------------------------

    def _work(self) -> None:
        with self._engine.connect() as connection:
            self._file = self._database.file()
            while True:
                first = self._waiting.get()
                if first is None:
                    return
                calls, last = self._take(first)
                entries = self._carry_out(connection, calls)
                self._tell(calls, entries)
                if last:
                    return

    def _take(self, first: _Call[Any]) -> tuple[list[_Call[Any]], bool]:
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

    def _carry_out(self, connection: Connection, calls: list[_Call[Any]]) -> list[Entry]:
        try:
            return self._transact(connection, calls, _run_plainly)
        except _RedoError:
            pass
        except Exception as error:
            if len(calls) == 1 or is_locked(error):
                return _fail(calls, error)
        try:
            return self._transact(connection, calls, _run_in_savepoint)
        except Exception as error:
            return _fail(calls, error)

    def _transact(
        self,
        connection: Connection,
        calls: list[_Call[Any]],
        run: Callable[[Connection, Unit, _Call[Any]], None],
    ) -> list[Entry]:
        self._set_durability(connection, any(call.durable for call in calls))
        batch = Batch(connection, self._clock.now(), self._next_seq)
        try:
            connection.begin()
            for call in calls:
                call.result = call.error = None
                before = len(batch.rows), batch.next_seq
                run(connection, Unit(batch), call)
                if call.error is not None:
                    del batch.rows[before[0] :]
                    batch.next_seq = before[1]
            batch.write_events()
            self._check_place()
            reach("command.before_commit")
            connection.commit()
            reach("command.after_commit")
        except BaseException:
            connection.rollback()  # also when BEGIN itself failed: SQLAlchemy thinks it has begun
            raise
        self._next_seq = batch.next_seq
        self.commits += 1
        return batch.entries()

    def _check_place(self) -> None:
        """A file that was removed or moved away still takes a commit; nobody would ever find it again."""
        if self._database.file() != self._file:
            raise Unavailable(
                f"the database is not at {self._database.path} any more: nothing is taken in",
                hint="put the home back where it was, or stop this server and start it on another",
            )

    def _set_durability(self, connection: Connection, full: bool) -> None:
        if full is not self._full:
            driver: Any = connection.connection.dbapi_connection
            driver.execute(f"PRAGMA synchronous={'FULL' if full else 'NORMAL'}")
            self._full = full

    def _tell(self, calls: list[_Call[Any]], entries: list[Entry]) -> None:
        loops = {call.loop for call in calls}
        for loop in loops:
            mine = [call for call in calls if call.loop is loop]
            try:
                loop.call_soon_threadsafe(self._settle, mine, entries)
            except RuntimeError:
                continue  # that loop has ended; what was committed stays committed

    def _settle(self, calls: list[_Call[Any]], entries: list[Entry]) -> None:
        self._ring.publish(entries)
        for call in calls:
            if call.future.done():
                continue
            if call.error is not None:
                call.future.set_exception(call.error)
            else:
                call.future.set_result(call.result)


class _RedoError(Exception):
    """A command refused after it had written: the batch must be done again with savepoints."""


def _run_plainly(_connection: Connection, unit: Unit, call: _Call[Any]) -> None:
    try:
        call.result = call.command(unit)
        unit.flush()
    except Exception as error:
        if unit.wrote or not isinstance(error, PodiumError):
            raise _RedoError from error
        call.error = error


def _run_in_savepoint(connection: Connection, unit: Unit, call: _Call[Any]) -> None:
    savepoint = connection.begin_nested()
    try:
        call.result = call.command(unit)
        unit.flush()
    except Exception as error:
        savepoint.rollback()
        call.error = as_podium_error(error)
        if call.error is not error:
            call.error.__cause__ = error
    else:
        savepoint.commit()


def _fail(calls: list[_Call[Any]], error: Exception) -> list[Entry]:
    told = as_podium_error(error)
    told.__cause__ = error
    for call in calls:
        call.error = told
    return []


def last_seq(connection: Connection) -> int:
    """The newest event's number; 0 for an empty log."""
    return int(connection.execute(select(func.max(schema.events.c.seq))).scalar() or 0)
