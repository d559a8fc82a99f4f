"""Those who follow, on real processes: a thousand lost connections, one that hardly reads among many that do,
and an agent that says a million things. Rows E1, E3 and E4 of the threat list."""

from __future__ import annotations

import asyncio
import json
import random
import socket
from pathlib import Path
from typing import Any

import anyio
import anyio.to_thread
import pytest
from websockets.asyncio.client import connect

from podium.testing.fleet import Fleet
from tests.faults.test_machine import rss_kib, scripted
from tests.support import eventually

FAST = 50
GROWTH_LIMIT_KIB = 64 * 1024
pytestmark = pytest.mark.anyio


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture
def fleet(tmp_path: Path, make_fleet: Any) -> Fleet:
    made: Fleet = make_fleet(tmp_path / "home", separate=False)
    made.start_all()
    return made


def following(fleet: Fleet) -> Any:
    token = (fleet.home / "owner.token").read_text().strip()
    url = json.loads((fleet.home / "server.json").read_text())["url"].replace("http", "ws")
    headers = {"authorization": f"Bearer {token}"}
    return connect(f"{url}/api/v1/stream", additional_headers=headers, proxy=None, max_size=None)


async def test_whoever_loses_a_thousand_connections_sees_every_event_once(fleet: Fleet) -> None:
    chance = random.Random(11)
    after = fleet.call("GET", "/status")["cursor"]
    tasks = [
        scripted(fleet, *[{"do": "say", "text": f"{number}"} for number in range(500)]) for _ in range(8)
    ]
    seen: list[int] = []
    done: set[str] = set()
    for _ in range(1_000):
        async with following(fleet) as stream:
            await stream.send(json.dumps({"after": after}))
            for _ in range(chance.randint(1, 2)):
                with anyio.move_on_after(0.02):
                    batch = json.loads(await stream.recv())
                    after = batch["cursor"]
                    seen += [event["seq"] for event in batch["events"]]
                    done |= {
                        event["event"]["task_id"]
                        for event in batch["events"]
                        if event["event"]["type"] == "task.done"
                    }
    async with following(fleet) as stream:
        await stream.send(json.dumps({"after": after}))
        with anyio.fail_after(60):
            while done < set(tasks):
                batch = json.loads(await stream.recv())
                seen += [event["seq"] for event in batch["events"]]
                done |= {e["event"]["task_id"] for e in batch["events"] if e["event"]["type"] == "task.done"}
    assert seen == list(range(seen[0], seen[0] + len(seen)))


async def test_one_that_hardly_reads_costs_neither_memory_nor_the_others(fleet: Fleet) -> None:
    """Its connection holds it back; what it has not read waits in the log, not here."""
    pid = fleet.pid("server")
    slow = _slow_reader(fleet)
    heard: list[int] = []

    async def read() -> None:
        async with following(fleet) as stream:
            await stream.send("{}")
            while True:
                # Looked into hardly ever: these shall be quick, on two cores with all the others.
                frame = await stream.recv(decode=False)
                heard.append(len(frame))

    async with anyio.create_task_group() as tasks:
        for _ in range(FAST):
            tasks.start_soon(read)
        await anyio.to_thread.run_sync(
            lambda: eventually(lambda: fleet.call("GET", "/status")["followers"] > FAST, 60)
        )
        before = rss_kib(pid)
        flood = {"do": "flood", "kind": "says", "lines": 10_000, "bytes_per_line": 500}
        agents = [scripted(fleet, flood) for _ in range(2)]
        for task in agents:
            await anyio.to_thread.run_sync(fleet.wait_ended, task, 120)
        grown = rss_kib(pid) - before
        tasks.cancel_scope.cancel()
    slow.close()
    assert grown < GROWTH_LIMIT_KIB
    assert sum(heard) > FAST * 20_000 * 500, "the others have heard everything"
    assert fleet.call("GET", "/health") == {"status": "ok"}


def _slow_reader(fleet: Fleet) -> socket.socket:
    """Asks for everything, and takes nothing of it."""
    server = json.loads((fleet.home / "server.json").read_text())["url"]
    host, port = server.removeprefix("http://").split(":")
    token = (fleet.home / "owner.token").read_text().strip()
    made = socket.create_connection((host, int(port)))
    made.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4_096)
    head = (
        f"GET /api/v1/events/stream HTTP/1.1\r\nHost: {host}:{port}\r\nAuthorization: Bearer {token}\r\n\r\n"
    )
    made.sendall(head.encode())
    return made


async def test_an_agent_that_says_a_million_things_leaves_the_others_their_turn(fleet: Fleet) -> None:
    """Its lines are stored, each once; a short task beside it ends as if it were alone."""
    loud = scripted(fleet, {"do": "flood", "kind": "says", "lines": 1_000_000})
    await anyio.to_thread.run_sync(
        lambda: eventually(lambda: fleet.call("GET", f"/tasks/{loud}")["state"]["word"] == "active", 60)
    )
    quiet = await asyncio.to_thread(scripted, fleet, {"do": "say", "text": "hello"})
    done = await asyncio.to_thread(fleet.wait_ended, quiet, 60)
    assert done["state"]["word"] == "done"
    assert (await asyncio.to_thread(fleet.wait_ended, loud, 600))["state"]["word"] == "done"
