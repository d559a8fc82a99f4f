"""Kinds, verbs and scopes on every route: rows A1, A3, A4, A6, W6, W13 of the threat list."""

from __future__ import annotations

import asyncio
from typing import Any

import anyio
import httpx
import msgspec
import pytest
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed

from podium.kernel import events as e
from podium.kernel.access import MOST, Kind, Verb
from podium.kernel.ids import RunId, TaskId
from podium.kernel.nouns import Reason
from tests.integration.gateway.asking import ask, command, started
from tests.integration.gateway.serving import API, Serving, error_of, open_task
from tests.security.gateway.test_guard import OPEN, concrete, routes

pytestmark = pytest.mark.anyio
CLOSES_WITHIN_S = 5.0
NEEDS: dict[tuple[str, str], set[Verb]] = {
    ("post", "/tasks"): {Verb.WORK},
    ("post", "/tasks/{id}/cancel"): {Verb.WORK},
    ("post", "/tasks/{id}/retry"): {Verb.WORK},
    ("post", "/tasks/{id}/messages"): {Verb.STEER},
    ("post", "/tasks/{id}/interrupt"): {Verb.STEER},
    ("post", "/tasks/{id}/model"): {Verb.STEER},
    ("post", "/inquiries/{id}/answer"): {Verb.ANSWER},
    ("post", "/changes/{id}/applied"): {Verb.WORK},
    ("post", "/projects"): {Verb.CONFIGURE},
    ("delete", "/projects/{id}"): {Verb.CONFIGURE},
    ("put", "/projects/{id}/trusted-files"): {Verb.CONFIGURE},
    ("delete", "/projects/{id}/trusted-files"): {Verb.CONFIGURE},
    ("put", "/agents/{id}"): {Verb.CONFIGURE},
    ("delete", "/agents/{id}"): {Verb.CONFIGURE},
    ("put", "/artifacts/{id}"): {Verb.WORK, Verb.STORE},
    ("get", "/artifacts/{id}"): {Verb.READ, Verb.STORE},
    ("post", "/tokens"): {Verb.MINT},
    ("post", "/tokens/{id}/rotate"): {Verb.MINT},
    ("post", "/tokens/{id}/revoke"): {Verb.READ, Verb.MINT, Verb.STORE},
    ("post", "/shutdown"): {Verb.ADMIN},
    ("post", "/logout"): set(Verb),
    ("get", "/me"): set(Verb),
}
"""What is not here is read."""


async def made(http: httpx.AsyncClient, name: str, **fields: Any) -> dict[str, Any]:
    answer = await http.post("/tokens", json={"name": name, **fields})
    assert answer.status_code == 201, answer.text
    return dict(answer.json())


async def project(http: httpx.AsyncClient, name: str) -> str:
    return str((await http.post("/projects", json={"name": name})).json()["id"])


@pytest.fixture
async def two(http: httpx.AsyncClient) -> tuple[dict[str, Any], dict[str, Any]]:
    """A task in each of two projects."""
    for name in ("ours", "theirs"):
        await project(http, name)
    return await open_task(http, project="ours"), await open_task(http, project="theirs")


async def test_every_route_needs_exactly_its_verb_of_every_kind(
    rig: Serving, http: httpx.AsyncClient
) -> None:
    task = await open_task(http)
    run_id = (await http.get("/runs", params={"task": task["id"]})).json()["items"][0]["id"]
    published = [(method, path) for method, path in await routes(http) if (method, path) not in OPEN]
    assert {(m, f"{API}{p}") for m, p in NEEDS} <= set(published)
    for kind in Kind:
        name = f"some-{kind}"
        token = await made(http, name, kind=kind, **({"run": run_id} if kind is Kind.RUN else {}))
        async with rig.client(token["secret"]) as client:
            for method, path in sorted(published, key=lambda route: "shutdown" in route[1]):
                if path.endswith(("/logout", "/wait", "/events/stream")):
                    continue
                needed = NEEDS.get((method, path.removeprefix(API)), {Verb.READ})
                answer = await client.request(method, rig.url + concrete(path))
                allowed = bool(MOST[kind] & needed)
                assert (answer.status_code != 403) == allowed, (kind, method, path, answer.text)
            if kind is Kind.OWNER:
                break  # it has just ended the server


