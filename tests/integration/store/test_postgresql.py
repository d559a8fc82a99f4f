"""What is true of PostgreSQL alone: others may write too, and it may go away at any moment."""

from __future__ import annotations

import asyncio
import signal
import tempfile
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import psycopg
import pytest
from sqlalchemy import select

from podium.kernel import events as e
from podium.kernel.errors import Conflict, NewerDatabase, PodiumError, Unavailable
from podium.store import postgresql_seat, queries, schema
from podium.store.postgresql import PostgresqlDatabase
from podium.store.postgresql_seat import PostgresqlSeat
from podium.store.store import SEQ_SKIP, Store
from podium.testing.databases import chosen
from podium.testing.postgresql import Cluster
from tests.integration.store.wire import Wire
from tests.support import eventually_in_loop

pytestmark = [pytest.mark.anyio, pytest.mark.only_on("postgresql")]


def said(text: str) -> e.RunSaid:
    return e.RunSaid(task_id="task_1", run_id="run_1", text=text)


async def speak(store: Store, text: str, *, durable: bool = True) -> int:
    return await store.writer.run(lambda unit: unit.append(said(text), by="t"), durable=durable)


async def texts(store: Store) -> list[str]:
    """What was said, in order, as the database has it."""
    page, _ = await store.reader.run(lambda c: queries.list_events(c, after=0, limit=100_000))
    events = [e.msgspec.json.decode(line, type=e.Recorded).event for line in page]
    return [event.text for event in events if isinstance(event, e.RunSaid)]


async def returns(store: Store) -> list[e.DatabaseReturned]:
    page, _ = await store.reader.run(lambda c: queries.list_events(c, after=0, limit=100_000))
    events = [e.msgspec.json.decode(line, type=e.Recorded).event for line in page]
    return [event for event in events if isinstance(event, e.DatabaseReturned)]


async def can_write(store: Store) -> None:
    await eventually_in_loop(lambda: store.writer.can_write)


def writer_pid(store: Store) -> int:
    seat = store.writer._seat
    assert isinstance(seat, PostgresqlSeat)
    assert seat._me is not None
    return seat._me[0]


@pytest.fixture(scope="module")
def cluster_of_module(nothing_is_left_behind: None) -> Iterator[Cluster]:
    made = Cluster()
    yield made
    made.remove()


@pytest.fixture
def own_cluster(cluster_of_module: Cluster) -> Cluster:
    """To be crashed: not the one that other tests stand on. Up, however the test before left it."""
    if not cluster_of_module.is_up():
        cluster_of_module.start()
    return cluster_of_module


@pytest.fixture
async def shaky(own_cluster: Cluster, tmp_path: Path, clock) -> AsyncIterator[Store]:
    """A store whose database the test may crash."""
    store = Store(tmp_path, clock, boot_id="b", database_url=own_cluster.databases.make())
    await store.open("test")
    yield store
    await store.close()


@pytest.fixture
async def wired(cluster: Cluster, databases, tmp_path: Path, clock) -> AsyncIterator[tuple[Store, Wire]]:
    """A store that reaches its database over a line that can be cut."""
    with tempfile.TemporaryDirectory(prefix="wire-") as folder:
        wire = Wire(cluster.folder, Path(folder))
        url = cluster.databases.make()
        through = url.replace(str(cluster.folder), folder)
        store = Store(tmp_path, clock, boot_id="b", database_url=through)
        await store.open("test")
        yield store, wire
        await store.close()
        wire.close()
        cluster.databases.drop(url)


async def test_a_second_server_is_refused_and_told_who_has_the_database(tmp_path, clock, monkeypatch):
    monkeypatch.setattr(postgresql_seat, "LOCK_WAIT_S", 0.1)
    url = chosen.url(tmp_path)
    first = Store(tmp_path, clock, boot_id="b", database_url=url, who="podium 42 on here")
    await first.open("test")
    second = Store(tmp_path / "b", clock, boot_id="b", database_url=url)
    with pytest.raises(Conflict, match="podium 42 on here"):
        await second.open("test")
    assert await speak(first, "still here") > 0
    await first.close()
    await second.open("test")
    await second.close()


@pytest.mark.parametrize("when", ["before", "after"])
async def test_a_commit_whose_answer_is_lost_is_looked_up_and_its_callers_told_the_truth(wired, when):
    store, wire = wired
    before = store.ring.last_seq
    wire.cut(when)
    told = await asyncio.gather(*[speak(store, str(n)) for n in range(3)], return_exceptions=True)
    assert wire.cuts == 1
    await can_write(store)
    there = await texts(store)
    kept = [str(n) for n, answer in enumerate(told) if isinstance(answer, int)]
    refused = [answer for answer in told if not isinstance(answer, int)]
    assert there == kept
    assert (len(kept) > 0) == (when == "after")
    assert all(isinstance(answer, Unavailable) and "in_doubt" not in answer.details for answer in refused)
    (returned,) = await returns(store)
    assert returned.lost_events == 0
    shown = [entry.seq for entry in store.ring.since(before) or []]
    assert shown == list(range(before + 1, before + 1 + len(shown)))
    assert len(shown) == len(kept) + 1


