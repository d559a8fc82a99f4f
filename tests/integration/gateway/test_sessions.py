"""Sessions and what goes on with them; files that a project trusts; servers that an agent is given."""

from __future__ import annotations

import httpx
import pytest

from podium.harness.registry import harness_class
from podium.kernel import events as e
from podium.kernel.ids import RunId, SessionId, TaskId
from podium.kernel.nouns import Outcome, Reason
from podium.kernel.session import Session
from tests.integration.gateway.asking import record, started
from tests.integration.gateway.serving import WORKER, Serving, error_of

pytestmark = pytest.mark.anyio
SHA = "a" * 64


async def conversation(rig: Serving, task_id: TaskId, run_id: RunId) -> str:
    now = rig.clock.now()
    session = Session(
        id=SessionId(rig.ids.new("session")),
        task_id=task_id,
        run_id=run_id,
        agent="claude",
        harness="scripted",
        worker_id=WORKER,
        conversation_id="c-1",
        created_at=now,
        last_at=now,
    )
    await record(rig, e.SessionOpened(task_id=task_id, run_id=run_id, session=session))
    return session.id


async def test_a_session_is_listed_and_shown_without_fork_points_while_it_is_in_use(
    rig: Serving, http: httpx.AsyncClient
) -> None:
    task_id, run_id = await started(rig, http)
    session_id = await conversation(rig, task_id, run_id)
    (listed,) = (await http.get("/sessions", params={"task": task_id})).json()["items"]
    shown = (await http.get(f"/sessions/{session_id}")).json()
    assert shown.pop("fork_points") == []
    assert shown == listed
    assert (shown["conversation_id"], shown["run_id"], shown["runs"]) == ("c-1", run_id, 1)
    assert (await http.get("/sessions", params={"task": "task_" + "0" * 26})).json()["items"] == []
    assert error_of(await http.get("/sessions/session_" + "0" * 26)) == (404, "not_found")


async def test_a_session_whose_run_is_over_can_be_forked_at_its_end_if_its_program_can(
    rig: Serving, http: httpx.AsyncClient
) -> None:
    task_id, run_id = await started(rig, http)
    session_id = await conversation(rig, task_id, run_id)
    outcome = Outcome(succeeded=True, reason=Reason.COMPLETED)
    about = {"task_id": task_id, "run_id": run_id}
    await record(rig, e.RunFinishing(outcome=outcome, **about), e.RunSucceeded(**about))
    points = (await http.get(f"/sessions/{session_id}")).json()["fork_points"]
    can_fork = getattr(harness_class("scripted"), "forks", False)
    assert points == ([{"at": "end", "run_id": run_id}] if can_fork else [])


async def test_a_task_cannot_go_on_with_what_is_no_conversation(
    rig: Serving, http: httpx.AsyncClient
) -> None:
    task_id, _ = await started(rig, http)
    for session in (task_id, "session_" + "0" * 26, "rubbish"):
        answer = await http.post("/tasks", json={"prompt": "and now?", "session": session})
        assert error_of(answer) == (404, "not_found"), session
    assert error_of(await http.post("/tasks", json={"prompt": "x", "fork": True})) == (400, "invalid_request")


async def test_a_task_keeps_the_schema_of_its_answer(http: httpx.AsyncClient) -> None:
    schema = {"type": "object", "properties": {"ok": {"type": "boolean"}}}
    made = (await http.post("/tasks", json={"prompt": "x", "output_schema": schema})).json()
    assert made["output_schema"] == schema, made
    for wrong in ([], "x", {"pad": "x" * 70_000}):
        answer = await http.post("/tasks", json={"prompt": "x", "output_schema": wrong})
        assert error_of(answer) == (400, "invalid_request")


async def test_a_file_is_trusted_with_one_content_until_it_is_not(http: httpx.AsyncClient) -> None:
    await http.post("/projects", json={"name": "shop"})
    path = "/projects/shop/trusted-files"
    made = (await http.put(path, json={"path": ".mcp.json", "sha256": SHA})).json()
    assert made["trusted_files"] == {".mcp.json": SHA}
    assert (await http.put(path, json={"path": ".mcp.json", "sha256": SHA})).json() == made
    await http.put(path, json={"path": ".claude/settings.json", "sha256": SHA})
    kept = (await http.delete(path, params={"path": ".mcp.json"})).json()
    assert kept["trusted_files"] == {".claude/settings.json": SHA}
    assert (await http.get("/projects/shop")).json() == kept
    assert error_of(await http.delete(path, params={"path": ".mcp.json"})) == (404, "not_found")
    events = (await http.get("/events", params={"type": "project.changed"})).json()["events"]
    assert len(events) == 3


