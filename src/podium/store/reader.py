"""One reader thread: takes the queries that wait, runs them, encodes there, wakes the loop once per batch.

A pool with a thread per query loses half the throughput to the interpreter lock (measured).
"""

from __future__ import annotations

import asyncio
import queue
import threading
from collections.abc import Callable
from typing import Any, TypeVar

from sqlalchemy import Connection

from podium.kernel.errors import Unavailable
from podium.store.database import Database, as_podium_error

T = TypeVar("T")
Query = Callable[[Connection], T]
MAX_BATCH = 64


class Reader:
    def __init__(self, database: Database) -> None:
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
        with self._engine.connect() as connection:
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
                self._answer(connection, calls)
                if last:
                    return

    def _answer(self, connection: Connection, calls: list[tuple[Query[Any], asyncio.Future[Any]]]) -> None:
        answers: list[tuple[asyncio.Future[Any], Any, Exception | None]] = []
        for query, future in calls:
            try:
                answers.append((future, query(connection), None))
            except Exception as error:
                told = as_podium_error(error)
                if told is not error:
                    told.__cause__ = error
                answers.append((future, None, told))
        try:
            calls[0][1].get_loop().call_soon_threadsafe(_settle, answers)
        except RuntimeError:
            return  # the loop has ended; nobody waits any more


def _settle(answers: list[tuple[asyncio.Future[Any], Any, Exception | None]]) -> None:
    for future, value, error in answers:
        if future.done():
            continue
        if error is not None:
            future.set_exception(error)
        else:
            future.set_result(value)
