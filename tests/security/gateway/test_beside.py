"""Commands over the bus: who can open it can do what the secret allows that they show, and nothing else."""

from __future__ import annotations

import hashlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import anyio
import httpx
import msgspec
import pytest

from podium.bus import messages as m
from podium.bus.unix import UnixServer, UnixWorker
from podium.gateway.alarm import FROM_COUNT
from podium.kernel.errors import Unavailable
from tests.integration.gateway.serving import Serving, open_task
from tests.support import eventually_in_loop

pytestmark = pytest.mark.anyio
API = "/api/v1"
TASK = msgspec.json.encode({"prompt": "x"})


async def answer_of(rig: Serving, message: m.ToServer) -> m.Answer:
    """As a worker's connection gets it."""
    return await rig.bus.worker_end().ask(message)


async def command(
    rig: Serving, method: str, path: str, secret: str | None, body: bytes = b"", **more: Any
) -> tuple[int, dict[str, Any]]:
    asked = m.Command(method=method, path=API + path, secret=secret, body=body, port=1, **more)
    told = await answer_of(rig, asked)
    assert isinstance(told, m.CommandAnswer), told
    return told.status, msgspec.json.decode(told.body) if told.body else {}


def code(told: tuple[int, dict[str, Any]]) -> tuple[int, str]:
    return told[0], told[1]["error"]["code"]


async def test_a_command_does_what_its_secret_allows(rig: Serving, http: httpx.AsyncClient) -> None:
    opened = await command(rig, "POST", "/tasks", rig.tokens.owner, TASK)
    assert opened[0] == 201
    assert (await http.get(f"/tasks/{opened[1]['id']}")).json()["title"] == "x"
    by = (await http.get("/events", params={"type": "task.opened"})).json()["events"][0]["by"]
    assert by == "owner"


@pytest.mark.parametrize("secret", [None, "", "podium_owner_" + "0" * 64, "x" * 10_000, "é\u2028"])
async def test_without_a_valid_secret_nothing_is_done(rig: Serving, http: httpx.AsyncClient, secret) -> None:
    for method, path in (
        ("POST", "/tasks"),
        ("GET", "/sessions/x"),
        ("POST", "/tokens"),
        ("POST", "/logout"),
    ):
        assert code(await command(rig, method, path, secret, TASK)) == (401, "unauthorized")
    assert (await http.get("/tasks")).json()["items"] == []


async def test_a_worker_acts_over_the_bus_as_a_worker_only(rig: Serving, http: httpx.AsyncClient) -> None:
    task = await open_task(http)
    mine = rig.tokens.worker
    for method, path in (
        ("POST", "/tasks"),
        ("POST", f"/tasks/{task['id']}/cancel"),
        ("POST", "/tokens"),
        ("POST", "/login-codes"),
        ("PUT", "/agents/mine"),
        ("GET", f"/runs/{task['run_id']}/diff"),
    ):
        assert code(await command(rig, method, path, mine, b"{}")) == (403, "forbidden"), path
    tokens = (await http.get("/tokens")).json()["items"]
    owner = next(token["id"] for token in tokens if token["name"] == "owner")
    assert code(await command(rig, "POST", f"/tokens/{owner}/revoke", mine, b"{}")) == (404, "not_found")


async def test_no_header_of_a_command_says_who_asks(rig: Serving) -> None:
    claims = (
        ("authorization", f"Bearer {rig.tokens.owner}"),
        ("cookie", f"__Host-podium-1={rig.tokens.owner}"),
        ("host", "127.0.0.1"),
        ("x-forwarded-for", "127.0.0.1"),
    )
    told = await command(rig, "POST", "/tasks", rig.tokens.worker, TASK, headers=claims)
    assert code(told) == (403, "forbidden")
    assert code(await command(rig, "POST", "/tasks", None, TASK, headers=claims)) == (401, "unauthorized")


async def test_a_narrow_token_sees_over_the_bus_what_it_sees_over_http(
    rig: Serving, http: httpx.AsyncClient
) -> None:
    await http.post("/projects", json={"name": "shop"})
    asked = {"name": "narrow", "kind": "operator", "projects": ["shop"]}
    narrow = (await http.post("/tokens", json=asked)).json()["secret"]
    foreign = await open_task(http)
    told = await command(rig, "POST", f"/tasks/{foreign['id']}/cancel", narrow, b"{}")
    assert code(told) == (404, "not_found")
    assert code(await command(rig, "POST", "/tasks", narrow, TASK)) == (403, "forbidden")


async def test_a_revoked_secret_is_void_over_the_bus_at_once(rig: Serving, http: httpx.AsyncClient) -> None:
    made = (await http.post("/tokens", json={"name": "gone", "kind": "operator"})).json()
    assert (await command(rig, "POST", "/tasks", made["secret"], TASK))[0] == 201
    await http.post(f"/tokens/{made['token']['id']}/revoke", json={})
    assert code(await command(rig, "POST", "/tasks", made["secret"], TASK)) == (401, "unauthorized")


@pytest.mark.parametrize(
    ("method", "path"),
    [("GET", "/events/stream"), ("GET", "/tasks"), ("GET", "/health"), ("POST", "/shutdown"), ("GET", "/me")],
)
async def test_what_every_gateway_answers_itself_is_no_command(rig: Serving, method: str, path: str) -> None:
    assert code(await command(rig, method, path, rig.tokens.owner)) == (400, "invalid_request")