async def test_what_belongs_to_another_project_is_as_if_it_were_not_there(
    rig: Serving, http: httpx.AsyncClient, two: tuple[dict[str, Any], dict[str, Any]]
) -> None:
    mine, other = two
    token = await made(http, "alice", kind="operator", projects=["ours"])
    digest = "2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824"
    blob = f"/artifacts/artifact_{digest}"
    assert (await http.put(blob, content=b"hello", params={"task": other["id"]})).status_code == 200
    runs = {run["task_id"]: run["id"] for run in (await http.get("/runs")).json()["items"]}
    inquiry = await ask(rig, RunId(runs[other["id"]]), command("rm -rf /"))
    unknown = "0" * 26
    async with rig.client(token["secret"]) as alice:
        for path, key in (
            ("/tasks", mine["id"]),
            ("/runs", runs[mine["id"]]),
            ("/projects", mine["project_id"]),
            ("/artifacts", None),
            ("/inquiries", None),
            ("/changes", None),
            ("/sessions", None),
            ("/grants", None),
        ):
            seen = [item["id"] for item in (await alice.get(path)).json()["items"]]
            assert seen == ([key] if key else []), path
        reads = [
            ("/tasks/{}", other["id"]),
            ("/tasks/{}/messages", other["id"]),
            ("/tasks/{}/wait", other["id"]),
            ("/runs/{}", runs[other["id"]]),
            ("/runs/{}/output", runs[other["id"]]),
            ("/runs/{}/diff", runs[other["id"]]),
            ("/runs/{}/diagnose", runs[other["id"]]),
            ("/inquiries/{}", inquiry),
            ("/projects/{}", other["project_id"]),
            ("/artifacts/{}", f"artifact_{digest}"),
        ]
        for path, noun_id in reads:
            there, absent = await alice.get(path.format(noun_id)), noun_id[: noun_id.index("_") + 1] + unknown
            if "artifact" in path:
                absent = "artifact_" + "0" * 64
            nowhere = await alice.get(path.format(absent))
            assert there.status_code == nowhere.status_code == 404, path
            assert there.text.replace(noun_id, "X") == nowhere.text.replace(absent, "X"), path
        writes: list[tuple[str, dict[str, Any]]] = [
            (f"/tasks/{other['id']}/cancel", {}),
            (f"/tasks/{other['id']}/retry", {}),
            (f"/tasks/{other['id']}/messages", {"text": "x"}),
            (f"/tasks/{other['id']}/model", {"model": "x"}),
            (f"/inquiries/{inquiry}/answer", {"decision": "allow"}),
            ("/tasks", {"prompt": "x", "project": "theirs"}),
            ("/tasks", {"prompt": "x", "session": other["id"]}),
            ("/tokens", {"name": "wider", "projects": ["theirs"]}),
        ]
        for path, body in writes:
            assert error_of(await alice.post(path, json=body)) == (404, "not_found"), path
        for body in ({"prompt": "x"}, {"prompt": "x", "project": "ours", "repository": "/etc"}):
            assert error_of(await alice.post("/tasks", json=body)) == (403, "forbidden")
        assert (await alice.post("/tasks", json={"prompt": "x", "project": "ours"})).status_code == 201
        about = {
            event["event"].get("task_id") or event["event"]["task"]["id"]
            for event in (await alice.get("/events", params={"limit": 1000})).json()["events"]
            if "task" in event["event"] or "task_id" in event["event"]
        }
        assert other["id"] not in about
        assert mine["id"] in about
    assert (await http.get(f"/tasks/{other['id']}")).json()["state"]["word"] == "queued"


async def test_a_narrow_follower_hears_of_its_projects_only(
    rig: Serving, http: httpx.AsyncClient, two: tuple[dict[str, Any], dict[str, Any]]
) -> None:
    mine, other = two
    token = await made(http, "viewer-1", projects=["ours"])
    url = rig.url.replace("http", "ws") + f"{API}/stream"
    headers = {"authorization": f"Bearer {token['secret']}"}
    async with connect(url, additional_headers=headers, proxy=None) as socket:
        await socket.send('{"topics": ["events"]}')
        await socket.recv()
        await http.post(f"/tasks/{other['id']}/cancel", json={})
        await project(http, "third")
        await http.post(f"/tasks/{mine['id']}/cancel", json={})
        seen: list[dict[str, Any]] = []
        async with asyncio.timeout(20):
            while not any(event["event"]["type"] == "task.cancelled" for event in seen):
                seen += msgspec.json.decode(await socket.recv())["events"]
    assert {event["event"]["task_id"] for event in seen} == {mine["id"]}
    async with connect(url, additional_headers=headers, proxy=None) as socket:
        await socket.send(f'{{"topics": ["task:{other["id"]}"]}}')
        assert await closing(socket) == 4404


@pytest.mark.parametrize("way", ["revoke", "rotate", "maker"])
async def test_a_void_token_fails_at_the_next_request_and_its_sockets_close(
    rig: Serving, http: httpx.AsyncClient, way: str
) -> None:
    token = await made(http, "operator-1", kind="operator")
    if way == "maker":
        async with rig.client(token["secret"]) as maker:
            below = await made(maker, "below")
        held, void = below, f"/tokens/{token['token']['id']}/revoke"
    else:
        held, void = token, f"/tokens/{token['token']['id']}/{way}"
    url = rig.url.replace("http", "ws") + f"{API}/stream"
    headers = {"authorization": f"Bearer {held['secret']}"}
    async with (
        rig.client(held["secret"]) as client,
        connect(url, additional_headers=headers, proxy=None) as socket,
    ):
        await socket.send("{}")
        await socket.recv()
        waiting = asyncio.create_task(_lines(client))
        assert (await client.get("/tasks")).status_code == 200
        assert (await http.post(void)).status_code == 200
        if way == "rotate":
            # The token lives on under another secret: what was opened with it may stay.
            assert error_of(await client.get("/tasks")) == (401, "unauthorized")
            waiting.cancel()
            return
        with anyio.fail_after(CLOSES_WITHIN_S):
            assert await closing(socket) == 4401
            await waiting
        assert error_of(await client.get("/tasks")) == (401, "unauthorized")


