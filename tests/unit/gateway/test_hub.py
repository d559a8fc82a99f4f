from __future__ import annotations

import asyncio
from typing import Any

import anyio
import msgspec
import pytest
from websockets.client import ClientProtocol
from websockets.frames import Frame, Opcode
from websockets.protocol import State
from websockets.uri import parse_uri

from podium.gateway import hub as hub_module
from podium.gateway.cursor import encode
from podium.gateway.hub import Chunk, Hub, cut
from podium.gateway.sockets import text_frame
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


class Client:
    """Keeps what it was written; takes nothing while it is `slow`."""

    def __init__(self) -> None:
        self.frames: list[bytes] = []
        self.slow = False

    def write(self, frame: bytes) -> bool:
        if not self.slow:
            self.frames.append(frame)
        return not self.slow


async def carried_by(hub: Hub, client: Client, place: int = 0, quiet_s: float = 60) -> asyncio.Future[Any]:
    carrying = asyncio.ensure_future(hub.carry(place, client.write, quiet_s))
    await anyio.lowlevel.checkpoint()
    return carrying


async def test_who_keeps_up_is_written_the_very_same_bytes() -> None:
    ring = Ring(last_seq=0)
    hub = Hub(ring, max_followers=10)
    one, other = Client(), Client()
    for client in (one, other):
        await carried_by(hub, client)
    ring.publish([entry(1), entry(2)])
    hub._look()
    ring.publish([entry(3)])
    hub._look()
    assert len(one.frames) == 2
    assert all(mine is theirs for mine, theirs in zip(one.frames, other.frames, strict=True))
    hub.close()


async def test_who_lags_goes_on_at_its_own_cursor() -> None:
    ring = Ring(last_seq=0)
    hub = Hub(ring, max_followers=10)
    client = Client()
    carrying = await carried_by(hub, client)
    ring.publish([entry(1)])
    hub._look()
    client.slow = True
    for seq in (2, 3):
        ring.publish([entry(seq)])
        hub._look()
    assert await carrying == (1, False)
    assert len(client.frames) == 1
    behind = hub.after(1)
    assert behind is not None
    assert [found.seq for found in behind.entries] == [2]
    assert await hub.carry(1, client.write, 60) == (1, False)


async def test_who_was_written_nothing_for_a_while_is_told_so_and_one_that_was_waits_on() -> None:
    ring = Ring(last_seq=0)
    hub = Hub(ring, max_followers=10)
    client = Client()
    with anyio.fail_after(10):
        assert await hub.carry(0, client.write, 0.01) == (0, True)
        carrying = await carried_by(hub, client, quiet_s=0.2)
        ring.publish([entry(1)])
        hub._look()
        assert await carrying == (1, True)
    assert len(client.frames) == 1


async def test_who_is_cut_off_is_written_nothing_more_from_that_moment() -> None:
    ring = Ring(last_seq=0)
    hub = Hub(ring, max_followers=10)
    client = Client()
    with anyio.CancelScope() as scope:
        asyncio.get_running_loop().call_soon(cut_off_and_publish, scope, ring, hub)
        await hub.carry(0, client.write, 60)
    assert client.frames == []
    assert hub._carried == set()


def cut_off_and_publish(scope: anyio.CancelScope, ring: Ring, hub: Hub) -> None:
    scope.cancel()
    ring.publish([entry(1)])
    hub._look()


async def test_closing_lets_those_go_that_are_written_to() -> None:
    hub = Hub(Ring(last_seq=0), max_followers=10)
    carrying = await carried_by(hub, Client())
    hub.close()
    assert await carrying == (0, False)


@pytest.mark.parametrize("size", [0, 1, 125, 126, 65_535, 65_536, 300_000])
def test_a_frame_is_read_whole_by_a_client_of_any_make(size: int) -> None:
    client = ClientProtocol(parse_uri("ws://localhost/"), state=State.OPEN)
    client.receive_data(text_frame(b"x" * size))
    (frame,) = client.events_received()
    assert isinstance(frame, Frame)
    assert (frame.opcode, frame.fin, bytes(frame.data)) == (Opcode.TEXT, True, b"x" * size)


@pytest.mark.parametrize(
    ("followers", "rate", "expected_s"),
    [(1, 1_000, 0.002), (10, 1_000, 0.0025), (200, 1_000, 0.050), (200, 10, 0.002), (2_000, 1_000, 0.050)],
)
async def test_the_tick_stretches_with_clients_and_rate(followers: int, rate: int, expected_s: float) -> None:
    hub = Hub(Ring(last_seq=0), max_followers=10)
    hub._followers, hub._rate = followers, rate
    hub._looked_at = asyncio.get_running_loop().time()
    assert hub._pause_s(max(1, rate * 2 // 1_000)) == pytest.approx(expected_s, rel=0.05)
