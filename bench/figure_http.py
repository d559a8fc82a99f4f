"""What the API carries: lists at growing numbers of tasks, commands with and without agents' output."""

from __future__ import annotations

import json
import os
import sqlite3
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec

from bench.figure import Figure, Measurement
from bench.host_process import hosted
from bench.reports import noun_task
from bench.served import program, run_program, scratch
from bench.wire import Address, Http
from podium.kernel.ids import IdMaker
from podium.process.clock import SystemClock
from podium.store import schema
from podium.store.database import database_at
from podium.testing.databases import chosen

SECONDS = 4
CLIENTS = 16
SIZES, FULL_SIZES = (1_000, 100_000), (1_000_000,)
CHUNK = 5_000
EVENTS_PER_S = 10_000
LIST = "list 50 of {:,} tasks"
COMMAND, COMMAND_LOADED = "commands", "commands under 10,000 events/s"
BODY = json.dumps({"prompt": "do this, please", "agent": "claude"})


def lists() -> Iterator[Figure]:
    yield from _lists(SIZES)


def large_lists() -> Iterator[Figure]:
    yield from _lists(FULL_SIZES)


def _lists(sizes: tuple[int, ...]) -> Iterator[Figure]:
    with hosted(0) as (home, _pid):
        present = 0
        for size in sizes:
            add_tasks(home, size - present)
            present = size
            address = Address.of(home)
            value = _load(address, "GET", "/tasks?limit=50")
            floor = _bare_per_s(Http(address).call("GET", "/tasks?limit=50"))
            yield Figure(
                name=LIST.format(size), value=value, unit="req/s", floor=floor, budget=2_500, at_least=True
            )


def commands() -> Iterator[Figure]:
    yield from _commands(COMMAND, 0)


def commands_under_load() -> Iterator[Figure]:
    yield from _commands(COMMAND_LOADED, EVENTS_PER_S)


def _commands(name: str, rate: int) -> Iterator[Figure]:
    with hosted(rate) as (home, _pid):
        value = _load(Address.of(home), "POST", "/tasks", BODY)
    with scratch() as folder:
        floor = _bare_commits_per_s(folder / "bare.db")
    yield Figure(name=name, value=value, unit="req/s", floor=floor, budget=1_500, at_least=True)


def _load(address: Address, method: str, path: str, *body: str) -> float:
    words = (address.host, str(address.port), address.token, str(SECONDS), str(CLIENTS), method, path, *body)
    return run_program("load", *words)["per_s"]


def add_tasks(home: Path, count: int) -> None:
    """Rows straight into the database, beside the running server: making them by command would take hours."""
    ids = IdMaker(SystemClock(), os.urandom)
    doc = msgspec.json.encode(noun_task(ids))
    marker = msgspec.json.decode(doc)["id"].encode()
    engine = database_at(home, chosen.url(home)).writing_engine()
    insert = schema.tasks.insert()
    with engine.connect() as connection:
        for start in range(0, count, CHUNK):
            made = [ids.new("task") for _ in range(min(CHUNK, count - start))]
            rows = [
                {
                    "id": one, "project_id": None, "state": "queued", "status": "queued", "prompt": "x",
                    "doc": doc.replace(marker, one.encode()),
                }
                for one in made
            ]  # fmt: skip
            with connection.begin():
                connection.execute(insert, rows)
    engine.dispose()


# ---- floors ------------------------------------------------------------------------------------------


def _bare_per_s(answer: Any) -> float:
    """The same bytes, from a server that does nothing for them."""
    with scratch() as folder:
        file = folder / "answer"
        file.write_text(json.dumps(answer, separators=(",", ":")))
        with program("bare", str(file)) as child:
            assert child.stdout is not None
            address = Address("127.0.0.1", int(child.stdout.readline()), "none")
            return _load(address, "GET", "/")


def _bare_commits_per_s(path: Path) -> float:
    """One client's rows of one command, durable, one transaction each."""
    connection = sqlite3.connect(path, isolation_level=None)
    connection.execute("PRAGMA journal_mode=WAL")
    connection.execute("PRAGMA synchronous=FULL")
    connection.execute("CREATE TABLE rows (id INTEGER PRIMARY KEY, doc BLOB)")
    count, began = 0, time.monotonic()
    while time.monotonic() - began < SECONDS / 4:
        connection.execute("BEGIN IMMEDIATE")
        connection.executemany("INSERT INTO rows (doc) VALUES (?)", [(b"x" * 600,)] * 4)
        connection.execute("COMMIT")
        count += 1
    rate = count / (time.monotonic() - began)
    connection.close()
    return rate


MEASUREMENTS = (
    Measurement(names=tuple(LIST.format(size) for size in SIZES), take=lists),
    Measurement(names=tuple(LIST.format(size) for size in FULL_SIZES), take=large_lists, full=True),
    Measurement(names=(COMMAND,), take=commands),
    Measurement(names=(COMMAND_LOADED,), take=commands_under_load),
)