async def closing(socket: ClientConnection) -> int | None:
    """The code with which the server closes it."""
    try:
        while True:
            await socket.recv()
    except ConnectionClosed as closed:
        return closed.rcvd.code if closed.rcvd is not None else None


async def _lines(client: httpx.AsyncClient) -> None:
    """Until the stream ends, however it does."""
    try:
        async with client.stream("GET", "/events/stream") as answer:
            async for _ in answer.aiter_lines():
                pass
    except httpx.HTTPError:
        return


async def test_the_token_of_a_run_ends_with_it(rig: Serving, http: httpx.AsyncClient) -> None:
    task_id, run_id = await started(rig, http)
    token = await made(http, "for-the-run", kind="run", run=run_id)
    other = await open_task(http)
    async with rig.client(token["secret"]) as agent:
        assert (await agent.get(f"/tasks/{task_id}")).status_code == 200
        assert error_of(await agent.get(f"/tasks/{other['id']}")) == (404, "not_found")
        assert error_of(await agent.post("/tasks", json={"prompt": "x"})) == (403, "forbidden")
        lost = e.RunLost(task_id=TaskId(task_id), run_id=RunId(run_id), reason=Reason.WORKER_LOST)
        await rig.store.writer.run(lambda unit: unit.record(lost, by="test"))
        with anyio.fail_after(1):
            while (await agent.get("/me")).status_code != 401:
                await anyio.sleep(0.01)
    assert error_of(await http.post("/tokens", json={"name": "late", "kind": "run", "run": run_id})) == (
        409,
        "conflict",
    )


async def test_a_token_whose_time_is_over_is_void(rig: Serving, http: httpx.AsyncClient) -> None:
    token = await made(http, "short", expires_in_s=0.3)
    async with rig.client(token["secret"]) as client:
        with anyio.fail_after(10):
            while (await client.get("/tasks")).status_code != 401:
                await anyio.sleep(0.02)


async def test_a_secret_is_told_once_also_under_one_key(rig: Serving, http: httpx.AsyncClient) -> None:
    key = {"idempotency-key": "once"}
    first = await http.post("/tokens", json={"name": "n"}, headers=key)
    again = await http.post("/tokens", json={"name": "n"}, headers=key)
    assert first.json()["token"] == again.json()["token"]
    assert again.json()["secret"] is None
    secret = first.json()["secret"]
    for path in rig.home.rglob("*"):
        if path.is_file():
            assert secret.encode() not in path.read_bytes(), path
    events = (await http.get("/events", params={"type": "token.made"})).text
    assert secret not in events
    assert error_of(await http.post("/tokens", json={"name": "n"})) == (409, "conflict")


async def test_keys_of_two_tokens_are_independent(rig: Serving, http: httpx.AsyncClient) -> None:
    await project(http, "ours")
    secrets = [(await made(http, name, kind="operator"))["secret"] for name in ("a", "b")]
    answers = []
    for secret in secrets:
        async with rig.client(secret) as client:
            body = {"prompt": "x", "project": "ours"}
            answers.append((await client.post("/tasks", json=body, headers={"idempotency-key": "k"})).json())
    assert answers[0]["id"] != answers[1]["id"]


async def test_who_may_not_mint_may_end_only_its_own_token(rig: Serving, http: httpx.AsyncClient) -> None:
    viewer, other = await made(http, "v"), await made(http, "w")
    async with rig.client(viewer["secret"]) as client:
        assert [item["name"] for item in (await client.get("/tokens")).json()["items"]] == ["v"]
        answer = await client.post(f"/tokens/{other['token']['id']}/revoke")
        assert error_of(answer) == (404, "not_found")
        assert (await client.post(f"/tokens/{viewer['token']['id']}/revoke")).status_code == 200
        assert (await client.get("/me")).status_code == 401


async def test_the_owners_file_is_written_anew_when_its_token_is_rotated(
    rig: Serving, http: httpx.AsyncClient
) -> None:
    mine = (await http.get("/me")).json()["token_id"]
    answer = await http.post(f"/tokens/{mine}/rotate")
    assert answer.status_code == 200
    written = (rig.home / "owner.token").read_text().strip()
    assert written == answer.json()["secret"]
    assert error_of(await http.get("/me")) == (401, "unauthorized")
    async with rig.client(written) as again:
        assert (await again.get("/me")).json()["token_id"] == mine
