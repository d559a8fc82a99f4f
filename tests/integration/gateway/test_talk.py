"""Messages over HTTP, and text while it is being said."""

from __future__ import annotations

from typing import Any

import anyio
import httpx
import msgspec
import pytest
from websockets.exceptions import ConnectionClosed

from podium.bus import messages as m
from podium.gateway import cursor
from podium.harness.registry import harness_class
from podium.kernel import events as e
from podium.kernel.fold import Stamp, first_state
from podium.kernel.ids import MessageId, RunId, TaskId
from podium.kernel.session import Message, Mode
from podium.kernel.states import MessageState
from tests.integration.gateway.asking import record, started
from tests.integration.gateway.serving import WORKER, Serving, error_of, open_task
from tests.integration.gateway.test_following import message, socket_of
from tests.support import eventually_in_loop

pytestmark = pytest.mark.anyio
takes_messages = pytest.mark.skipif(
    not getattr(harness_class("scripted"), "modes", ()), reason="the scripted agent takes no messages yet"
)


async def said(rig: Serving, task_id: TaskId, run_id: RunId, text: str = "look at the tests") -> str:
    now = rig.clock.now()
    made = Message(
        id=MessageId(rig.ids.new("message")),
        task_id=task_id,
        run_id=run_id,
        text=text,
        mode=Mode.STEER,
        by="owner",
        created_at=now,
        state=first_state(MessageState.QUEUED, Stamp(seq=0, at=now, by="owner")),
    )
    await record(rig, e.MessageSent(message=made))
    return made.id


async def test_messages_of_a_task_are_listed_and_each_shows_what_became_of_it(
    rig: Serving, http: httpx.AsyncClient
) -> None:
    task_id, run_id = await started(rig, http)
    assert (await http.get(f"/tasks/{task_id}/messages")).json() == {"items": [], "next": None}
    first, second = await said(rig, task_id, run_id), await said(rig, task_id, run_id, "and the docs")
    delivered = e.MessageDelivered(task_id=task_id, run_id=run_id, message_id=MessageId(first))
    await record(rig, delivered)
    listed = (await http.get(f"/tasks/{task_id}/messages", params={"limit": 1})).json()
    assert listed["next"] is not None
    shown = (await http.get(f"/messages/{first}")).json()
    assert (shown["state"]["word"], shown["text"], shown["mode"]) == (
        "delivered",
        "look at the tests",
        "steer",
    )
    assert (await http.get(f"/messages/{second}")).json()["state"]["word"] == "queued"


async def test_messages_of_what_is_not_there_are_404(http: httpx.AsyncClient) -> None:
    absent = "0" * 26
    for path in (f"/tasks/task_{absent}/messages", f"/messages/message_{absent}", "/messages/x"):
        assert error_of(await http.get(path)) == (404, "not_found"), path
    for path in (f"/tasks/task_{absent}/messages", f"/tasks/task_{absent}/interrupt"):
        assert error_of(await http.post(path, json={"text": "x"})) == (404, "not_found"), path


async def test_nobody_hears_what_is_said_to_a_task_that_has_ended(http: httpx.AsyncClient) -> None:
    task = await open_task(http)
    await http.post(f"/tasks/{task['id']}/cancel")
    refused = await http.post(f"/tasks/{task['id']}/messages", json={"text": "hello?"})
    assert error_of(refused) == (409, "conflict")
    assert "podium run --session" in refused.json()["error"]["hint"]


@takes_messages
async def test_a_message_tells_how_it_reaches_the_agent_and_is_sent_once_for_its_key(
    rig: Serving, http: httpx.AsyncClient
) -> None:
    task_id, run_id = await started(rig, http)
    told: list[m.ToWorker] = []

    def answer(given: m.ToWorker) -> m.Answer:
        told.append(given)
        return m.Accepted()

    usual = harness_class("scripted").modes[0]
    async with rig.worker(answer, holding=(m.Held(run_id=run_id, fence=1),)):
        key = {"idempotency-key": "m1"}
        path = f"/tasks/{task_id}/messages"
        first = await http.post(path, json={"text": "look"}, headers=key)
        again = await http.post(path, json={"text": "look"}, headers=key)
        await eventually_in_loop(lambda: any(isinstance(given, m.Deliver) for given in told))
    assert first.status_code == 201
    assert again.json() == first.json()
    assert first.json()["mode"] == usual
    assert [one["id"] for one in (await http.get(path)).json()["items"]] == [first.json()["id"]]
    delivered = [given for given in told if isinstance(given, m.Deliver)]
    assert [one.text for one in delivered[0].pending.said] == ["look"]


