"""Signing in with a browser: rows W1, W3, W6 and W10 of the threat list."""

from __future__ import annotations

import asyncio
from typing import Any

import anyio
import httpx
import pytest
from websockets.asyncio.client import connect
from websockets.exceptions import InvalidStatus

from podium.gateway.logins import CODE_LIFE_S, MAX_CODES, Logins
from podium.kernel.errors import Unauthorized
from podium.kernel.ids import TokenId
from podium.testing.clock import FakeClock
from tests.integration.gateway.serving import API, Serving, error_of
from tests.security.gateway.test_access import closing, made

pytestmark = pytest.mark.anyio


async def signed_in(rig: Serving, http: httpx.AsyncClient) -> tuple[str, str]:
    """(cookie name, its value) as a browser would keep them."""
    code = (await http.post("/login-codes")).json()["code"]
    async with httpx.AsyncClient(base_url=rig.url, trust_env=False) as browser:
        answer = await browser.post(f"{API}/login", json={"code": code}, headers={"origin": rig.url})
    assert answer.status_code == 200, answer.text
    name, _, rest = answer.headers["set-cookie"].partition("=")
    return name, rest.split(";")[0]


def page(rig: Serving, cookie: tuple[str, str], **headers: str) -> dict[str, str]:
    """The headers that a browser sends from our own page."""
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return {"cookie": f"{cookie[0]}={cookie[1]}", "origin": rig.url, "x-podium-csrf": "1", **named}


@pytest.fixture
async def cookie(rig: Serving, http: httpx.AsyncClient) -> tuple[str, str]:
    return await signed_in(rig, http)


async def test_the_cookie_is_bound_to_this_host_and_port_and_unreadable_for_pages(
    rig: Serving, http: httpx.AsyncClient
) -> None:
    code = (await http.post("/login-codes")).json()
    assert code["path"] == f"/#login={code['code']}"
    async with httpx.AsyncClient(base_url=rig.url, trust_env=False) as browser:
        answer = await browser.post(f"{API}/login", json={"code": code["code"]})
        name, *attributes = answer.headers["set-cookie"].split("; ")
        assert name.startswith(f"__Host-podium-{rig.listening.port}=")
        assert {"Path=/", "Secure", "HttpOnly", "SameSite=Strict"} <= set(attributes)
        assert answer.json()["subject"] == "owner"
        assert answer.json()["session"]
        again = await browser.post(f"{API}/login", json={"code": code["code"]})
        assert error_of(again) == (401, "unauthorized")
    secret = name.partition("=")[2]
    assert secret not in (await http.get("/events", params={"limit": 1000})).text


async def test_our_own_page_reads_and_changes(
    rig: Serving, http: httpx.AsyncClient, cookie: tuple[str, str]
) -> None:
    async with httpx.AsyncClient(base_url=rig.url + API, trust_env=False) as browser:
        reading = {"cookie": f"{cookie[0]}={cookie[1]}", "sec-fetch-site": "same-origin"}
        assert (await browser.get("/tasks", headers=reading)).status_code == 200
        opened = await browser.post("/tasks", json={"prompt": "x"}, headers=page(rig, cookie))
        assert opened.status_code == 201
        events = (await http.get("/events", params={"type": "task.opened"})).json()["events"]
        assert events[0]["by"] == "owner"


@pytest.mark.parametrize(
    ("method", "change"),
    [
        ("GET", {"origin": None}),
        ("GET", {"origin": None, "sec-fetch-site": "same-site"}),
        ("GET", {"origin": None, "sec-fetch-site": "cross-site"}),
        ("GET", {"origin": None, "sec-fetch-site": "none"}),
        ("GET", {"origin": "http://evil.example"}),
        ("GET", {"origin": "http://127.0.0.1:1"}),
        ("GET", {"origin": "null"}),
        ("POST", {"x-podium-csrf": None}),
        ("POST", {"origin": None}),
        ("POST", {"origin": "http://evil.example"}),
    ],
)
async def test_what_our_own_page_did_not_send_is_refused(
    rig: Serving, cookie: tuple[str, str], method: str, change: dict[str, str | None]
) -> None:
    headers = {name: value for name, value in (page(rig, cookie) | change).items() if value is not None}
    async with httpx.AsyncClient(base_url=rig.url + API, trust_env=False) as browser:
        body: Any = {"json": {"prompt": "x"}} if method == "POST" else {}
        answer = await browser.request(method, "/tasks", headers=headers, **body)
        assert error_of(answer) == (403, "forbidden")


