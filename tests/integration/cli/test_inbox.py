"""The inbox on the command line: real processes, a real server; what agents ask stands in its store."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import anyio
import httpx
import pytest

from podium.harness.registry import harness_class
from podium.kernel import events as e
from podium.kernel.ids import RunId, TaskId
from tests.integration.cli.driving import PODIUM, environ, podium
from tests.integration.gateway.asking import ask, command, edit, record, started
from tests.integration.gateway.serving import WORKER, Serving
from tests.integration.gateway.test_sessions import conversation

pytestmark = pytest.mark.anyio


async def test_what_is_asked_is_listed_shown_and_allowed(rig: Serving, http: httpx.AsyncClient) -> None:
    _, run_id = await started(rig, http, "ship it")
    inquiry_id = await ask(rig, run_id, command("git push origin main"), why="to publish")
    end = inquiry_id[-6:]
    code, out, _ = await podium(rig, "inbox")
    assert code == 0
    head, row = out.splitlines()
    assert head.split() == ["ID", "AGE", "TASK", "AGENT", "RISK", "WHAT"]
    assert row.startswith(end)
    assert row.endswith("ship it  claude  high  $ git push origin main")
    for words in (("inbox", "show", end), ("inquiries", "show", inquiry_id)):
        _, out, _ = await podium(rig, *words)
        for part in ("git push origin main", "/work", "to publish", "high", f"podium approve {end}"):
            assert part in out, part
    code, out, _ = await podium(rig, "approve", end, "--reason", "go")
    assert (code, out) == (0, "allowed  $ git push origin main\n")
    shown = (await http.get(f"/inquiries/{inquiry_id}")).json()
    assert (shown["answer"]["decision"], shown["answer"]["reason"]) == ("allow", "go")
    assert (await podium(rig, "inbox"))[1] == "nothing\n"
    _, out, _ = await podium(rig, "inbox", "--all")
    assert "allow" in out.splitlines()[1]


async def test_the_second_answer_exits_1_and_says_who_was_first(
    rig: Serving, http: httpx.AsyncClient
) -> None:
    _, run_id = await started(rig, http)
    inquiry_id = await ask(rig, run_id, command())
    assert (await podium(rig, "deny", inquiry_id, "--reason", "not on Friday"))[0] == 0
    for verb in ("approve", "deny"):
        code, out, told = await podium(rig, verb, inquiry_id[-6:])
        assert (code, out) == (1, "")
        assert "already denied by owner at 20" in told
    code, _, told = await podium(rig, "approve", inquiry_id, "--json")
    assert code == 1
    assert json.loads(told)["error"]["code"] == "conflict"


async def test_open_ones_stand_first_and_json_is_the_api(rig: Serving, http: httpx.AsyncClient) -> None:
    _, run_id = await started(rig, http)
    first = await ask(rig, run_id, command("one"), token="a")
    second = await ask(rig, run_id, edit("/work/x.py", "+y\n"), token="b")
    await podium(rig, "approve", second)
    _, out, _ = await podium(rig, "inbox", "--all", "--json")
    assert [item["id"] for item in json.loads(out)["items"]] == [first, second]
    _, out, _ = await podium(rig, "inquiries", "list", "--state", "answered", "--field", "items.0.id")
    assert out.strip() == second
    _, out, _ = await podium(rig, "inquiries", "list")
    assert "edit x.py" in out


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (("approve", "zzzzzz"), 3, "there is no inquiry"),
        (("approve", "z"), 3, "too short"),
        (("approve", "inquiry_" + "0" * 26), 3, "there is no inquiry"),
        (("approve",), 2, "Missing argument"),
        (("inbox", "show", "zzzzzz"), 3, "there is no inquiry"),
        (("sessions", "show", "zzzzzz"), 3, "there is no"),
        (("send", "zzzzzz", "hi"), 3, "there is no task"),
        (("run", "x", "--session", "zzzzzz"), 3, "there is no"),
        (("run", "x", "--fork"), 2, "--session"),
        (("run", "x", "--session", "zzzzzz", "--repo", "."), 2, "--repo"),
    ],
)
async def test_a_mistake_names_the_next_step(
    rig: Serving, words: tuple[str, ...], code: int, said: str
) -> None:
    done = await podium(rig, *words)
    assert (done[0], done[1]) == (code, "")
    assert said in done[2]


async def test_an_inquiry_is_not_answered_by_the_id_of_its_task(
    rig: Serving, http: httpx.AsyncClient
) -> None:
    """What the task asks may have changed since somebody looked."""
    task_id, run_id = await started(rig, http)
    inquiry_id = await ask(rig, run_id, command())
    assert (await podium(rig, "approve", task_id))[0] == 3
    assert (await http.get(f"/inquiries/{inquiry_id}")).json()["state"]["word"] == "open"


async def test_who_waits_for_a_task_that_asks_exits_4(rig: Serving, http: httpx.AsyncClient) -> None:
    task_id, run_id = await started(rig, http)
    await ask(rig, run_id, command())
    code, out, told = await podium(rig, "wait", task_id, "--timeout", "30")
    assert code == 4
    assert told.strip() == "podium inbox"
    assert "needs you" in out


async def started_of(rig: Serving, http: httpx.AsyncClient, title: str) -> tuple[TaskId, RunId]:
    """The task that a `podium run` has opened, its run set to work."""
    with anyio.fail_after(30):
        while not (items := (await http.get("/tasks")).json()["items"]):
            await anyio.sleep(0.02)
    assert items[0]["title"] == title
    task_id, run_id = TaskId(items[0]["id"]), RunId(items[0]["run_id"])
    about: dict[str, Any] = {"task_id": task_id, "run_id": run_id}
    await record(
        rig,
        e.RunLeased(worker_id=WORKER, fence=1, **about),
        e.TaskStarted(**about),
        e.RunStarting(**about),
        e.RunStarted(pid=1, isolation="bare", **about),
    )
    return task_id, run_id


async def test_a_run_that_asks_prints_the_line_to_type_and_goes_on_when_answered(
    rig: Serving, http: httpx.AsyncClient
) -> None:
    process = await anyio.open_process([*PODIUM, "run", "ship it"], env=environ(rig), cwd=rig.home)
    async with process:
        task_id, run_id = await started_of(rig, http, "ship it")
        inquiry_id = await ask(rig, run_id, command("make deploy"))
        assert process.stdout is not None
        out = ""
        with anyio.fail_after(30):
            while f"podium approve {inquiry_id[-6:]}" not in out:
                out += (await process.stdout.receive()).decode()
        assert "? may I $ make deploy" in out
        await podium(rig, "approve", inquiry_id)
        await http.post(f"/tasks/{task_id}/cancel")
        about: dict[str, Any] = {"task_id": task_id, "run_id": run_id}
        await record(rig, e.RunCancelled(**about), e.TaskCancelled(task_id=task_id))
        with anyio.fail_after(30):
            while "task cancelled" not in out:
                out += (await process.stdout.receive()).decode()
            assert await process.wait() == 5
    assert "✓ allowed by owner" in out


async def test_a_session_is_listed_shown_and_named_by_what_is_in_it(
    rig: Serving, http: httpx.AsyncClient
) -> None:
    task_id, run_id = await started(rig, http)
    session_id = await conversation(rig, task_id, run_id)
    _, out, _ = await podium(rig, "sessions", "list")
    assert out.splitlines()[1].startswith(session_id[-6:])
    for reference in (session_id, session_id[-6:], task_id, run_id):
        code, out, _ = await podium(rig, "sessions", "show", reference)
        assert code == 0
        assert session_id in out


@pytest.mark.skipif(
    not getattr(harness_class("scripted"), "resumes", False), reason="the scripted agent resumes nothing yet"
)
async def test_a_conversation_in_use_is_not_gone_on_with(rig: Serving, http: httpx.AsyncClient) -> None:
    task_id, run_id = await started(rig, http)
    session_id = await conversation(rig, task_id, run_id)
    for reference in (session_id[-6:], task_id[-6:]):
        code, _, told = await podium(rig, "run", "and now?", "--session", reference, "--detach")
        assert code == 1
        assert "is in use by" in told
        assert "podium send" in told


async def test_an_output_schema_travels_with_its_task(
    rig: Serving, http: httpx.AsyncClient, tmp_path: Path
) -> None:
    schema = {"type": "object", "required": ["ok"]}
    (tmp_path / "schema.json").write_text(json.dumps(schema))
    (tmp_path / "broken.json").write_text("{")
    good = await podium(rig, "run", "x", "--output-schema", str(tmp_path / "schema.json"), "--detach")
    assert good[0] == 0, good
    assert (await http.get(f"/tasks/{good[1].strip()}")).json()["output_schema"] == schema
    code, _, told = await podium(
        rig, "run", "x", "--output-schema", str(tmp_path / "broken.json"), "--detach"
    )
    assert code == 1
    assert "is no JSON" in told


async def test_a_file_is_trusted_with_the_content_that_was_shown(
    rig: Serving, http: httpx.AsyncClient, tmp_path: Path
) -> None:
    await http.post("/projects", json={"name": "shop"})
    content = b'{"mcpServers": {"x": "\x1b[8mhidden"}}\n'
    (tmp_path / ".mcp.json").write_bytes(content)
    code, out, told = await podium(rig, "projects", "trust", "shop", ".mcp.json", "--repo", str(tmp_path))
    assert (code, out) == (0, "shop trusts .mcp.json\n")
    assert "\\x1b[8mhidden" in told
    stored = (await http.get("/projects/shop")).json()["trusted_files"]
    assert stored == {".mcp.json": hashlib.sha256(content).hexdigest()}
    assert (await podium(rig, "projects", "trust", "shop", ".mcp.json", "--remove"))[0] == 0
    assert (await http.get("/projects/shop")).json()["trusted_files"] == {}
    for file, code in (("../x", 1), ("/etc/passwd", 1), (".codex/config.toml", 3)):
        assert (await podium(rig, "projects", "trust", "shop", file, "--repo", str(tmp_path)))[0] == code, (
            file
        )
    (tmp_path / "README.md").write_text("x")
    assert (await podium(rig, "projects", "trust", "shop", "README.md", cwd=tmp_path))[0] == 1


async def test_an_agent_is_given_a_login_and_servers(rig: Serving, http: httpx.AsyncClient) -> None:
    code, _, told = await podium(
        rig, "agents", "add", "asks", "--harness", "scripted", "--permissions", "ask", "--login", "key:WORK",
        "--mcp", "notes=https://notes.test/mcp", "--mcp", "local=notes-mcp --stdio 'a b'",
        "--mcp-secret", "notes/Authorization=key:NOTES",
    )  # fmt: skip
    assert code == 0, told
    agent = (await http.get("/agents/asks")).json()
    assert (agent["login"], agent["permissions"]) == ("key:WORK", "ask")
    assert agent["mcp_servers"][0]["secrets"] == {"Authorization": "key:NOTES"}
    assert agent["mcp_servers"][1]["argv"] == ["notes-mcp", "--stdio", "a b"]
    code, _, told = await podium(
        rig, "agents", "add", "b", "--harness", "scripted", "--mcp-secret", "x/Y=hunter2"
    )
    assert code == 1
    assert "hunter2" not in told


async def test_logs_fold_and_unfold(rig: Serving, http: httpx.AsyncClient) -> None:
    task_id, run_id = await started(rig, http)
    about: dict[str, Any] = {"task_id": task_id, "run_id": run_id}
    output = "\n".join(f"line {number}" for number in range(30))
    await record(
        rig,
        e.RunToolCalled(call_id="c", name="Bash", **about),
        e.RunToolReturned(call_id="c", output=output, **about),
        e.RunSaid(text="a \x1b[2Jclean\x9b word", **about),
    )
    _, folded, _ = await podium(rig, "logs", task_id)
    _, whole, _ = await podium(rig, "logs", task_id, "--full")
    assert "… +25 lines" in folded
    assert "line 29" in whole
    assert "a clean word" in folded
    assert "\x1b" not in folded


@pytest.mark.skipif(sys.platform == "win32", reason="needs a pseudo-terminal")
async def test_on_a_terminal_text_is_shown_as_it_is_said_and_an_ask_is_answered_right_there(
    rig: Serving, http: httpx.AsyncClient
) -> None:
    from podium.bus.messages import Partials

    ours, theirs = os.openpty()
    process = subprocess.Popen(
        [*PODIUM, "run", "ship it"],
        stdin=theirs, stdout=theirs, stderr=theirs, env=environ(rig), cwd=rig.home, start_new_session=True,
    )  # fmt: skip
    os.close(theirs)
    seen = b""

    async def until(text: str) -> None:
        nonlocal seen
        try:
            with anyio.fail_after(20):
                while text.encode() not in seen:
                    await anyio.wait_readable(ours)
                    seen += os.read(ours, 65_536)
        except TimeoutError:
            pytest.fail(f"{text!r} was not printed, but {seen!r}")

    try:
        task_id, run_id = await started_of(rig, http, "ship it")
        await until("agent started")
        with anyio.fail_after(30):
            while not rig.server._gateway._api.hub._mailboxes:
                await anyio.sleep(0.02)
        assert rig.engine.on_partial is not None
        rig.engine.on_partial(
            Partials(worker_id=WORKER, run_id=run_id, task_id=task_id, item="1", text="I am say")
        )
        await until("I am say")
        await record(rig, e.RunSaid(task_id=task_id, run_id=run_id, text="I am saying it"))
        await until("I am saying it")
        assert b"\x1b[1A\r\x1b[J" in seen
        inquiry_id = await ask(rig, run_id, command("make deploy"))
        await until("[l]ater")
        os.write(ours, b"y\n")
        await until("by owner")
        assert (await http.get(f"/inquiries/{inquiry_id}")).json()["answer"]["decision"] == "allow"
        await http.post(f"/tasks/{task_id}/cancel")
        about: dict[str, Any] = {"task_id": task_id, "run_id": run_id}
        await record(rig, e.RunCancelled(**about), e.TaskCancelled(task_id=task_id))
        with anyio.fail_after(30):
            assert await anyio.to_thread.run_sync(process.wait) == 5
    finally:
        process.kill()
        process.wait()
        os.close(ours)