@takes_messages
async def test_an_interrupt_is_a_message_that_may_be_empty(rig: Serving, http: httpx.AsyncClient) -> None:
    task_id, _ = await started(rig, http)
    assert error_of(await http.post(f"/tasks/{task_id}/messages", json={"text": "  ", "mode": "queue"})) == (
        400,
        "invalid_request",
    )
    made = (await http.post(f"/tasks/{task_id}/interrupt")).json()
    assert (made["mode"], made["text"]) == ("interrupt", "")
    assert (await http.post(f"/tasks/{task_id}/interrupt", json={"text": "stop"})).json()["text"] == "stop"


# ---- text while it is being said -------------------------------------------------------------------------


def piece(task_id: str, run_id: str, text: str, item: str = "i1") -> m.Partials:
    return m.Partials(worker_id=WORKER, run_id=RunId(run_id), task_id=TaskId(task_id), item=item, text=text)


def listeners(rig: Serving) -> int:
    return len(rig.server._gateway._api.hub._mailboxes)


async def test_a_stream_that_asks_gets_text_as_it_is_said_and_then_the_event(
    rig: Serving, http: httpx.AsyncClient
) -> None:
    task = await open_task(http)
    seen: list[tuple[str, Any]] = []

    async def follow() -> None:
        query = {"task": task["id"], "partial": "true"}
        kind = "message"
        async with http.stream("GET", "/events/stream", params=query) as answer:
            async for line in answer.aiter_lines():
                name, _, value = line.partition(": ")
                if name == "event":
                    kind = value
                elif name == "data":
                    seen.append((kind, msgspec.json.decode(value)))
                    if kind == "message":
                        return
                elif not line:
                    kind = "message"

    with anyio.fail_after(10):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(follow)
            await eventually_in_loop(lambda: listeners(rig) == 1)
            before = rig.store.ring.last_seq
            rig.engine.on_partial(piece(task["id"], task["run_id"], "Hel"))  # type: ignore[misc]
            await eventually_in_loop(lambda: len(seen) == 1)
            rig.engine.on_partial(piece(task["id"], task["run_id"], "lo"))  # type: ignore[misc]
            rig.engine.on_partial(piece("task_" + "0" * 26, "run_" + "0" * 26, "other"))  # type: ignore[misc]
            assert rig.store.ring.last_seq == before
            await rig.say("Hello", task_id=task["id"])
    assert [kind for kind, _ in seen] == ["partial", "partial", "message"]
    assert seen[0][1] == {
        "partial": {
            "run_id": task["run_id"], "task_id": task["id"], "item": "i1", "text": "Hel", "thought": False,
        }
    }  # fmt: skip
    assert "".join(found["partial"]["text"] for _, found in seen[:2]) == "Hello"
    with anyio.fail_after(10):
        await eventually_in_loop(lambda: listeners(rig) == 0)


async def test_a_socket_that_asks_gets_it_beside_all_events_and_others_do_not(
    rig: Serving, http: httpx.AsyncClient
) -> None:
    task = await open_task(http)
    async with socket_of(rig) as asks, socket_of(rig) as does_not:
        topics = ["events", f"run:{task['run_id']}"]
        await asks.send(msgspec.json.encode({"topics": topics, "partial": True}).decode())
        await does_not.send(msgspec.json.encode({"topics": topics}).decode())
        await message(asks)
        await message(does_not)
        rig.engine.on_partial(piece(task["id"], task["run_id"], "Hel"))  # type: ignore[misc]
        got = await message(asks)
        assert got["partial"]["text"] == "Hel"
        assert "cursor" not in got
        await rig.say("of another", task_id="")
        assert [event["event"]["text"] for event in (await message(asks))["events"]] == ["of another"]
        assert [event["event"]["text"] for event in (await message(does_not))["events"]] == ["of another"]


async def test_text_of_everybody_is_not_to_be_had(rig: Serving, http: httpx.AsyncClient) -> None:
    assert error_of(await http.get("/events/stream", params={"partial": "true"})) == (400, "invalid_request")
    async with socket_of(rig) as socket:
        await socket.send('{"partial": true}')
        answer = await message(socket)
        while "error" not in answer:
            answer = await message(socket)
        assert answer["error"]["code"] == "invalid_request"
        with pytest.raises(ConnectionClosed):
            await message(socket)


async def test_nothing_of_it_is_in_the_log(rig: Serving, http: httpx.AsyncClient) -> None:
    task = await open_task(http)
    before = rig.store.ring.last_seq
    for _ in range(1_000):
        rig.engine.on_partial(piece(task["id"], task["run_id"], "x" * 100))  # type: ignore[misc]
    page = (await http.get("/events", params={"after": cursor.encode(before)})).json()
    assert page == {"events": [], "cursor": cursor.encode(before)}
