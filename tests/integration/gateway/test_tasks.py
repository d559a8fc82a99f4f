"""Tasks over HTTP: a real store and engine behind a real server."""

from __future__ import annotations

import anyio
import httpx
import pytest

from tests.integration.gateway.serving import Serving, error_of, open_task

pytestmark = pytest.mark.anyio
ABSENT = "task_" + "0" * 26


async def test_a_task_is_opened_listed_and_shown_with_its_prompt(http: httpx.AsyncClient) -> None:
    made = await open_task(http, "  mend the till\nplease", priority=3)
    assert made["title"] == "mend the till"
    assert made["status"]["word"] == "queued"
    assert "prompt" not in made
    listed = (await http.get("/tasks")).json()
    assert [task["id"] for task in listed["items"]] == [made["id"]]
    assert listed["next"] is None
    shown = (await http.get(f"/tasks/{made['id']}")).json()
    assert shown["prompt"] == "  mend the till\nplease"


async def test_every_state_names_its_evidence(http: httpx.AsyncClient) -> None:
    made = await open_task(http)
    for name in ("state", "status"):
        assert set(made[name]) == {"word", "reason", "since", "evidence"}
        assert set(made[name]["evidence"]) == {"source", "seq", "at", "detail"}
        assert made[name]["evidence"]["source"] == "owner"


async def test_pages_cover_everything_once_and_past_the_end_are_empty(http: httpx.AsyncClient) -> None:
    made = [(await open_task(http, f"task {number}"))["id"] for number in range(7)]
    seen, after = [], None
    while True:
        page = (await http.get("/tasks", params={"limit": 3} | ({"after": after} if after else {}))).json()
        seen += [task["id"] for task in page["items"]]
        after = page["next"]
        if after is None:
            break
    assert sorted(seen) == sorted(made)
    assert len(set(seen)) == 7
    past = (await http.get("/tasks", params={"after": min(made)})).json()
    assert past == {"items": [], "next": None}


async def test_lists_are_filtered_by_status_and_project(http: httpx.AsyncClient) -> None:
    project = (await http.post("/projects", json={"name": "shop"})).json()
    mine = await open_task(http, project="shop")
    other = await open_task(http)
    await http.post(f"/tasks/{other['id']}/cancel")
    by_project = (await http.get("/tasks", params={"project": project["id"]})).json()["items"]
    by_status = (await http.get("/tasks", params={"status": "cancelled"})).json()["items"]
    assert [task["id"] for task in by_project] == [mine["id"]]
    assert [task["id"] for task in by_status] == [other["id"]]
    assert (await http.get("/tasks", params={"status": "unknown"})).json()["items"] == []


async def test_cancelling_twice_is_no_error_and_the_first_reason_stands(http: httpx.AsyncClient) -> None:
    made = await open_task(http)
    first = await http.post(f"/tasks/{made['id']}/cancel", json={"reason": "wrong branch"})
    second = await http.post(f"/tasks/{made['id']}/cancel", json={"reason": "again"})
    assert first.json()["state"]["word"] == "cancelled"
    assert second.json()["cancel"]["reason"] == "wrong branch"


async def test_a_running_task_cannot_be_tried_again_an_ended_one_can(http: httpx.AsyncClient) -> None:
    made = await open_task(http, "try me")
    assert error_of(await http.post(f"/tasks/{made['id']}/retry")) == (409, "conflict")
    await http.post(f"/tasks/{made['id']}/cancel")
    again = await http.post(f"/tasks/{made['id']}/retry")
    assert again.status_code == 201
    assert again.json()["retry_of"] == made["id"]
    assert (await http.get(f"/tasks/{again.json()['id']}")).json()["prompt"] == "try me"


async def test_a_wait_ends_with_the_task_and_not_before(rig: Serving, http: httpx.AsyncClient) -> None:
    made = await open_task(http)
    waited: list[dict[str, object]] = []

    async def wait() -> None:
        answer = await http.get(f"/tasks/{made['id']}/wait", params={"timeout_s": 20})
        waited.append(answer.json())

    with anyio.fail_after(10):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(wait)
            while rig.server._gateway._api.hub.followers == 0:
                await anyio.lowlevel.checkpoint()
            await rig.say("noise", task_id=made["id"], times=5)
            async with rig.client() as other:
                await other.post(f"/tasks/{made['id']}/cancel")
    assert waited[0]["timed_out"] is False
    assert waited[0]["task"]["state"]["word"] == "cancelled"  # type: ignore[index]


