"""One reader thread: takes the queries that wait, runs them, encodes there, wakes the loop once per batch.

A pool with a thread per query loses half the throughput to the interpreter lock (measured).
"""

from __future__ import annotations

import asyncio
import contextlib
import queue
import threading
from collections.abc import Callable
from typing import Any, TypeVar

from sqlalchemy import Connection
from sqlalchemy.exc import DBAPIError

from podium.kernel.errors import PodiumError, Unavailable
from podium.store.database import Database

T = TypeVar("T")
Query = Callable[[Connection], T]
_Call = tuple[Query[Any], asyncio.Future[Any]]
_Answer = tuple[asyncio.Future[Any], Any, Exception | None]
MAX_BATCH = 64


class Reader:
    def __init__(self, database: Database) -> None:
        self._database = database
        self._engine = database.reading_engine()
        self._waiting: queue.SimpleQueue[tuple[Query[Any], asyncio.Future[Any]] | None] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._work, name="podium-reader", daemon=True)
        self._stopping = False

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        self._stopping = True
        self._waiting.put(None)
        self._thread.join()
        self._engine.dispose()

    async def run(self, query: Query[T]) -> T:
        """The answer to `query`, from a snapshot not older than the call. Raises what the query raises;
        failures of the database as Unavailable."""
        if self._stopping:
            raise Unavailable("Podium is stopping")
        future: asyncio.Future[T] = asyncio.get_running_loop().create_future()
        self._waiting.put((query, future))
        return await future

    def _work(self) -> None:
        self._connection: Connection | None = None
        try:
            while True:
                first = self._waiting.get()
                if first is None:
                    return
                calls = [first]
                last = False
                while len(calls) < MAX_BATCH and not self._waiting.empty():
                    call = self._waiting.get()
                    if call is None:
                        last = True
                        break
                    calls.append(call)
                self._answer(calls)
                if last:
                    return
        finally:
            self._drop_connection()

    def _answer(self, calls: list[_Call]) -> None:
        answers: list[_Answer] = []
        away: PodiumError | None = None
        for query, future in calls:
            if away is not None:
                answers.append((future, None, type(away)(away.message, hint=away.hint)))
                continue
            try:
                answers.append((future, self._query(query), None))
            except Exception as error:
                told = self._database.told(error)
                if told is not error:
                    told.__cause__ = error
                    away = told if self._database.is_away(error) else None
                answers.append((future, None, told))
        try:
            calls[0][1].get_loop().call_soon_threadsafe(_settle, answers)
        except RuntimeError:
            return  # the loop has ended; nobody waits any more

    def _query(self, query: Query[T]) -> T:
        """On the connection there is; on a new one when that turns out to be gone. Reading is repeatable."""
        may_try_again = self._connection is not None
        while True:
            try:
                if self._connection is None:
                    self._connection = self._engine.connect()
                return query(self._connection)
            except Exception as error:
                if not self._database.is_away(error):
                    raise
                # Also the one that was made just now: nothing would ever be read on it again.
                self._drop_connection()
                if not may_try_again:
                    raise
                may_try_again = False

    def _drop_connection(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            with contextlib.suppress(DBAPIError):
                connection.invalidate()
                connection.close()


def _settle(answers: list[_Answer]) -> None:
    for future, value, error in answers:
        if future.done():
            continue
        if error is not None:
            future.set_exception(error)
        else:
            future.set_result(value)
