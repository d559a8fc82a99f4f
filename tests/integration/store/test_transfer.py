"""From the file in a home to a PostgreSQL database: everything, compared, or nothing."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys

import pytest

from podium.kernel import events as e
from podium.kernel.errors import Conflict
from podium.kernel.nouns import Agent
from podium.store import queries, transfer
from podium.store.postgresql import PostgresqlDatabase
from podium.store.sqlite import SqliteDatabase
from podium.store.store import Store

pytestmark = [pytest.mark.anyio, pytest.mark.only_on("postgresql")]


@pytest.fixture
def empty(databases):
    url = databases.make(migrated=False)
    yield url
    databases.drop(url)


@pytest.fixture
async def home(tmp_path, clock):
    """An embedded home with a history, its server ended."""
    store = Store(tmp_path, clock, boot_id="b")
    await store.open("test")
    said = e.RunSaid(task_id="t", run_id="r", text="a\0b ☃")

    def fill(unit) -> None:
        unit.record(e.AgentDefined(agent=Agent(name="Ä".encode().hex(), harness="scripted")), by="t")
        for _ in range(transfer.BATCH_ROWS + 5):
            unit.append(said, by="w\0o")

    await store.writer.run(fill)
    await store.close()
    return tmp_path


def podium(home, *words: str, **environ: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-P", "-m", "podium.app", *words],
        env={"PATH": os.environ["PATH"], "PODIUM_HOME": str(home), "HOME": str(home), **environ},
        capture_output=True,
        text=True,
        timeout=60,
    )


async def test_a_home_that_was_copied_goes_on_where_it_stood(home, empty, clock, databases):
    before = hashlib.sha256((home / "podium.db").read_bytes()).digest()
    done = podium(home, "migrate", "--to", empty, "--json")
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    rows = {table["table"]: table["rows"] for table in told["tables"]}
    assert rows["events"] == transfer.BATCH_ROWS + 7
    assert rows["agents"] == 1
    assert told["set"].startswith('database_url = "postgresql://')
    assert hashlib.sha256((home / "podium.db").read_bytes()).digest() == before
    assert not (home / "config.toml").exists()
    moved = Store(home, clock, boot_id="b", database_url=empty)
    await moved.open("test")
    assert moved.clean
    page, _ = await moved.reader.run(lambda c: queries.list_events(c, after=0, limit=100_000))
    numbers = [json.loads(line)["seq"] for line in page]
    assert numbers == list(range(1, transfer.BATCH_ROWS + 9))
    await moved.close()
    again = podium(home, "migrate", "--to", empty)
    assert again.returncode == 1
    assert "not empty" in again.stderr
    readable = podium(home, "migrate", "--to", empty, PODIUM_DATABASE_URL=empty)
    assert "already" in readable.stderr


async def test_what_is_interrupted_leaves_nothing_and_may_be_repeated(home, empty, databases, monkeypatch):
    class Stop(Exception):
        pass

    def stop(*_: object) -> None:
        raise Stop

    source, target = SqliteDatabase(home / "podium.db"), PostgresqlDatabase(empty)
    with monkeypatch.context() as patched:
        patched.setattr(transfer, "_add", stop)
        with pytest.raises(Stop):
            transfer.transfer(source, target)
    tables = databases.sql("SELECT 1 FROM pg_tables WHERE schemaname = 'public'", empty)
    assert tables == []
    assert {copied.table for copied in transfer.transfer(source, target)} >= {"events", "tasks", "meta"}


async def test_it_is_refused_while_a_server_has_the_home_or_its_database_or_runs_are_open(
    home, empty, clock, tmp_path
):
    from podium.app.home import Home

    with Home(home).owned():
        refused = podium(home, "migrate", "--to", empty)
    assert "in use by another Podium" in refused.stderr
    store = Store(home, clock, boot_id="b")
    await store.open("test")
    await store.writer.run(
        lambda unit: unit.execute(
            transfer.schema.runs.insert().values(
                id="run_1", task_id="task_1", state="running", fence=1, priority=0, open=1,
                doc=b"{}",
            )
        )
    )  # fmt: skip
    await store.close()
    with pytest.raises(Conflict, match=r"1 runs are open: task_1 \(running\)"):
        transfer.transfer(SqliteDatabase(home / "podium.db"), PostgresqlDatabase(empty))


async def test_a_backup_of_a_home_on_postgresql_says_what_it_lacks(tmp_path, databases):
    url = databases.make()
    (tmp_path / "artifacts").mkdir()
    secret = url.replace("podium@", "podium:geheim@")
    refused = podium(tmp_path, "backup", str(tmp_path / "copy"), PODIUM_DATABASE_URL=secret)
    assert refused.returncode == 1
    assert "pg_dump" in refused.stderr
    assert "geheim" not in refused.stderr
    done = podium(tmp_path, "backup", "--artifacts", str(tmp_path / "copy"), PODIUM_DATABASE_URL=secret)
    assert done.returncode == 0, done.stderr
    assert "The database is not in it" in done.stdout
    assert not (tmp_path / "copy" / "podium.db").exists()
    config = podium(tmp_path, "doctor", "--config", PODIUM_DATABASE_URL=secret)
    assert "podium:***@" in config.stdout
    assert "geheim" not in config.stdout
    databases.drop(url)