async def test_a_form_cannot_send_what_a_change_needs(rig: Serving, cookie: tuple[str, str]) -> None:
    async with httpx.AsyncClient(base_url=rig.url + API, trust_env=False) as browser:
        for kind in ("application/x-www-form-urlencoded", "text/plain", "multipart/form-data"):
            headers = page(rig, cookie, content_type=kind)
            answer = await browser.post("/tasks", content=b'{"prompt":"x"}', headers=headers)
            assert answer.status_code == 415


@pytest.mark.parametrize("origin", [None, "null", "http://evil.example"])
async def test_a_socket_with_a_cookie_needs_our_origin(
    rig: Serving, cookie: tuple[str, str], origin: str | None
) -> None:
    url = rig.url.replace("http", "ws") + f"{API}/stream"
    headers = {"cookie": f"{cookie[0]}={cookie[1]}"} | ({"origin": origin} if origin else {})
    with pytest.raises(InvalidStatus) as refused:
        async with connect(url, additional_headers=headers, proxy=None):
            pass
    assert refused.value.response.status_code == 403


async def test_signing_out_voids_the_cookie_and_closes_what_it_opened(
    rig: Serving, http: httpx.AsyncClient, cookie: tuple[str, str]
) -> None:
    url = rig.url.replace("http", "ws") + f"{API}/stream"
    headers = {"cookie": f"{cookie[0]}={cookie[1]}", "origin": rig.url}
    async with (
        httpx.AsyncClient(base_url=rig.url + API, trust_env=False) as browser,
        connect(url, additional_headers=headers, proxy=None) as socket,
    ):
        await socket.send("{}")
        await socket.recv()
        answer = await browser.post("/logout", headers=page(rig, cookie))
        assert "Max-Age=0" in answer.headers["set-cookie"]
        with anyio.fail_after(5):
            assert await closing(socket) == 4401
        assert error_of(await browser.get("/tasks", headers=page(rig, cookie))) == (401, "unauthorized")
    assert (await http.get("/me")).status_code == 200


async def test_a_login_ends_with_the_token_it_came_of(rig: Serving, http: httpx.AsyncClient) -> None:
    token = await made(http, "alice", kind="operator")
    async with rig.client(token["secret"]) as alice:
        cookie = await signed_in(rig, alice)
    async with httpx.AsyncClient(base_url=rig.url + API, trust_env=False) as browser:
        assert (await browser.get("/me", headers=page(rig, cookie))).json()["subject"] == "operator:alice"
        await http.post(f"/tokens/{token['token']['id']}/revoke")
        assert (await browser.get("/me", headers=page(rig, cookie))).status_code == 401


async def test_a_cookie_of_another_port_is_none(rig: Serving, cookie: tuple[str, str]) -> None:
    """And ours without its prefix is none either."""
    async with httpx.AsyncClient(base_url=rig.url + API, trust_env=False) as browser:
        for name in ("__Host-podium-1", "podium", cookie[0].removeprefix("__Host-")):
            headers = page(rig, (name, cookie[1]))
            assert error_of(await browser.get("/tasks", headers=headers)) == (401, "unauthorized")


async def test_codes_are_not_to_be_guessed(rig: Serving) -> None:
    async with httpx.AsyncClient(base_url=rig.url + API, trust_env=False, timeout=60) as browser:
        codes = [f"{number:032x}" for number in range(60)]
        answers = await asyncio.gather(*(browser.post("/login", json={"code": code}) for code in codes))
    assert {answer.status_code for answer in answers} == {401, 429}


def test_a_code_is_void_after_its_time_and_old_ones_make_room() -> None:
    clock = FakeClock()
    logins = Logins(clock)
    entropy = iter(range(1_000))
    codes = [
        logins.issue(TokenId("token_1"), lambda count: next(entropy).to_bytes(count, "big"))
        for _ in range(MAX_CODES + 1)
    ]
    with pytest.raises(Unauthorized):
        logins.redeem(codes[0])
    assert logins.redeem(codes[1]) == "token_1"
    clock.advance(CODE_LIFE_S)
    with pytest.raises(Unauthorized):
        logins.redeem(codes[2])


async def test_many_wrong_tokens_become_one_event(rig: Serving, http: httpx.AsyncClient) -> None:
    async with httpx.AsyncClient(base_url=rig.url + API, trust_env=False, timeout=60) as stranger:
        headers = {"authorization": "Bearer wrong"}
        with anyio.fail_after(60):
            while not (told := await _alarms(http)):
                await asyncio.gather(*(stranger.get("/tasks", headers=headers) for _ in range(5)))
    assert [event["event"]["address"] for event in told] == ["127.0.0.1"]


async def _alarms(http: httpx.AsyncClient) -> list[Any]:
    return list((await http.get("/events", params={"type": "access.refused"})).json()["events"])
