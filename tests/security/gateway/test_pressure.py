"""Slow, large and many: limits fire, and whoever behaves is served all the while. Rows W8, W10, scaled."""

from __future__ import annotations

import asyncio
from pathlib import Path

import anyio
import httpx
import pytest

from podium.gateway import server as server_module
from tests.integration.gateway.serving import API, Serving, error_of, open_task, serving
from tests.support import eventually_in_loop

pytestmark = pytest.mark.anyio


async def connection(rig: Serving) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    return await asyncio.open_connection("127.0.0.1", rig.listening.port)


async def ended(reader: asyncio.StreamReader) -> bytes:
    """What came until the server closed or reset the connection."""
    try:
        async with asyncio.timeout(10):
            return await reader.read(-1)
    except ConnectionError:
        return b""


def head(rig: Serving, method: str, path: str, *headers: str) -> bytes:
    lines = [
        f"{method} {API}{path} HTTP/1.1",
        f"Host: 127.0.0.1:{rig.listening.port}",
        f"Authorization: Bearer {rig.tokens.owner}",
        *headers,
    ]
    return ("\r\n".join(lines) + "\r\n\r\n").encode()


async def test_a_head_that_never_ends_is_cut_at_64_kib(rig: Serving, http: httpx.AsyncClient) -> None:
    reader, writer = await connection(rig)
    writer.write(b"GET / HTTP/1.1\r\n")
    sent = 0
    try:
        while sent < 4 * 1024 * 1024:
            writer.write(b"X-Filler: " + b"a" * 8_000 + b"\r\n")
            await writer.drain()
            sent += 8_000
    except ConnectionError:
        pass
    assert await ended(reader) == b""
    assert sent < 4 * 1024 * 1024
    writer.close()
    assert (await http.get("/health")).status_code == 200


async def test_a_body_right_behind_a_small_head_may_be_large(rig: Serving) -> None:
    prompt = b'{"prompt": "' + b"x" * 900_000 + b'"}'
    reader, writer = await connection(rig)
    writer.write(
        head(rig, "POST", "/tasks", "Content-Type: application/json", f"Content-Length: {len(prompt)}")
        + prompt
    )
    async with asyncio.timeout(10):
        assert b" 201 " in await reader.readline()
    writer.close()


