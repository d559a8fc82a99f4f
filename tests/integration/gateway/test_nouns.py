"""Projects, agents, workers, artifacts and the server itself over HTTP."""

from __future__ import annotations

import hashlib
from pathlib import Path

import anyio
import httpx
import pytest

from podium.bus import messages as m
from tests.integration.gateway.serving import WORKER, Serving, error_of, open_task

pytestmark = pytest.mark.anyio


def named(body: bytes) -> str:
    return f"artifact_{hashlib.sha256(body).hexdigest()}"


async def test_a_project_is_added_shown_by_id_and_name_and_removed(
    http: httpx.AsyncClient, tmp_path: Path
) -> None:
    repository = tmp_path / "repository"
    await anyio.run_process(["git", "init", "-q", "-b", "main", str(repository)])
    made = (await http.post("/projects", json={"name": "shop", "repository": str(repository)})).json()
    assert made["repository"] == str(repository)
    for reference in (made["id"], "shop"):
        assert (await http.get(f"/projects/{reference}")).json() == made
    assert (await http.get("/projects")).json()["items"] == [made]
    assert (await http.delete("/projects/shop")).json() == {}
    assert error_of(await http.get("/projects/shop")) == (404, "not_found")
    assert error_of(await http.delete("/projects/shop")) == (404, "not_found")


@pytest.mark.parametrize("kind", ["missing", "plain", "relative", "option", "helper"])
async def test_a_repository_that_cannot_be_used_makes_no_project(
    http: httpx.AsyncClient, tmp_path: Path, kind: str
) -> None:
    (tmp_path / "plain").mkdir()
    address = {
        "missing": str(tmp_path / "missing"),
        "plain": str(tmp_path / "plain"),
        "relative": "./here",
        "option": "--upload-pack=touch /x",
        "helper": "ext::sh -c touch% /x",
    }[kind]
    answer = await http.post("/projects", json={"name": "shop", "repository": address})
    assert answer.status_code == 400, answer.text
    assert answer.json()["error"]["message"]
    assert (await http.get("/projects")).json()["items"] == []


async def test_two_projects_of_one_name_and_one_with_open_tasks_are_conflicts(
    http: httpx.AsyncClient,
) -> None:
    await http.post("/projects", json={"name": "shop"})
    assert error_of(await http.post("/projects", json={"name": "shop"})) == (409, "conflict")
    await open_task(http, project="shop")
    assert error_of(await http.delete("/projects/shop")) == (409, "conflict")


async def test_an_agent_is_defined_replaced_and_removed(http: httpx.AsyncClient) -> None:
    await http.put("/agents/helper", json={"harness": "scripted", "model": "a"})
    made = (await http.put("/agents/helper", json={"harness": "scripted", "model": "b"})).json()
    assert made["model"] == "b"
    assert (await http.get("/agents/helper")).json() == made
    names = [agent["name"] for agent in (await http.get("/agents")).json()["items"]]
    assert names == ["helper", "claude"]
    assert (await http.delete("/agents/helper")).status_code == 200
    assert error_of(await http.get("/agents/helper")) == (404, "not_found")


async def test_an_agent_that_cannot_be_is_refused(http: httpx.AsyncClient) -> None:
    assert error_of(await http.put("/agents/x", json={"harness": "nope"})) == (400, "invalid_request")
    assert error_of(await http.put("/agents/x", json={"harnes": "scripted"})) == (400, "invalid_request")
    assert error_of(await http.put("/agents/-x", json={"harness": "scripted"})) == (400, "invalid_request")
    assert error_of(await http.put("/agents/x", json={})) == (400, "invalid_request")


async def test_a_worker_is_shown_with_whether_it_is_there(rig: Serving, http: httpx.AsyncClient) -> None:
    async with rig.worker(lambda _: m.Accepted()):
        there = (await http.get("/workers")).json()["items"]
        status = (await http.get("/status")).json()
    assert [(worker["id"], worker["connected"]) for worker in there] == [(WORKER, True)]
    assert (status["workers_connected"], status["capacity"]) == (1, 1)
    gone = (await http.get(f"/workers/{WORKER}")).json()
    assert gone["connected"] is False


async def test_an_artifact_comes_back_as_it_was_and_only_as_a_download(http: httpx.AsyncClient) -> None:
    body = bytes(range(256)) * 4_000
    query = {"name": 'x".html\r\nSet-Cookie: a=b', "media_type": "text/html"}
    for _ in range(2):
        stored = await http.put(f"/artifacts/{named(body)}", content=body, params=query)
        assert stored.status_code == 200, stored.text
    fetched = await http.get(f"/artifacts/{named(body)}")
    assert fetched.content == body
    assert fetched.headers["content-disposition"].startswith('attachment; filename="x_.html')
    assert "sandbox" in fetched.headers["content-security-policy"]
    assert "set-cookie" not in fetched.headers
    looked_at = await http.head(f"/artifacts/{named(body)}")
    assert looked_at.headers["content-length"] == str(len(body))
    assert len((await http.get("/artifacts")).json()["items"]) == 1


async def test_bytes_under_a_wrong_id_leave_nothing(rig: Serving, http: httpx.AsyncClient) -> None:
    wrong = await http.put(f"/artifacts/{named(b'a')}", content=b"b")
    assert error_of(wrong) == (400, "invalid_request")
    assert error_of(await http.get(f"/artifacts/{named(b'a')}")) == (404, "not_found")
    assert (await http.head(f"/artifacts/{named(b'a')}")).status_code == 404
    assert (await http.get("/artifacts")).json()["items"] == []
    assert list(rig.store.artifacts.everything()) == []
    assert list((rig.home / "artifacts" / "incoming").iterdir()) == []


async def test_an_empty_artifact_is_an_artifact(http: httpx.AsyncClient) -> None:
    assert (await http.put(f"/artifacts/{named(b'')}", content=b"")).status_code == 200
    assert (await http.get(f"/artifacts/{named(b'')}")).content == b""


async def test_what_an_upload_is_called_is_checked(http: httpx.AsyncClient) -> None:
    for query in ({"media_type": "text"}, {"task": "task_x"}, {"name": ""}, {"title": "x"}):
        answer = await http.put(f"/artifacts/{named(b'a')}", content=b"a", params=query)
        assert error_of(answer) == (400, "invalid_request")
    assert error_of(await http.put("/artifacts/x", content=b"a")) == (404, "not_found")


async def test_a_shutdown_that_is_asked_for_reaches_the_engine(rig: Serving, http: httpx.AsyncClient) -> None:
    answer = await http.post("/shutdown", json={})
    assert answer.status_code == 202
    assert rig.engine.stop_asked.is_set()