@pytest.mark.parametrize(
    ("method", "path"), [("GET", "/"), ("GET", "/../x"), ("TRACE", API + "/tasks"), ("get", "")]
)
async def test_only_addresses_of_the_api_can_be_commanded(rig: Serving, method: str, path: str) -> None:
    asked = m.Command(method=method, path=path, secret=rig.tokens.owner, port=1)
    told = await answer_of(rig, asked)
    assert isinstance(told, m.CommandAnswer)
    assert told.status in {400, 404, 405}


async def test_a_body_over_the_bus_has_the_limit_that_it_has_over_http(rig: Serving) -> None:
    told = await command(rig, "POST", "/tasks", rig.tokens.owner, b" " * (8 * 1024 * 1024 + 1))
    assert code(told) == (413, "too_large")


async def test_bytes_that_come_in_pieces_need_the_secret_of_their_command(rig: Serving) -> None:
    data = b"x" * 100_000
    path = f"{API}/artifacts/artifact_{hashlib.sha256(data).hexdigest()}"
    assert_unread(await answer_of(rig, m.BodyPiece(body_id="a", data=data)))
    viewer = m.Command(method="PUT", path=path, secret="podium_owner_no", body_id="a", port=1)
    async with anyio.create_task_group() as tasks:
        told: list[m.Answer] = []

        async def ask(asked: m.Command) -> None:
            told.append(await answer_of(rig, asked))

        tasks.start_soon(ask, viewer)
    assert [answer.status for answer in told] == [401]  # type: ignore[union-attr]
    assert_unread(await answer_of(rig, m.BodyPiece(body_id="a", data=data, last=True)))
    told.clear()
    async with anyio.create_task_group() as tasks:
        good = m.Command(method="PUT", path=path, secret=rig.tokens.worker, body_id="b", port=1)
        tasks.start_soon(ask, good)
        piece = m.BodyPiece(body_id="b", data=data, last=True)
        while not isinstance(await answer_of(rig, piece), m.Accepted):
            await anyio.lowlevel.checkpoint()
    assert [answer.status for answer in told] == [200]  # type: ignore[union-attr]
    assert list((rig.home / "artifacts" / "incoming").iterdir()) == []


def assert_unread(told: m.Answer) -> None:
    assert isinstance(told, m.Failure)
    assert told.code == "not_found"


async def test_a_code_that_is_redeemed_elsewhere_gives_a_cookie_for_there_and_a_wrong_one_nothing(
    rig: Serving,
) -> None:
    made = m.Command(
        method="POST",
        path=f"{API}/login-codes",
        secret=rig.tokens.owner,
        port=9,
        public_url="https://p.example",
    )
    told = await answer_of(rig, made)
    assert isinstance(told, m.CommandAnswer)
    given = msgspec.json.decode(told.body)
    assert given["public_url"] == "https://p.example"
    body = msgspec.json.encode({"code": given["code"]})
    login = m.Command(method="POST", path=f"{API}/login", body=body, port=4_321)
    told = await answer_of(rig, login)
    assert isinstance(told, m.CommandAnswer)
    assert dict(told.headers)["set-cookie"].startswith("__Host-podium-4321=")
    again = await answer_of(rig, login)
    assert isinstance(again, m.CommandAnswer)
    assert again.status == 401


async def test_wrong_secrets_over_the_bus_are_slowed_down_and_told(
    rig: Serving, http: httpx.AsyncClient
) -> None:
    statuses = set()
    async with anyio.create_task_group() as tasks:

        async def attempt() -> None:
            statuses.add((await command(rig, "POST", "/tasks", "podium_owner_x", TASK, caller="10.9.8.7"))[0])

        for _ in range(60):
            tasks.start_soon(attempt)
    assert statuses == {401, 429}
    assert isinstance(
        await answer_of(rig, m.SecretsRefused(address="10.1.1.1", count=FROM_COUNT)), m.Accepted
    )
    await eventually_in_loop(lambda: rig.store.ring.last_seq > 0)
    while not (found := (await http.get("/events", params={"type": "access.refused"})).json()["events"]):
        await anyio.lowlevel.checkpoint()
    assert found[-1]["event"]["address"] == "10.1.1.1"
    # Whoever has a right one is served all the while.
    assert (await command(rig, "POST", "/tasks", rig.tokens.owner, TASK, caller="10.9.8.7"))[0] == 201


@asynccontextmanager
async def connected(path: Any, answer: Any) -> AsyncIterator[UnixWorker]:
    """The end of a gateway, to a server that answers with `answer`."""
    server, client, there = UnixServer(path), UnixWorker(path), anyio.Event()

    async def arrived() -> None:
        there.set()

    async def refuse(_message: m.ToWorker) -> m.Answer:
        return m.Failure(code="invalid_request", message="no worker")

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(server.serve, answer, lambda _worker: None)
        tasks.start_soon(client.run, refuse, arrived)
        await there.wait()
        yield client
        tasks.cancel_scope.cancel()


async def test_a_command_that_was_sent_and_not_answered_is_told_apart_from_one_that_was_not(tmp_path) -> None:
    asked, going = m.Command(method="POST", path="/api/v1/tasks", port=1), anyio.Event()

    async def die(_message: m.ToServer) -> m.Answer:
        going.set()
        await anyio.sleep_forever()
        raise AssertionError

    path = tmp_path / "bus.sock"
    with pytest.raises(Unavailable) as never_sent:
        await UnixWorker(path).ask(asked)
    assert "sent" not in never_sent.value.details
    async with connected(path, die) as client:
        refused: list[Unavailable] = []

        async def ask() -> None:
            try:
                await client.ask(asked)
            except Unavailable as error:
                refused.append(error)

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(ask)
            await going.wait()
            assert client._peer is not None
            client._peer.close()
    assert [error.details for error in refused] == [{"sent": True}]
