"""Who gets in: Host, Origin, tokens, content types. Rows W1-W5, W9 of the threat list, on every route."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import httpx
import msgspec
import pytest
from websockets.asyncio.client import connect
from websockets.exceptions import InvalidStatus

from podium.gateway.guard import API_HEADERS, PAGE_HEADERS
from tests.integration.gateway.serving import API, Serving, error_of, open_task

pytestmark = pytest.mark.anyio
OPEN = {("get", f"{API}/health"), ("post", f"{API}/login")}
SAMPLE = "task_" + "0" * 26


@pytest.fixture
async def bare(rig: Serving) -> AsyncIterator[httpx.AsyncClient]:
    """A client without a token."""
    async with httpx.AsyncClient(base_url=rig.url, trust_env=False, timeout=20) as client:
        yield client


async def routes(http: httpx.AsyncClient) -> list[tuple[str, str]]:
    """Every (method, path) of the published document."""
    document = msgspec.json.decode((await http.get("/openapi.json")).content)
    found = [(method, path) for path, methods in document["paths"].items() for method in methods]
    assert len(found) > 30
    return found


def concrete(path: str) -> str:
    return path.replace("{id}", SAMPLE)


async def test_every_published_route_needs_a_token_except_health_and_login(
    http: httpx.AsyncClient, bare: httpx.AsyncClient
) -> None:
    for method, path in await routes(http):
        answer = await bare.request(method, concrete(path))
        if (method, path) not in OPEN:
            assert answer.status_code == 401, (method, path)
            assert answer.headers["www-authenticate"] == "Bearer"
    assert (await bare.get(f"{API}/health")).json() == {"status": "ok"}
    assert error_of(await bare.get(f"{API}/nothing/here")) == (401, "unauthorized")
    assert error_of(await bare.post(f"{API}/login", json={"code": "guess"})) == (401, "unauthorized")


async def test_every_answer_carries_the_security_headers_and_none_allows_another_origin(
    http: httpx.AsyncClient, bare: httpx.AsyncClient, rig: Serving
) -> None:
    answers = [await bare.get(f"{API}/health"), await bare.get(f"{API}/tasks")]
    answers += [await http.get(path) for path in ("/tasks", "/nowhere", "/tasks/x")]
    answers += [await http.patch("/tasks"), await http.delete("/tasks"), await http.options("/tasks")]
    own = {"origin": rig.url}
    answers += [await http.get("/tasks", headers=own)]
    pages = [await bare.get("/"), await bare.get("/nowhere")]
    for answer, expected in [(one, API_HEADERS) for one in answers] + [(one, PAGE_HEADERS) for one in pages]:
        for name, value in expected:
            assert answer.headers[name.decode()] == value.decode()
        assert not [name for name in answer.headers if name.startswith("access-control")]
        assert "server" not in answer.headers


@pytest.mark.parametrize(
    "origin",
    [
        "http://evil.example",
        "null",
        "",
        "http://127.0.0.1",
        "http://127.0.0.1:{port}.evil.example",
        "http://127.0.0.1:{port}1",
        "https://127.0.0.1:{port}",
        "http://localhost.evil.example:{port}",
        "http://127.0.0.1:{port}/",
        "HTTP://127.0.0.1:{port}@evil.example",
    ],
)
async def test_a_foreign_origin_is_refused_on_every_route(
    http: httpx.AsyncClient, rig: Serving, origin: str
) -> None:
    headers = {"origin": origin.format(port=rig.listening.port)}
    for method, path in await routes(http):
        answer = await http.request(
            method, rig.url + concrete(path), headers=headers | {"content-type": "application/json"}
        )
        assert answer.status_code == 403, (method, path)
    assert error_of(await http.post("/tasks", json={"prompt": "x"}, headers=headers)) == (403, "forbidden")
    assert (await http.get("/tasks")).json()["items"] == []


@pytest.mark.parametrize(
    "host",
    [
        "evil.example:{port}",
        "127.0.0.1",
        "127.0.0.1:1",
        "127.0.0.2:{port}",
        "0.0.0.0:{port}",
        "2130706433:{port}",
        "0x7f000001:{port}",
        "localhost.:{port}",
        "127.0.0.1:{port}:80",
        "[::ffff:127.0.0.1]:{port}",
        "user@127.0.0.1:{port}",
        "",
    ],
)
async def test_another_name_for_the_server_is_refused(
    http: httpx.AsyncClient, rig: Serving, host: str
) -> None:
    headers = {"host": host.format(port=rig.listening.port)}
    for path in ("/health", "/tasks", "/nowhere"):
        assert error_of(await http.get(path, headers=headers)) == (403, "forbidden")


async def test_its_own_names_are_taken_in_any_case(http: httpx.AsyncClient, rig: Serving) -> None:
    for name in ("127.0.0.1", "localhost", "LOCALHOST", "[::1]"):
        answer = await http.get("/tasks", headers={"host": f"{name}:{rig.listening.port}"})
        assert answer.status_code == 200


async def raw(rig: Serving, request: str) -> bytes:
    reader, writer = await asyncio.open_connection("127.0.0.1", rig.listening.port)
    try:
        writer.write(request.encode())
        async with asyncio.timeout(10):
            return await reader.readuntil(b"\r\n")
    finally:
        writer.close()
        await writer.wait_closed()


async def test_a_whole_address_as_target_is_refused(rig: Serving) -> None:
    token, host = rig.tokens.owner, f"127.0.0.1:{rig.listening.port}"
    rest = f"Host: {host}\r\nAuthorization: Bearer {token}\r\n\r\n"
    assert b" 200 " in await raw(rig, f"GET {API}/tasks HTTP/1.1\r\n{rest}")
    for target in (f"http://evil.example{API}/tasks", f"http://{host}{API}/tasks"):
        assert b" 400 " in await raw(rig, f"GET {target} HTTP/1.1\r\n{rest}")


async def test_two_hosts_or_two_tokens_are_refused(rig: Serving) -> None:
    host = f"Host: 127.0.0.1:{rig.listening.port}\r\n"
    token = f"Authorization: Bearer {rig.tokens.owner}\r\n"
    for headers in (host + host + token, host + "Host: evil.example\r\n" + token, host + token + token):
        assert b" 400 " in await raw(rig, f"GET {API}/tasks HTTP/1.1\r\n{headers}\r\n")


@pytest.mark.parametrize(
    "media_type",
    ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data; boundary=x", "", "image/png"],
)
async def test_what_a_foreign_form_can_send_is_not_taken(http: httpx.AsyncClient, media_type: str) -> None:
    for method, path in (("POST", "/tasks"), ("POST", "/projects"), ("PUT", "/agents/x")):
        answer = await http.request(
            method, path, content=b'{"prompt": "x", "name": "x"}', headers={"content-type": media_type}
        )
        assert error_of(answer) == (415, "unsupported_media_type")
    assert (await http.get("/tasks")).json()["items"] == []


async def test_json_with_a_charset_is_json(http: httpx.AsyncClient) -> None:
    headers = {"content-type": "Application/JSON; charset=utf-8"}
    answer = await http.post("/tasks", content=b'{"prompt": "x"}', headers=headers)
    assert answer.status_code == 201


@pytest.mark.parametrize("name", ["token", "access_token", "TOKEN", "api_key"])
async def test_a_token_in_the_address_is_refused(
    bare: httpx.AsyncClient, http: httpx.AsyncClient, rig: Serving, name: str, caplog: Any
) -> None:
    token = rig.tokens.owner
    caplog.set_level("DEBUG")
    for client in (bare, http):
        answer = await client.get(f"{rig.url}{API}/tasks", params={name: token})
        assert error_of(answer) == (400, "invalid_request")
        assert token not in answer.text
    ours = [record.getMessage() for record in caplog.records if record.name.startswith(("podium", "uvicorn"))]
    assert not [message for message in ours if token in message]


async def test_a_worker_may_upload_and_fetch_the_snapshots_of_open_tasks_and_nothing_else(
    http: httpx.AsyncClient, rig: Serving
) -> None:
    async with rig.client(rig.tokens.worker) as worker:
        for method, path in await routes(http):
            if (method, path) in OPEN or (method == "put" and "artifacts" in path):
                continue
            if (method, path) == ("get", f"{API}/artifacts/{{id}}"):
                continue  # below
            if path in {f"{API}/me", f"{API}/logout", f"{API}/tokens/{{id}}/revoke"}:
                continue  # about the token itself
            answer = await worker.request(method, rig.url + concrete(path))
            assert answer.status_code == 403, (method, path)
        digest = "2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824"
        stored = await worker.put(f"/artifacts/artifact_{digest}", content=b"hello")
        assert stored.status_code == 200
        address = f"/artifacts/artifact_{digest}"
        assert (await worker.get(address)).status_code == 403
        for path in (
            "/artifacts/",
            "/artifacts//",
            f"{address}/",
            f"{address}/../../tasks",
            "/artifacts/%2e",
        ):
            assert (await worker.get(path)).status_code in {403, 404}, path
        task = await open_task(http, repository="/nowhere", snapshot=f"artifact_{digest}")
        assert (await worker.get(address)).content == b"hello"
        assert (await worker.head(address)).status_code == 403
        await http.post(f"/tasks/{task['id']}/cancel", json={})
        assert (await worker.get(address)).status_code == 403


async def test_wrong_tokens_all_look_the_same(bare: httpx.AsyncClient, rig: Serving) -> None:
    owner = rig.tokens.owner
    answers = [
        await bare.get(f"{API}/tasks", headers={"authorization": value})
        for value in (f"Bearer {owner}x", f"Bearer {owner[:-1]}", "Bearer x", f"Basic {owner}", "Bearer")
    ]
    assert {answer.status_code for answer in answers} == {401}
    assert len({answer.content for answer in answers}) == 1


async def test_an_unrouted_address_is_404_and_a_wrong_method_405_in_the_envelope(
    http: httpx.AsyncClient,
) -> None:
    assert error_of(await http.get("/nowhere")) == (404, "not_found")
    refused = await http.delete("/tasks")
    assert error_of(refused) == (405, "method_not_allowed")
    assert "GET" in refused.headers["allow"]
    for method in ("PATCH", "OPTIONS", "TRACE"):
        assert error_of(await http.request(method, "/tasks")) == (405, "method_not_allowed")


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({}, 401),
        ({"authorization": "Bearer wrong"}, 401),
        ({"authorization": "worker"}, 403),
        ({"authorization": "owner", "origin": "http://evil.example"}, 403),
        ({"authorization": "owner", "host": "evil.example"}, 403),
    ],
)
async def test_a_socket_is_guarded_like_everything_else(
    rig: Serving, headers: dict[str, str], status: int
) -> None:
    known = {"owner": f"Bearer {rig.tokens.owner}", "worker": f"Bearer {rig.tokens.worker}"}
    given = {name: known.get(value, value) for name, value in headers.items()}
    url = rig.url.replace("http", "ws") + f"{API}/stream"
    if "host" in given:
        url = url.replace("127.0.0.1", "127.0.0.1")
        answer = await raw(
            rig,
            f"GET {API}/stream HTTP/1.1\r\nHost: {given['host']}\r\nUpgrade: websocket\r\n"
            f"Connection: Upgrade\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
            f"Sec-WebSocket-Version: 13\r\nAuthorization: {given['authorization']}\r\n\r\n",
        )
        assert b" 403 " in answer
        return
    with pytest.raises(InvalidStatus) as refused:
        async with connect(url, additional_headers=given, proxy=None):
            pass
    assert refused.value.response.status_code == status
    assert msgspec.json.decode(refused.value.response.body)["error"]["code"]
