"""Following the log by cursor: pages, server-sent events, the socket. Exactly once, whatever breaks."""

from __future__ import annotations

import asyncio
import itertools
import random
from pathlib import Path
from typing import Any

import anyio
import httpx
import msgspec
import pytest
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed

from podium.engine.engine import EngineSettings
from podium.gateway import cursor
from podium.store.retention import prune_events
from tests.integration.gateway.serving import API, Serving, error_of, open_task, serving
from tests.support import eventually_in_loop

pytestmark = pytest.mark.anyio


SMALL_RING = {"max_entries": 10, "max_bytes": 1_000_000}


def socket_of(rig: Serving) -> Any:
    url = rig.url.replace("http", "ws") + f"{API}/stream"
    headers = {"authorization": f"Bearer {rig.tokens.owner}"}
    return connect(url, additional_headers=headers, proxy=None, max_size=None)


async def subscribe(socket: ClientConnection, after: str | None, *topics: str) -> dict[str, Any]:
    """The server's first message."""
    await socket.send(msgspec.json.encode({"after": after, "topics": list(topics) or ["events"]}).decode())
    return await message(socket)


async def message(socket: ClientConnection) -> dict[str, Any]:
    async with asyncio.timeout(10):
        return dict(msgspec.json.decode(await socket.recv()))


async def everything(http: httpx.AsyncClient, after: str | None = None) -> list[int]:
    """The sequence numbers of the whole log, by pages."""
    seen: list[int] = []
    while True:
        page = (await http.get("/events", params={"limit": 100} | ({"after": after} if after else {}))).json()
        seen += [event["seq"] for event in page["events"]]
        if page["cursor"] == after:
            return seen
        after = page["cursor"]


async def test_pages_of_the_log_cover_it_once_and_the_end_keeps_its_cursor(
    rig: Serving, http: httpx.AsyncClient
) -> None:
    await rig.say("x", times=450)
    seen = await everything(http)
    assert seen == list(range(1, rig.store.ring.last_seq + 1))
    end = cursor.encode(rig.store.ring.last_seq)
    assert (await http.get("/events", params={"after": end})).json() == {"events": [], "cursor": end}


async def test_pages_are_filtered_by_task_run_and_type(rig: Serving, http: httpx.AsyncClient) -> None:
    task = await open_task(http)
    await open_task(http)
    by_task = (await http.get("/events", params={"task": task["id"]})).json()["events"]
    by_run = (await http.get("/events", params={"run": task["run_id"]})).json()["events"]
    by_type = (await http.get("/events", params={"type": "task.opened,run.queued"})).json()["events"]
    assert [event["event"]["type"] for event in by_task] == ["task.opened", "run.queued"]
    assert [event["event"]["type"] for event in by_run] == ["run.queued"]
    assert len(by_type) == 4


async def test_a_damaged_cursor_is_refused_everywhere(rig: Serving, http: httpx.AsyncClient) -> None:
    good = cursor.encode(1)
    flipped = ("b" if good[0] == "a" else "a") + good[1:]
    for bad in (flipped, good[:-1], good + "a", "1", good.upper(), cursor.encode(10_000_000)):
        for path in ("/events", "/events/stream"):
            assert error_of(await http.get(path, params={"after": bad})) == (400, "invalid_request"), bad
        async with socket_of(rig) as socket:
            assert (await subscribe(socket, bad))["error"]["code"] == "invalid_request"
            with pytest.raises(ConnectionClosed) as closed:
                await message(socket)
            assert closed.value.rcvd is not None
            assert closed.value.rcvd.code == 4400


async def test_a_pruned_cursor_is_410_with_the_oldest_that_still_works(
    rig: Serving, http: httpx.AsyncClient
) -> None:
    await rig.say("x", times=30)

    def forget(unit: Any) -> int:
        return prune_events(unit, before=rig.clock.now())

    assert await rig.store.writer.run(forget) > 10
    refused = await http.get("/events", params={"after": cursor.encode(2)})
    assert error_of(refused) == (410, "cursor_expired")
    oldest = refused.json()["error"]["details"]["oldest"]
    assert (await http.get("/events", params={"after": oldest})).status_code == 200


async def read_stream(http: httpx.AsyncClient, count: int, after: str | None, **query: str) -> list[int]:
    """The first `count` sequence numbers of a stream, then hang up."""
    seen: list[int] = []
    headers = {"last-event-id": after} if after else {}
    async with http.stream("GET", "/events/stream", params=query, headers=headers) as answer:
        assert answer.status_code == 200
        assert answer.headers["content-type"].startswith("text/event-stream")
        async for line in answer.aiter_lines():
            if line.startswith("data: "):
                seen.append(msgspec.json.decode(line[6:])["seq"])
                if len(seen) == count:
                    break
    return seen


