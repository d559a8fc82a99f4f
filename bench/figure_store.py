"""How fast agents' output goes into the log: store and engine alone, beside bare SQLite."""

from __future__ import annotations

import os
import sqlite3
import time
from collections.abc import Iterator
from pathlib import Path

import anyio

from bench.figure import Figure, Measurement
from bench.reports import Reports
from bench.served import scratch
from podium.process.clock import SystemClock
from podium.store.store import Store
from podium.testing.databases import chosen

SECONDS = 4.0
RUNS, EVENTS, IN_FLIGHT = 200, 200, 4
INGEST = "sustained ingest"
BODY = b'{"type":"run.said","task_id":"task_%026d","run_id":"run_%026d","text":"%s"}'


def take() -> Iterator[Figure]:
    with scratch() as folder:
        (folder / "home").mkdir()
        value = anyio.run(_ingested_per_s, folder / "home")
        floor = _bare_per_s(folder / "bare.db")
    yield Figure(name=INGEST, value=value, unit="events/s", floor=floor, budget=10_000, at_least=True)


async def _ingested_per_s(home: Path) -> float:
    store = Store(home, SystemClock(), boot_id="bench", database_url=chosen.url(home))
    await store.open("bench")
    try:
        sent = 0
        began = time.monotonic()

        async def send() -> None:
            nonlocal sent
            # Reports of one run must stay in order: every sender has runs of its own.
            reports = await Reports.prepare(store, runs=RUNS // IN_FLIGHT)
            while time.monotonic() - began < SECONDS:
                await reports.send(EVENTS)
                sent += EVENTS

        async with anyio.create_task_group() as tasks:
            for _ in range(IN_FLIGHT):
                tasks.start_soon(send)
        return sent / (time.monotonic() - began)
    finally:
        await store.close()


def _bare_per_s(path: Path) -> float:
    """The same rows by `executemany`, as many to a transaction."""
    with sqlite3.connect(path, isolation_level=None) as connection:
        connection.execute("PRAGMA journal_mode=WAL")
        connection.execute("PRAGMA synchronous=NORMAL")
        connection.execute(
            "CREATE TABLE events (seq INTEGER PRIMARY KEY, at TEXT, by TEXT, v INTEGER, type TEXT,"
            " task_id TEXT, run_id TEXT, body BLOB)"
        )
        connection.execute("CREATE INDEX by_task ON events (task_id, seq)")
        body = BODY % (1, 1, b"x" * 100)
        tasks = [f"task_{os.urandom(13).hex()}" for _ in range(RUNS)]
        seq, began = 0, time.monotonic()
        while time.monotonic() - began < SECONDS / 2:
            rows = [
                (
                    seq + n,
                    "2026-01-01T00:00:00.000000Z",
                    "worker",
                    1,
                    "run.said",
                    tasks[n % RUNS],
                    "run",
                    body,
                )
                for n in range(EVENTS)
            ]
            connection.execute("BEGIN IMMEDIATE")
            connection.executemany("INSERT INTO events VALUES (?,?,?,?,?,?,?,?)", rows)
            connection.execute("COMMIT")
            seq += EVENTS
        rate = seq / (time.monotonic() - began)
    connection.close()
    return rate


MEASUREMENTS = (Measurement(names=(INGEST,), take=take),)