async def test_half_a_head_and_an_idle_connection_are_dropped_in_time(
    rig: Serving, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(server_module, "HEAD_S", 0.2)
    idle, idle_writer = await connection(rig)
    half, half_writer = await connection(rig)
    half_writer.write(b"GET / HTTP/1.1\r\nHost: x\r\n")
    assert await ended(idle) == b""
    assert await ended(half) == b""
    idle_writer.close()
    half_writer.close()


async def test_a_body_that_stops_half_way_is_told_so(tmp_path: Path) -> None:
    async with serving(tmp_path, body_gap_s=0.2) as rig:
        reader, writer = await connection(rig)
        writer.write(head(rig, "POST", "/tasks", "Content-Type: application/json", "Content-Length: 100"))
        writer.write(b'{"prompt"')
        async with asyncio.timeout(10):
            assert b" 408 " in await reader.readline()
        writer.close()


async def test_a_body_that_trickles_is_cut_in_all(tmp_path: Path) -> None:
    async with serving(tmp_path, body_gap_s=5.0, body_total_s=0.3) as rig:
        reader, writer = await connection(rig)
        writer.write(head(rig, "POST", "/tasks", "Content-Type: application/json", "Content-Length: 10000"))
        answered = asyncio.ensure_future(reader.readline())
        async with asyncio.timeout(10):
            while not answered.done():
                writer.write(b" ")
                await asyncio.wait([answered], timeout=0.02)
        assert b" 408 " in answered.result()
        writer.close()


async def test_a_chunked_body_is_limited_while_it_comes(tmp_path: Path) -> None:
    async with serving(tmp_path, max_json_bytes=100_000) as rig:
        reader, writer = await connection(rig)
        writer.write(
            head(rig, "POST", "/tasks", "Content-Type: application/json", "Transfer-Encoding: chunked")
        )
        for _ in range(20):
            writer.write(b"2710\r\n" + b"x" * 10_000 + b"\r\n")
        async with asyncio.timeout(10):
            assert b" 413 " in await reader.readline()
        writer.close()


async def test_a_hundred_megabytes_are_refused_by_their_length_alone(
    rig: Serving, http: httpx.AsyncClient
) -> None:
    reader, writer = await connection(rig)
    writer.write(head(rig, "POST", "/tasks", "Content-Type: application/json", "Content-Length: 100000000"))
    async with asyncio.timeout(10):
        assert b" 413 " in await reader.readline()
    writer.close()
    assert (await http.get("/tasks")).json()["items"] == []


@pytest.mark.parametrize(
    "framing",
    [
        ("Content-Length: 5", "Transfer-Encoding: chunked"),
        ("Content-Length: 5", "Content-Length: 6"),
        ("Content-Length: -5",),
        ("Content-Length: 5, 5",),
        ("Transfer-Encoding: gzip, chunked, identity",),
    ],
)
async def test_ambiguous_framing_is_refused(rig: Serving, framing: tuple[str, ...]) -> None:
    reader, writer = await connection(rig)
    writer.write(head(rig, "POST", "/tasks", "Content-Type: application/json", *framing) + b"0\r\n\r\n")
    async with asyncio.timeout(10):
        assert b" 400 " in await reader.readline()
    writer.close()


async def test_idle_strangers_shut_out_neither_those_inside_nor_those_who_come(
    rig: Serving, http: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert (await http.get("/health")).status_code == 200  # its connection is kept
    monkeypatch.setattr(server_module, "MAX_CONNECTIONS", 20)
    many = [await connection(rig) for _ in range(60)]
    assert (await http.get("/health")).status_code == 200
    async with rig.client() as newcomer:
        assert (await newcomer.get("/tasks")).status_code == 200
    closed = 0
    for reader, _writer in many[:30]:
        closed += await ended(reader) == b""
    assert closed == 30
    for _reader, writer in many:
        writer.close()


async def test_a_flood_of_wrong_tokens_waits_and_the_owner_does_not(tmp_path: Path) -> None:
    async with serving(tmp_path, bad_tokens_per_s=10.0, bad_token_delay_s=0.3) as rig:
        limits = httpx.Limits(max_connections=50)
        async with rig.client("wrong", limits=limits) as thief, rig.client() as owner:
            statuses: list[int] = []

            async def knock() -> None:
                statuses.append((await thief.get("/tasks")).status_code)

            async with anyio.create_task_group() as tasks:
                for _ in range(100):
                    tasks.start_soon(knock)
                with anyio.fail_after(5):
                    for _ in range(20):
                        assert (await owner.get("/tasks")).status_code == 200
    assert set(statuses) == {401, 429}
    assert statuses.count(429) >= 60


async def test_a_loop_gone_wrong_is_told_to_slow_down(tmp_path: Path) -> None:
    async with serving(tmp_path, requests_per_s=5.0) as rig, rig.client() as http:
        answers = [await http.get("/health") for _ in range(30)]
        refused = [answer for answer in answers if answer.status_code == 429]
        assert refused
        assert error_of(refused[0]) == (429, "rate_limited")
        assert int(refused[0].headers["retry-after"]) >= 1
        async with rig.client(rig.tokens.worker) as other:
            assert (await other.get("/tasks")).status_code == 403  # another principal, another bucket


async def test_a_client_that_never_reads_its_answer_is_dropped(tmp_path: Path) -> None:
    async with serving(tmp_path, stalled_s=0.3) as rig, rig.client() as http:
        body = b"\0" * 30_000_000
        from hashlib import sha256

        artifact = f"artifact_{sha256(body).hexdigest()}"
        assert (await http.put(f"/artifacts/{artifact}", content=body)).status_code == 200
        _reader, writer = await connection(rig)
        writer.transport.pause_reading()  # type: ignore[attr-defined]
        writer.write(head(rig, "GET", f"/artifacts/{artifact}"))
        await eventually_in_loop(lambda: not rig.server.server_state.tasks, within_s=10)
        await open_task(http)
        writer.close()