async def test_a_stream_begins_with_history_and_goes_on_live(rig: Serving, http: httpx.AsyncClient) -> None:
    await rig.say("before", times=10)
    start = cursor.encode(2)
    seen: list[int] = []

    async def follow() -> None:
        seen.extend(await read_stream(http, 20, start))

    with anyio.fail_after(10):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(follow)
            await eventually_in_loop(lambda: rig.server._gateway._api.hub.followers)
            await rig.say("after", times=10)
    assert seen == list(range(3, 23))


async def test_a_follower_that_loses_its_connection_fifty_times_sees_each_event_once(tmp_path: Path) -> None:
    """E1: with a ring so small that some of what was missed must come from the store."""
    chance = random.Random(7)
    async with serving(tmp_path, ring={"max_entries": 40, "max_bytes": 1_000_000}) as rig:
        seen: list[int] = []
        total = 1_500
        first = rig.store.ring.last_seq

        async def write() -> None:
            for number in range(total // 10):
                await rig.say(f"line {number}", times=10)
                await anyio.sleep(0.001)

        async def follow() -> None:
            after = cursor.encode(first)
            for _ in range(50):
                async with rig.client() as http:
                    part = await read_stream(http, chance.randint(1, 40), after)
                seen.extend(part)
                after = cursor.encode(part[-1])
                if seen[-1] > first + total - 60:
                    break
            async with rig.client() as http:
                seen.extend(await read_stream(http, first + total - seen[-1], after))

        with anyio.fail_after(60):
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(write)
                tasks.start_soon(follow)
        assert seen == list(range(first + 1, first + total + 1))


async def test_a_socket_sends_batches_with_cursors_and_can_be_resumed(rig: Serving) -> None:
    async with socket_of(rig) as socket:
        hello = await subscribe(socket, None)
        assert hello == {"events": [], "cursor": cursor.encode(rig.store.ring.last_seq)}
        await rig.say("x", times=3)
        batch = await message(socket)
        assert len(batch["events"]) == 3
        assert batch["cursor"] == cursor.encode(batch["events"][-1]["seq"])
    await rig.say("missed", times=2)
    async with socket_of(rig) as socket:
        await subscribe(socket, batch["cursor"])
        resumed = await message(socket)
        assert [event["event"]["text"] for event in resumed["events"]] == ["missed", "missed"]


async def test_topics_narrow_a_socket_to_tasks_and_runs(rig: Serving, http: httpx.AsyncClient) -> None:
    one = await open_task(http, "one")
    async with socket_of(rig) as socket:
        await subscribe(socket, cursor.encode(0), f"task:{one['id']}")
        await open_task(http, "two")
        seen = (await message(socket))["events"]
        assert [event["event"]["type"] for event in seen] == ["task.opened", "run.queued"]
        await http.post(f"/tasks/{one['id']}/cancel")
        later = (await message(socket))["events"]
        assert {event["event"].get("task_id") for event in later} == {one["id"]}


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{",
        "[]",
        '{"topics": ["nonsense"]}',
        '{"topics": ["task:run_x"]}',
        '{"aftr": null}',
        '{"after": 3}',
    ],
)
async def test_a_subscription_that_is_not_right_is_told_so(rig: Serving, text: str) -> None:
    async with socket_of(rig) as socket:
        await socket.send(text)
        assert (await message(socket))["error"]["code"] == "invalid_request"
        with pytest.raises(ConnectionClosed) as closed:
            await message(socket)
        assert closed.value.rcvd is not None
        assert closed.value.rcvd.code == 4400


async def test_a_slow_client_is_held_back_and_still_sees_everything(tmp_path: Path) -> None:
    """Back-pressure, not a queue: while it does not read, the server keeps nothing for it but a cursor."""
    async with serving(tmp_path, ring=SMALL_RING) as rig:  # noqa: SIM117 (the server outlives its clients)
        async with socket_of(rig) as slow, socket_of(rig) as quick:
            first = rig.store.ring.last_seq
            await subscribe(slow, None)
            await subscribe(quick, None)
            slow.transport.pause_reading()
            for _ in range(20):
                await rig.say("y" * 50_000, times=20)
            seen: dict[str, list[int]] = {"quick": [], "slow": []}
            last = rig.store.ring.last_seq
            while not seen["quick"] or seen["quick"][-1] < last:
                seen["quick"] += [event["seq"] for event in (await message(quick))["events"]]
            slow.transport.resume_reading()
            while not seen["slow"] or seen["slow"][-1] < last:
                seen["slow"] += [event["seq"] for event in (await message(slow))["events"]]
            assert seen["slow"] == seen["quick"] == list(range(first + 1, last + 1))


