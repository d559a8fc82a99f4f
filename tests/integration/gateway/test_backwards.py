"""The log read from its end, and sockets that want some types of events only: what the page is made of."""

from __future__ import annotations

import httpx
import msgspec
import pytest

from podium.gateway import cursor

from .serving import Serving, open_task
from .test_following import everything, message, socket_of

pytestmark = pytest.mark.anyio


async def test_pages_from_the_end_cover_the_log_once_up_to_its_beginning(
    rig: Serving, http: httpx.AsyncClient
) -> None:
    await rig.say("x", times=250)
    whole = await everything(http)
    before = (await http.get("/status")).json()["cursor"]
    await rig.say("later")
    seen: list[int] = []
    for _ in range(10):
        page = (await http.get("/events", params={"before": before, "limit": 100})).json()
        seen = [event["seq"] for event in page["events"]] + seen
        before = page["cursor"]
        if before == cursor.encode(0):
            break
    assert seen == whole
    assert (await http.get("/events", params={"before": before})).json()["events"] == []


async def test_pages_from_the_end_keep_to_their_task_and_types(rig: Serving, http: httpx.AsyncClient) -> None:
    one = await open_task(http, "one")
    await open_task(http, "two")
    await rig.say("of one", task_id=one["id"], times=3)
    end = (await http.get("/status")).json()["cursor"]
    params = {"before": end, "task": one["id"], "type": "run.said,task.opened", "limit": 2}
    page = (await http.get("/events", params=params)).json()
    assert [event["event"]["type"] for event in page["events"]] == ["run.said", "run.said"]
    rest = (await http.get("/events", params={**params, "before": page["cursor"], "limit": 10})).json()
    assert [event["event"]["type"] for event in rest["events"]] == ["task.opened", "run.said"]


async def test_a_page_is_read_forwards_or_backwards_and_only_from_a_cursor(http: httpx.AsyncClient) -> None:
    both = await http.get("/events", params={"before": cursor.encode(0), "after": cursor.encode(0)})
    assert (both.status_code, both.json()["error"]["code"]) == (400, "invalid_request")
    assert (await http.get("/events", params={"before": "nonsense"})).status_code == 400


async def test_a_socket_gets_only_the_types_that_it_wants(rig: Serving, http: httpx.AsyncClient) -> None:
    async with socket_of(rig) as socket:
        asked = {"after": None, "topics": ["events"], "types": ["task.opened", "task.cancelled"]}
        await socket.send(msgspec.json.encode(asked).decode())
        await message(socket)
        await rig.say("not wanted", times=5)
        task = await open_task(http, "wanted")
        assert [event["event"]["type"] for event in (await message(socket))["events"]] == ["task.opened"]
        await http.post(f"/tasks/{task['id']}/cancel")
        assert [event["event"]["type"] for event in (await message(socket))["events"]] == ["task.cancelled"]


async def test_a_socket_with_too_many_types_is_told_so(rig: Serving) -> None:
    async with socket_of(rig) as socket:
        await socket.send(msgspec.json.encode({"types": ["x"] * 51}).decode())
        assert (await message(socket))["error"]["code"] == "invalid_request"
