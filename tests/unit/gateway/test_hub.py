from __future__ import annotations

import asyncio

import anyio
import msgspec
import pytest

from podium.gateway import hub as hub_module
from podium.gateway.cursor import encode
from podium.gateway.hub import Chunk, Hub, cut
from podium.kernel.errors import RateLimited, Unavailable
from podium.store.ring import Entry, Ring

pytestmark = pytest.mark.anyio


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


def entry(seq: int, size: int = 10, task: str | None = None) -> Entry:
    wire = msgspec.json.encode({"seq": seq, "pad": "x" * size})
    return Entry(seq, task, None, "run.said", wire)


def test_a_chunk_reads_the_same_as_frame_and_as_lines() -> None:
    chunk = Chunk(0, 2, [entry(1), entry(2)])
    frame = msgspec.json.decode(chunk.frame)
    assert [event["seq"] for event in frame["events"]] == [1, 2]
    assert frame["cursor"] == encode(2)
    lines = chunk.lines.decode().split("\n\n")
    assert lines[1].startswith(f"id: {encode(2)}\ndata: ")
    assert chunk.frame is chunk.frame


def test_an_empty_chunk_still_moves_the_cursor() -> None:
    chunk = Chunk(5, 9, [])
    assert msgspec.json.decode(chunk.frame) == {"events": [], "cursor": encode(9)}
    assert f"id: {encode(9)}" in chunk.lines.decode()


def test_entries_are_cut_by_size_without_losing_or_doubling_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hub_module, "MAX_CHUNK_BYTES", 200)
    entries = [entry(seq, size=500 if seq == 4 else 50) for seq in range(1, 12)]
    chunks = list(cut(0, entries, 20))
    assert [found.seq for chunk in chunks for found in chunk.entries] == list(range(1, 12))
    assert [chunk.before for chunk in chunks] == [0, *(chunk.last for chunk in chunks[:-1])]
    assert chunks[-1].last == 20
    assert [4] in [[found.seq for found in chunk.entries] for chunk in chunks]


async def test_followers_at_one_place_get_the_same_chunk() -> None:
    ring = Ring(last_seq=0)
    hub = Hub(ring, max_followers=10)
    with hub.joined():
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(hub.run)
            await anyio.lowlevel.checkpoint()
            ring.publish([entry(1), entry(2)])
            assert await hub.news(0, 5)
            assert hub.after(0) is hub.after(0)
            middle = hub.after(1)
            assert middle is not None
            assert [found.seq for found in middle.entries] == [2]
            tasks.cancel_scope.cancel()


async def test_nobody_runs_ahead_of_the_last_look() -> None:
    ring = Ring(last_seq=0)
    hub = Hub(ring, max_followers=10)
    ring.publish([entry(1)])
    chunk = hub.after(0)
    assert chunk is not None
    assert chunk.entries == []
    assert chunk.last == 0


async def test_what_left_the_ring_is_not_pretended_to_be_empty() -> None:
    ring = Ring(last_seq=0, max_entries=2)
    hub = Hub(ring, max_followers=10)
    ring.publish([entry(seq) for seq in range(1, 6)])
    assert hub.after(0) is None


async def test_only_those_who_wait_for_a_task_are_woken_by_it() -> None:
    ring = Ring(last_seq=0)
    hub = Hub(ring, max_followers=10)
    with hub.joined(), hub.awaiting("task_a") as mine, hub.awaiting("task_b") as other:
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(hub.run)
            await anyio.lowlevel.checkpoint()
            mine.clear()
            other.clear()
            ring.publish([entry(1, task="task_a")])
            assert await hub.happens(mine, 5)
            assert not other.is_set()
            tasks.cancel_scope.cancel()
    assert hub._awaited == {}


async def test_something_that_happens_while_the_hub_wakes_up_is_not_missed() -> None:
    ring = Ring(last_seq=0)
    hub = Hub(ring, max_followers=10)
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(hub.run)
        await anyio.lowlevel.checkpoint()
        with hub.joined(), hub.awaiting("task_a") as waiter:
            ring.publish([entry(1, task="task_a")])  # before the hub had a turn
            assert await hub.happens(waiter, 5)
        tasks.cancel_scope.cancel()


async def test_closing_lets_everybody_go_and_takes_nobody_in() -> None:
    hub = Hub(Ring(last_seq=0), max_followers=1)
    with hub.joined():
        with pytest.raises(RateLimited), hub.joined():
            pass
        waiting = asyncio.ensure_future(hub.news(0, 60))
        await anyio.lowlevel.checkpoint()
        hub.close()
        assert await waiting is False
    with pytest.raises(Unavailable), hub.joined():
        pass


@pytest.mark.parametrize(
    ("followers", "rate", "expected_s"),
    [(1, 1_000, 0.002), (10, 1_000, 0.0025), (200, 1_000, 0.050), (200, 10, 0.002), (2_000, 1_000, 0.050)],
)
async def test_the_tick_stretches_with_clients_and_rate(followers: int, rate: int, expected_s: float) -> None:
    hub = Hub(Ring(last_seq=0), max_followers=10)
    hub._followers, hub._rate = followers, rate
    hub._looked_at = asyncio.get_running_loop().time()
    assert hub._pause_s(max(1, rate * 2 // 1_000)) == pytest.approx(expected_s, rel=0.05)