async def test_a_slow_client_that_retention_overtakes_is_told_and_closed(tmp_path: Path) -> None:
    async with serving(tmp_path, ring=SMALL_RING) as rig:  # noqa: SIM117 (the server outlives its client)
        async with socket_of(rig) as socket:
            await subscribe(socket, None)
            socket.transport.pause_reading()
            for _ in range(40):
                await rig.say("y" * 50_000, times=20)
            await rig.store.writer.run(lambda unit: prune_events(unit, before=rig.clock.now()))
            socket.transport.resume_reading()
            with anyio.fail_after(20):
                for _ in itertools.count():
                    answer = await message(socket)
                    if "error" in answer:
                        break
            assert answer["error"]["code"] == "cursor_expired"
            with pytest.raises(ConnectionClosed) as closed:
                await message(socket)
            assert closed.value.rcvd is not None
            assert closed.value.rcvd.code == 4410


async def test_silence_is_broken_by_heartbeats_that_move_the_cursor(tmp_path: Path) -> None:
    async with serving(tmp_path, heartbeat_s=0.1) as rig, rig.client() as http:
        task = await open_task(http)
        async with socket_of(rig) as socket:
            await subscribe(socket, None, f"task:{task['id']}")
            await rig.say("of nobody", times=5)
            beat = await message(socket)
            while beat["cursor"] != cursor.encode(rig.store.ring.last_seq):
                beat = await message(socket)
            assert beat["events"] == []
        async with http.stream("GET", "/events/stream") as answer:
            async for line in answer.aiter_lines():
                if line == ": still here":
                    break


async def test_everybody_who_follows_is_let_go_when_the_server_stops(tmp_path: Path) -> None:
    codes: list[int] = []
    streams: list[bool] = []
    waits: list[int] = []
    async with serving(tmp_path, engine=EngineSettings()) as rig, rig.client() as http:
        task = await open_task(http)

        async def by_socket() -> None:
            async with socket_of(rig) as socket:
                await subscribe(socket, None)
                try:
                    while True:
                        await message(socket)
                except ConnectionClosed as closed:
                    codes.append(closed.rcvd.code if closed.rcvd else 0)

        async def by_stream() -> None:
            async with http.stream("GET", "/events/stream") as answer:
                async for _ in answer.aiter_lines():
                    pass
            streams.append(True)

        async def by_wait() -> None:
            answer = await http.get(f"/tasks/{task['id']}/wait", params={"timeout_s": 100})
            waits.append(answer.status_code)

        with anyio.fail_after(8):
            async with anyio.create_task_group() as tasks:
                for _ in range(5):
                    for follower in (by_socket, by_stream, by_wait):
                        tasks.start_soon(follower)
                await eventually_in_loop(lambda: rig.server._gateway._api.hub.followers == 15)
                rig.server.stop()
    assert codes == [1012] * 5
    assert streams == [True] * 5
    assert waits == [503] * 5


async def test_too_many_followers_are_refused_by_name(tmp_path: Path) -> None:
    async with serving(tmp_path, max_followers=1) as rig, rig.client() as http, socket_of(rig) as first:
        await subscribe(first, None)
        async with socket_of(rig) as second:
            assert (await subscribe(second, None))["error"]["code"] == "rate_limited"
        task = await open_task(http)
        assert error_of(await http.get(f"/tasks/{task['id']}/wait")) == (429, "rate_limited")


async def test_fifty_clients_share_one_encoding_of_each_chunk(rig: Serving) -> None:
    hub = rig.server._gateway._api.hub
    async with anyio.create_task_group() as tasks:
        got: list[list[int]] = [[] for _ in range(50)]
        ready = []

        async def follow(mine: list[int]) -> None:
            async with socket_of(rig) as socket:
                await subscribe(socket, None)
                ready.append(1)
                while len(mine) < 200:
                    mine.extend(event["seq"] for event in (await message(socket))["events"])

        for mine in got:
            tasks.start_soon(follow, mine)
        await eventually_in_loop(lambda: len(ready) == 50)
        for _ in range(20):
            await rig.say("x", times=10)
    assert all(mine == got[0] for mine in got)
    assert len(got[0]) == 200
    assert len(hub._chunks) <= 21


async def test_a_page_read_while_the_log_grows_is_never_given_twice(tmp_path: Path) -> None:
    """The end of the log used to be looked up before the rows, so the cursor could lie before them."""
    async with serving(tmp_path, ring={"max_entries": 5, "max_bytes": 1_000_000}) as rig:
        seen: list[int] = []
        done = anyio.Event()

        async def write() -> None:
            for _ in range(300):
                await rig.say("x", times=7)
            done.set()

        async def read() -> None:
            after = cursor.encode(0)
            async with rig.client() as http:
                while True:
                    ended = done.is_set()
                    page = (await http.get("/events", params={"after": after, "limit": 1000})).json()
                    seen.extend(event["seq"] for event in page["events"])
                    after = page["cursor"]
                    if ended and not page["events"]:
                        return

        with anyio.fail_after(30):
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(write)
                tasks.start_soon(read)
        assert seen == list(range(1, rig.store.ring.last_seq + 1))