@pytest.mark.parametrize("whens", [("after", "after", "after"), ("before", "after"), ("after", "before")])
async def test_a_line_that_breaks_again_at_the_first_commit_after_it_came_back_is_survived(wired, whens):
    store, wire = wired
    wire.cut(*whens)
    told = await asyncio.gather(speak(store, "one"), return_exceptions=True)
    await can_write(store)
    assert wire.cuts == len(whens)
    assert await texts(store) == (["one"] if isinstance(told[0], int) else [])
    assert isinstance(told[0], int) == (whens[0] == "after")
    await speak(store, "two")
    stored = await store.reader.run(
        lambda c: [row[0] for row in c.execute(select(schema.events.c.seq).order_by(schema.events.c.seq))]
    )
    assert stored == list(range(1, len(stored) + 1))
    assert [entry.seq for entry in store.ring.since(0) or []] == stored


async def test_output_whose_commit_is_not_answered_is_not_doubled_either(wired):
    store, wire = wired
    wire.cut("after")
    assert await speak(store, "once", durable=False) > 0
    await can_write(store)
    assert await texts(store) == ["once"]


async def test_a_writer_whose_connection_is_ended_under_load_tells_everybody_the_truth(store):
    url = chosen.url(store.home)
    acknowledged: list[str] = []
    unknown: list[bool] = []
    ended = 0

    async def one(name: int) -> None:
        for number in range(60):
            text = f"{name}-{number}"
            try:
                await speak(store, text, durable=bool(number % 2))
            except Unavailable as error:
                unknown.append(error.details.get("in_doubt", False))
                await can_write(store)
            else:
                acknowledged.append(text)

    async def disturb() -> None:
        nonlocal ended
        while len(acknowledged) < 8 * 40:
            enough = min(len(acknowledged) + 30, 8 * 40)
            await asyncio.to_thread(_end_backend, url, writer_pid(store))
            ended += 1
            await eventually_in_loop(lambda least=enough: len(acknowledged) >= least)

    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(disturb())
        for name in range(8):
            tasks.create_task(one(name))
    await can_write(store)
    there = await texts(store)
    assert ended > 2
    assert not any(unknown), "the database was back in time for everybody to learn the truth"
    assert sorted(there) == sorted(acknowledged), "what was acknowledged is there, once; what was not, is not"
    assert 0 < len(await returns(store)) <= ended


def _end_backend(url: str | None, pid: int) -> None:
    with psycopg.connect(url or "", autocommit=True) as connection:
        connection.execute("SELECT pg_terminate_backend(%s)", (pid,))


@pytest.mark.parametrize("how", [signal.SIGQUIT, signal.SIGKILL], ids=["immediate", "kill-9"])
async def test_a_database_that_crashes_is_waited_for_and_has_everything_acknowledged(
    shaky, own_cluster: Cluster, how
):
    for number in range(20):
        await speak(shaky, f"command {number}")
    await asyncio.gather(*[speak(shaky, f"output {n}", durable=False) for n in range(200)])
    shown = shaky.ring.last_seq
    await asyncio.to_thread(own_cluster.stop, how)
    for attempt in (speak(shaky, "no"), texts(shaky)):
        with pytest.raises(Unavailable, match="away"):
            await attempt
    assert not shaky.writer.can_write
    own_cluster.start()
    await can_write(shaky)
    there = await texts(shaky)
    assert there[:20] == [f"command {number}" for number in range(20)]
    (returned,) = await returns(shaky)
    assert returned.lost_events == 220 - len(there)
    assert await speak(shaky, "yes") == shown + 2, "no number that was shown is given again"
    held = [entry.seq for entry in shaky.ring.since(0) or []]
    stored = await shaky.reader.run(
        lambda c: [row[0] for row in c.execute(select(schema.events.c.seq).order_by(schema.events.c.seq))]
    )
    assert held == [seq for seq in stored if seq >= held[0]], "followers are shown only what is there"


@pytest.mark.parametrize(
    ("clean", "crash", "skipped"), [(True, True, 0), (False, False, 0), (False, True, SEQ_SKIP)]
)
async def test_only_a_crash_of_the_database_makes_the_sequence_jump(
    own_cluster: Cluster, tmp_path, clock, clean, crash, skipped
):
    url = own_cluster.databases.make()
    store = Store(tmp_path, clock, boot_id="b", database_url=url)
    await store.open("test")
    if clean:
        await store.close()
    else:
        store.writer.stop()
        store.reader.stop()
    if crash:
        own_cluster.stop(signal.SIGQUIT)
        own_cluster.start()
    again = Store(tmp_path, clock, boot_id="other", database_url=url)
    await again.open("test")
    assert again.ring.last_seq == 2 + skipped
    await again.close()


