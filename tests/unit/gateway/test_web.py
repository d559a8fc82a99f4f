"""The page's files: what a browser may keep, what it must ask for again, and what is never given out."""

from __future__ import annotations

import gzip
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from podium.gateway.web import Pages, joined

SCRIPT = "console.log('podium');\n" * 100


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture
def web(tmp_path: Path) -> Path:
    """A page as the build leaves it, and something beside it that nobody may read."""
    (tmp_path / "secret.txt").write_text("not for you")
    folder = tmp_path / "web"
    (folder / "assets").mkdir(parents=True)
    (folder / "index.html").write_text("<!doctype html><title>Podium</title>")
    (folder / "assets" / "index-abc.js").write_text(SCRIPT)
    (folder / "assets" / "index-abc.css").write_text("body{}")
    (folder / "favicon.svg").write_text("<svg/>")
    (folder / ".source-hash").write_text("digest")
    return folder


async def programs(scope: Any, _receive: Any, send: Any) -> None:
    """Stands where the API stands."""
    await send({"type": "http.response.start", "status": 418, "headers": []})
    await send({"type": "http.response.body", "body": b"for programs"})


@pytest.fixture
async def http(web: Path) -> AsyncIterator[httpx.AsyncClient]:
    transport = httpx.ASGITransport(app=joined(Pages(web), programs))  # type: ignore[arg-type]
    async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1") as client:
        yield client


@pytest.mark.anyio
@pytest.mark.parametrize(
    "path", ["/", "/index.html", "/tasks/task_01", "/robots.txt", "/apiary", "/x?next=//evil.example/"]
)
async def test_every_address_for_people_is_the_page_and_is_asked_for_again(
    http: httpx.AsyncClient, path: str
) -> None:
    answer = await http.get(path)
    assert (answer.status_code, answer.text[:15]) == (200, "<!doctype html>")
    assert answer.headers["content-type"] == "text/html; charset=utf-8"
    assert answer.headers["cache-control"] == "no-cache"
    assert "location" not in answer.headers
    again = await http.get(path, headers={"if-none-match": answer.headers["etag"]})
    assert (again.status_code, again.content) == (304, b"")


@pytest.mark.anyio
@pytest.mark.parametrize("path", ["/api", "/api/", "/api/v1/nothing", "/mcp", "/mcp/x"])
async def test_addresses_for_programs_are_never_the_page(http: httpx.AsyncClient, path: str) -> None:
    for method in ("GET", "HEAD", "POST"):
        assert (await http.request(method, path)).status_code == 418


@pytest.mark.anyio
async def test_files_that_carry_their_hash_are_kept_for_ever_and_packed_where_that_pays(
    http: httpx.AsyncClient,
) -> None:
    script = await http.get("/assets/index-abc.js")
    assert script.headers["cache-control"] == "public, max-age=31536000, immutable"
    assert script.headers["content-type"] == "text/javascript; charset=utf-8"
    assert (script.headers["content-encoding"], script.text) == ("gzip", SCRIPT)
    assert int(script.headers["content-length"]) == len(gzip.compress(SCRIPT.encode(), 9)) < len(SCRIPT)
    plain = await http.get("/assets/index-abc.js", headers={"accept-encoding": "identity"})
    assert ("content-encoding" in plain.headers, plain.text) == (False, SCRIPT)
    assert plain.headers["vary"] == script.headers["vary"] == "accept-encoding"
    style = await http.get("/assets/index-abc.css")
    assert style.headers["content-type"] == "text/css; charset=utf-8"
    assert "content-encoding" not in style.headers


@pytest.mark.anyio
async def test_a_file_that_is_not_there_is_not_the_page(http: httpx.AsyncClient) -> None:
    answer = await http.get("/assets/index-old.js")
    assert answer.status_code == 404
    assert answer.json()["error"]["code"] == "not_found"


@pytest.mark.anyio
async def test_nothing_outside_and_nothing_hidden_is_given_out(http: httpx.AsyncClient) -> None:
    for path in (
        "/../secret.txt",
        "/assets/../../secret.txt",
        "/%2e%2e/secret.txt",
        "/assets/%2e%2e/%2e%2e/secret.txt",
        "/assets/..%2f..%2fsecret.txt",
        "/.source-hash",
        "/assets//etc/passwd",
        "//etc/passwd",
        "/assets/..\\..\\secret.txt",
    ):
        answer = await http.get(path)
        assert "not for you" not in answer.text
        assert "root:" not in answer.text
        assert "digest" not in answer.text


@pytest.mark.anyio
async def test_a_head_is_the_same_without_the_body_and_other_methods_are_refused(
    http: httpx.AsyncClient,
) -> None:
    head, get = await http.head("/tasks/x"), await http.get("/tasks/x")
    assert (head.status_code, head.content) == (200, b"")
    assert head.headers == get.headers
    post = await http.post("/tasks/x")
    assert (post.status_code, post.headers["allow"]) == (405, "GET, HEAD")


@pytest.mark.anyio
async def test_a_page_built_anew_is_served_without_a_restart_and_the_old_files_stay(
    http: httpx.AsyncClient, web: Path
) -> None:
    await http.get("/")
    old = web.rename(web.with_name("old"))
    (web / "assets").mkdir(parents=True)
    (web / "assets" / "index-def.js").write_text("2")
    (web / "index.html").write_text("<!doctype html><title>Newer</title>")
    assert "Newer" in (await http.get("/")).text
    assert (await http.get("/assets/index-def.js")).text == "2"
    assert (await http.get("/assets/index-abc.js")).text == SCRIPT
    assert old.exists()


@pytest.mark.anyio
async def test_without_a_page_the_address_says_what_to_type_and_breaks_no_rule_of_its_own(
    tmp_path: Path,
) -> None:
    pages: Any = joined(Pages(tmp_path / "none"), programs)
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app=pages), base_url="http://h") as client:
        answer = await client.get("/tasks/x")
        assert (answer.status_code, answer.headers["cache-control"]) == (503, "no-store")
        assert "./podium ui" in answer.text
        assert not any(word in answer.text for word in ("<script", "<style", "style=", " on"))
        assert (await client.get("/assets/x.js")).status_code == 404
        assert (await client.get("/api/v1/health")).status_code == 418