@pytest.mark.parametrize(
    ("path", "sha256"),
    [
        ("../.mcp.json", SHA),
        ("/etc/passwd", SHA),
        (".claude/../.mcp.json", SHA),
        ("./.mcp.json", SHA),
        (".git/config", SHA),
        ("README.md", SHA),
        ("", SHA),
        (".mcp.json", "a" * 63),
        (".mcp.json", "A" * 64),
        (".mcp.json", ""),
    ],
)
async def test_any_other_file_or_hash_is_refused(http: httpx.AsyncClient, path: str, sha256: str) -> None:
    await http.post("/projects", json={"name": "shop"})
    answer = await http.put("/projects/shop/trusted-files", json={"path": path, "sha256": sha256})
    assert error_of(answer) == (400, "invalid_request")
    assert (await http.get("/projects/shop")).json()["trusted_files"] == {}


async def test_files_of_an_unknown_project_are_404(http: httpx.AsyncClient) -> None:
    answer = await http.put("/projects/none/trusted-files", json={"path": ".mcp.json", "sha256": SHA})
    assert error_of(answer) == (404, "not_found")


async def test_an_agent_keeps_its_login_and_servers_as_references(http: httpx.AsyncClient) -> None:
    servers = [
        {"name": "notes", "url": "https://notes.test/mcp", "secrets": {"Authorization": "key:NOTES"}},
        {"name": "local", "argv": ["notes-mcp", "--stdio"], "secrets": {"TOKEN": "key:NOTES"}},
    ]
    body = {"harness": "scripted", "login": "key:WORK", "permissions": "ask", "mcp_servers": servers}
    made = (await http.put("/agents/a", json=body)).json()
    assert (made["login"], made["permissions"]) == ("key:WORK", "ask")
    assert [server["name"] for server in made["mcp_servers"]] == ["notes", "local"]
    assert made["mcp_servers"][0]["secrets"] == {"Authorization": "key:NOTES"}


@pytest.mark.parametrize(
    "fields",
    [
        {"login": "key:"},
        {"login": "mine"},
        {"permissions": "all"},
        {"mcp_servers": [{"name": "a"}]},
        {"mcp_servers": [{"name": "a", "url": "http://a.test", "argv": ["a"]}]},
        {"mcp_servers": [{"name": "a", "url": "http://a.test"}, {"name": "a", "argv": ["a"]}]},
        {"mcp_servers": [{"name": "a b", "url": "http://a.test"}]},
        {"mcp_servers": [{"name": "a", "url": "file:///etc/passwd"}]},
        {"mcp_servers": [{"name": "a", "url": "http://user:word@a.test"}]},
        {"mcp_servers": [{"name": "a", "url": "http://a.test:nan/"}]},
        {"mcp_servers": [{"name": "a", "url": "http://a.test/\r\nx"}]},
        {"mcp_servers": [{"name": "a", "argv": [""]}]},
        {"mcp_servers": [{"name": "a", "argv": ["a", "\u0000"]}]},
        {"mcp_servers": [{"name": "a", "url": "http://a.test", "secrets": {"X-Key": "hunter2"}}]},
        {"mcp_servers": [{"name": "a", "url": "http://a.test", "secrets": {"X Key": "key:A"}}]},
        {"mcp_servers": [{"name": "a", "argv": ["a"], "secrets": {"A-B": "key:A"}}]},
        {"mcp_servers": [{"name": "a", "argv": ["a"], "env": {}}]},
    ],
)
async def test_an_agent_whose_login_or_servers_cannot_be_is_refused_and_no_secret_is_repeated(
    http: httpx.AsyncClient, fields: dict[str, object]
) -> None:
    answer = await http.put("/agents/a", json={"harness": "scripted", **fields})
    assert error_of(answer) == (400, "invalid_request")
    assert "hunter2" not in answer.text
    assert error_of(await http.get("/agents/a")) == (404, "not_found")