async def test_a_server_that_finds_that_another_wrote_takes_in_nothing_more(store, databases):
    url = chosen.url(store.home)
    databases.sql("UPDATE meta SET value = 'another 7' WHERE key = 'writer'", url)
    for _ in range(2):
        with pytest.raises(Unavailable, match="another server wrote"):
            await speak(store, "no")
    assert not store.writer.can_write
    assert await texts(store) == []


async def test_a_start_waits_for_a_database_that_is_away_and_refuses_after_its_bound(
    own_cluster: Cluster, tmp_path, clock
):
    url = own_cluster.databases.make()
    own_cluster.stop()
    store = Store(tmp_path, clock, boot_id="b", database_url=url.replace("podium@", "podium:geheim@"))
    with pytest.raises(Unavailable, match="away") as refused:
        await store.open("test", wait_s=0.1)
    assert "geheim" not in str(refused.value) + repr(refused.value.__cause__) + refused.value.hint
    opening = asyncio.ensure_future(store.open("test"))
    await asyncio.to_thread(own_cluster.start)
    await opening
    assert await speak(store, "there") > 0
    await store.close()


async def test_a_newer_database_is_refused_untouched(tmp_path, clock, databases):
    url = chosen.url(tmp_path)
    databases.sql("UPDATE alembic_version SET version_num = '9999'", url)
    with pytest.raises(NewerDatabase, match="9999"):
        await Store(tmp_path, clock, boot_id="b", database_url=url).open("test")
    assert databases.sql("SELECT * FROM meta", url) == []


async def test_a_database_locked_by_another_program_refuses_and_recovers(tmp_path, clock):
    url = chosen.url(tmp_path) or ""
    joined = "&" if "?" in url else "?"
    impatient = f"{url}{joined}options=-c%20lock_timeout%3D50"
    store = Store(tmp_path, clock, boot_id="b", database_url=impatient)
    await store.open("test")
    with psycopg.connect(url) as other:
        other.execute("LOCK TABLE events")
        with pytest.raises(Unavailable, match="locked"):
            await speak(store, "no")
    assert await speak(store, "yes") > 0
    assert await texts(store) == ["yes"]
    await store.close()


async def test_a_database_without_tables_is_migrated_by_one_server_at_a_time(databases, tmp_path, clock):
    url = databases.make(migrated=False)
    opened = [PostgresqlDatabase(url) for _ in range(3)]
    await asyncio.gather(*[asyncio.to_thread(database.open) for database in opened])
    store = Store(tmp_path, clock, boot_id="b", database_url=url)
    await store.open("test")
    await store.close()
    databases.drop(url)


async def test_a_process_that_only_reads_learns_of_commits_and_survives_a_cut_line(store, tmp_path, clock):
    beside = Store(tmp_path / "other", clock, boot_id="b", database_url=chosen.url(store.home))
    await beside.open_to_read()
    following = aiter(beside.follow())
    assert await anext(following) == store.ring.last_seq
    seq = await speak(store, "one")
    assert await anext(following) == seq
    assert await texts(beside) == ["one"]
    seq = await speak(store, "two", durable=False)
    assert await anext(following) == seq
    await asyncio.to_thread(_end_others, chosen.url(store.home), writer_pid(store))
    assert await anext(following) == seq, "after a new connection the newest is told again"
    with pytest.raises(PodiumError):
        await beside.reader.run(lambda c: c.execute(schema.meta.delete()))
    await following.aclose()
    await beside.close_reading()


async def test_a_reader_whose_line_is_cut_twice_in_a_row_reads_on_afterwards(store):
    url, pid = chosen.url(store.home), writer_pid(store)
    assert await texts(store) == []
    cuts = iter([True, True])

    def cut(connection):
        if next(cuts, False):
            _end_others(url, pid)
        return connection.execute(schema.meta.select()).all()

    with pytest.raises(Unavailable):
        await store.reader.run(cut)
    assert await store.reader.run(cut)
    assert await texts(store) == []


def _end_others(url: str | None, pid: int) -> None:
    with psycopg.connect(url or "", autocommit=True) as connection:
        connection.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database() "
            "AND pid NOT IN (%s, pg_backend_pid())",
            (pid,),
        )


async def test_a_step_of_the_start_outlasts_a_moment_without_the_database(shaky, own_cluster: Cluster):
    await asyncio.to_thread(own_cluster.stop, signal.SIGKILL)
    steps = [
        asyncio.ensure_future(shaky.settled(lambda: speak(shaky, "there"))),
        asyncio.ensure_future(shaky.settled(lambda: texts(shaky))),
    ]
    await eventually_in_loop(lambda: not shaky.writer.can_write)
    await asyncio.to_thread(own_cluster.start)
    assert await steps[0] > 0
    assert await steps[1] in ([], ["there"])
    await asyncio.to_thread(own_cluster.stop)
    with pytest.raises(Unavailable):
        await shaky.settled(lambda: speak(shaky, "no"), wait_s=0.1)