async def test_a_wait_that_is_too_short_says_so_and_shows_the_task(http: httpx.AsyncClient) -> None:
    made = await open_task(http)
    answer = await http.get(f"/tasks/{made['id']}/wait", params={"timeout_s": 0.05})
    assert answer.json()["timed_out"] is True
    assert answer.json()["task"]["id"] == made["id"]


async def test_what_is_not_there_is_404_also_under_an_id_of_another_kind(http: httpx.AsyncClient) -> None:
    made = await open_task(http)
    for path in (f"/tasks/{ABSENT}", "/tasks/rubbish", f"/tasks/{made['run_id']}", f"/runs/{made['id']}"):
        assert error_of(await http.get(path)) == (404, "not_found"), path
    assert error_of(await http.post(f"/tasks/{ABSENT}/cancel")) == (404, "not_found")
    assert error_of(await http.get(f"/tasks/{ABSENT}/wait")) == (404, "not_found")


@pytest.mark.parametrize(
    ("query", "hint"),
    [
        ("limt=3", "did you mean 'limit'?"),
        ("limit=0", ""),
        ("limit=501", ""),
        ("limit=many", ""),
        ("limit=1&limit=2", ""),
        ("status=runing", ""),
        ("after=run_00000000000000000000000000", ""),
        ("after=%27%20OR%201=1", ""),
        ("limit", ""),
        ("project=%ff", ""),
    ],
)
async def test_a_query_that_is_not_right_is_refused(http: httpx.AsyncClient, query: str, hint: str) -> None:
    answer = await http.get(f"/tasks?{query}")
    assert error_of(answer) == (400, "invalid_request")
    assert hint in answer.json()["error"]["hint"]


@pytest.mark.parametrize(
    ("body", "word"),
    [
        (b"", "needed"),
        (b"{", "JSON"),
        (b'{"prompt": "x", "promt": 1}', "promt"),
        (b'{"prompt": 3}', "$.prompt"),
        (b'{"prompt": "  "}', "empty"),
        (b'{"prompt": "x", "priority": 11}', "$.priority"),
        (b'{"prompt": "x", "checks": [{"name": "a", "argv": []}]}', "$.checks[0].argv"),
        (b'{"prompt": "x", "repository": "ext::sh -c id"}', ""),
        (b'{"prompt": "x", "repository": "--upload-pack=id"}', ""),
        (b'{"prompt": "x", "base": "--help"}', ""),
        (b'{"prompt": "\xff"}', "JSON"),
        (b"[" * 100_000, ""),
    ],
)
async def test_a_body_that_is_not_right_is_refused_and_opens_nothing(
    http: httpx.AsyncClient, body: bytes, word: str
) -> None:
    answer = await http.post("/tasks", content=body, headers={"content-type": "application/json"})
    assert error_of(answer) == (400, "invalid_request")
    assert word in answer.json()["error"]["message"]
    assert (await http.get("/tasks")).json()["items"] == []
    assert (await http.get("/runs")).json()["items"] == []


async def test_an_unknown_agent_or_project_opens_nothing(http: httpx.AsyncClient) -> None:
    for field in ({"agent": "nobody"}, {"project": "nowhere"}):
        answer = await http.post("/tasks", json={"prompt": "x", **field})
        assert error_of(answer) == (404, "not_found")
    assert (await http.get("/tasks")).json()["items"] == []


@pytest.mark.parametrize(
    ("size", "refusal"), [(10_000_000, (413, "too_large")), (1_100_000, (400, "invalid_request"))]
)
async def test_a_prompt_beyond_the_limit_is_refused(
    http: httpx.AsyncClient, size: int, refusal: tuple[int, str]
) -> None:
    assert error_of(await http.post("/tasks", json={"prompt": "x" * size})) == refusal
    assert (await http.get("/tasks")).json()["items"] == []


async def test_a_prompt_of_one_mebibyte_is_taken_however_it_is_escaped(http: httpx.AsyncClient) -> None:
    escaped = b'{"prompt": "' + b"\\u0041" * (1024 * 1024) + b'"}'
    answer = await http.post("/tasks", content=escaped, headers={"content-type": "application/json"})
    assert answer.status_code == 201


async def test_a_page_shows_runs_of_a_task_and_open_ones(http: httpx.AsyncClient) -> None:
    one, two = await open_task(http, "one"), await open_task(http, "two")
    await http.post(f"/tasks/{two['id']}/cancel")
    of_one = (await http.get("/runs", params={"task": one["id"]})).json()["items"]
    still_open = (await http.get("/runs", params={"open": "true"})).json()["items"]
    assert [run["id"] for run in of_one] == [one["run_id"]] == [run["id"] for run in still_open]
    assert (await http.get(f"/runs/{one['run_id']}")).json() == of_one[0]
