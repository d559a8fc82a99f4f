"""One key, one effect: W13."""

from __future__ import annotations

from pathlib import Path

import anyio
import httpx
import pytest

from tests.integration.gateway.serving import Serving, error_of, open_task

pytestmark = pytest.mark.anyio
KEY = {"idempotency-key": "k-1"}


async def test_a_hundred_at_once_with_one_key_open_one_task_and_get_one_answer(
    rig: Serving, http: httpx.AsyncClient
) -> None:
    answers: list[httpx.Response] = []

    async def ask(client: httpx.AsyncClient) -> None:
        answers.append(await client.post("/tasks", json={"prompt": "once"}, headers=KEY))

    limits = httpx.Limits(max_connections=20)
    async with rig.client(limits=limits) as many, anyio.create_task_group() as tasks:
        for _ in range(100):
            tasks.start_soon(ask, many)
    assert {answer.status_code for answer in answers} == {201}
    assert len({answer.content for answer in answers}) == 1
    assert sum("idempotency-replayed" in answer.headers for answer in answers) == 99
    assert len((await http.get("/tasks")).json()["items"]) == 1


async def test_the_same_key_for_something_else_is_a_conflict(http: httpx.AsyncClient) -> None:
    task = await open_task(http)
    await http.post("/tasks", json={"prompt": "one"}, headers=KEY)
    other_body = await http.post("/tasks", json={"prompt": "two"}, headers=KEY)
    other_path = await http.post(f"/tasks/{task['id']}/cancel", headers=KEY)
    assert error_of(other_body) == error_of(other_path) == (409, "idempotency_conflict")
    assert len((await http.get("/tasks")).json()["items"]) == 2


async def test_a_refusal_is_not_remembered(http: httpx.AsyncClient) -> None:
    ask = {"prompt": "x", "project": "shop"}
    assert error_of(await http.post("/tasks", json=ask, headers=KEY)) == (404, "not_found")
    await http.post("/projects", json={"name": "shop"})
    assert (await http.post("/tasks", json=ask, headers=KEY)).status_code == 201


async def test_every_mutation_takes_a_key(http: httpx.AsyncClient) -> None:
    task = await open_task(http)
    agent = {"harness": "scripted"}
    asks = [
        ("POST", f"/tasks/{task['id']}/cancel", {"reason": "r"}),
        ("POST", f"/tasks/{task['id']}/retry", None),
        ("POST", "/projects", {"name": "shop"}),
        ("PUT", "/agents/helper", agent),
        ("DELETE", "/agents/helper", None),
        ("DELETE", "/projects/shop", None),
    ]
    for number, (method, path, body) in enumerate(asks):
        headers = {"idempotency-key": f"key {number}"}
        first = await http.request(method, path, json=body, headers=headers)
        again = await http.request(method, path, json=body, headers=headers)
        assert first.status_code in {200, 201}, (path, first.text)
        assert (again.status_code, again.content) == (first.status_code, first.content)
        assert again.headers["idempotency-replayed"] == "true"


async def test_a_repeat_is_answered_though_the_repository_has_gone(
    http: httpx.AsyncClient, tmp_path: Path
) -> None:
    repository = tmp_path / "repository"
    done = await anyio.run_process(["git", "init", "-q", str(repository)])
    assert done.returncode == 0
    ask = {"name": "shop", "repository": str(repository)}
    first = await http.post("/projects", json=ask, headers=KEY)
    assert first.status_code == 201, first.text
    repository.rename(tmp_path / "elsewhere")
    again = await http.post("/projects", json=ask, headers=KEY)
    assert again.content == first.content


@pytest.mark.parametrize("key", ["", "x" * 201, "tab\there"])
async def test_a_key_that_is_none_is_refused(http: httpx.AsyncClient, key: str) -> None:
    answer = await http.post("/tasks", json={"prompt": "x"}, headers={"idempotency-key": key})
    assert error_of(answer) == (400, "invalid_request")
    assert (await http.get("/tasks")).json()["items"] == []
