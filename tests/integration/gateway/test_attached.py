"""Artifacts in parts, and files that come with a task."""

from __future__ import annotations

import hashlib
from pathlib import Path

import httpx
import pytest

from tests.integration.cli.driving import podium
from tests.integration.gateway.serving import Serving, error_of, open_task

pytestmark = pytest.mark.anyio
DATA = bytes(range(256)) * 4_000
ID = f"artifact_{hashlib.sha256(DATA).hexdigest()}"
ADDRESS = f"/artifacts/{ID}"
SIZE = len(DATA)


@pytest.fixture
async def stored(http: httpx.AsyncClient) -> str:
    assert (await http.put(ADDRESS, content=DATA, params={"name": "data.bin"})).status_code == 200
    return ADDRESS


@pytest.mark.parametrize(
    ("asked", "start", "end"),
    [
        ("bytes=0-9", 0, 9),
        ("bytes=300000-700000", 300_000, 700_000),
        ("bytes=1023990-", 1_023_990, SIZE - 1),
        ("bytes=-10", SIZE - 10, SIZE - 1),
        ("bytes=-99999999", 0, SIZE - 1),
        ("bytes=5-99999999", 5, SIZE - 1),
        (f"bytes={SIZE - 1}-{SIZE - 1}", SIZE - 1, SIZE - 1),
    ],
)
async def test_a_part_is_sent_and_says_which_it_is(
    http: httpx.AsyncClient, stored: str, asked: str, start: int, end: int
) -> None:
    answer = await http.get(stored, headers={"range": asked})
    assert answer.status_code == 206
    assert answer.content == DATA[start : end + 1]
    assert answer.headers["content-range"] == f"bytes {start}-{end}/{SIZE}"


@pytest.mark.parametrize("asked", ["bytes=0-1,5-6", "lines=0-1", "bytes=9-5", "bytes=-", "bytes=a-b", ""])
async def test_a_range_that_is_not_understood_gets_the_whole(
    http: httpx.AsyncClient, stored: str, asked: str
) -> None:
    answer = await http.get(stored, headers={"range": asked})
    assert (answer.status_code, len(answer.content)) == (200, SIZE)


@pytest.mark.parametrize("asked", [f"bytes={SIZE}-", "bytes=99999999-", "bytes=-0"])
async def test_a_part_that_is_not_there_is_refused(http: httpx.AsyncClient, stored: str, asked: str) -> None:
    assert error_of(await http.get(stored, headers={"range": asked})) == (416, "range_not_satisfiable")


async def test_who_has_it_already_is_told_so_and_another_version_is_sent_whole(
    http: httpx.AsyncClient, stored: str
) -> None:
    etag = (await http.head(stored)).headers["etag"]
    assert (await http.get(stored, headers={"if-none-match": etag})).status_code == 304
    part = {"range": "bytes=0-9"}
    assert (await http.get(stored, headers=part | {"if-range": etag})).status_code == 206
    assert (await http.get(stored, headers=part | {"if-range": '"other"'})).status_code == 200


async def test_a_task_names_files_that_were_stored(http: httpx.AsyncClient, stored: str) -> None:
    task = await open_task(http, attachments=[{"name": "data.bin", "artifact": ID}])
    assert task["attachments"][0]["size"] == SIZE
    listed = (await http.get("/artifacts", params={"task": task["id"]})).json()["items"]
    assert [item["id"] for item in listed] == [ID]
    absent = {"name": "x", "artifact": "artifact_" + "0" * 64}
    for body, told in (
        ([absent], (404, "not_found")),
        ([{"name": "../x", "artifact": ID}], (400, "invalid_request")),
        ([{"name": f"{number}", "artifact": ID} for number in range(21)], (400, "invalid_request")),
        ([{"name": "x", "artifact": ID, "mode": "0777"}], (400, "invalid_request")),
    ):
        answer = await http.post("/tasks", json={"prompt": "x", "attachments": body})
        assert error_of(answer) == told


async def test_the_command_line_attaches_files(rig: Serving, http: httpx.AsyncClient, tmp_path: Path) -> None:
    (tmp_path / "notes.md").write_text("# plan\n")
    (tmp_path / "large.bin").write_bytes(b"\0" * (20 * 1024 * 1024 + 1))
    code, out, err = await podium(rig, "run", "do it", "--attach", str(tmp_path / "notes.md"), "--detach")
    assert code == 0, err
    task = (await http.get(f"/tasks/{out.strip()}")).json()
    assert [(one["name"], one["media_type"]) for one in task["attachments"]] == [
        ("notes.md", "text/markdown")
    ]
    code, out, _ = await podium(rig, "tasks", "show", task["id"])
    assert "notes.md (7 bytes)" in out
    code, _, err = await podium(rig, "run", "do it", "--attach", str(tmp_path / "large.bin"), "--detach")
    assert code == 1
    assert "larger than 20 MB" in err
    code, _, err = await podium(rig, "run", "do it", "--attach", str(tmp_path / "absent"), "--detach")
    assert code == 2
