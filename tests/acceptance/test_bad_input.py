"""What nobody should send, sent: an answer with its code and the next step, and nothing half-created."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from podium.testing.fleet import Fleet

from .conftest import script

JSON = {"content-type": "application/json"}
SAYS = script({"do": "say", "text": "hi"})
NOBODY = "task_" + "0" * 26
MIB = 1024 * 1024


@pytest.fixture(scope="module")
def refusing(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Fleet]:
    """One server for everything that must change nothing. Without a worker, so that nothing else happens."""
    fleet = Fleet(tmp_path_factory.mktemp("refusing"), separate=True)
    fleet.start("server")
    fleet.call("GET", "/health")
    yield fleet
    fleet.stop()


def address(fleet: Fleet) -> str:
    return str(json.loads((fleet.home / "server.json").read_text())["url"]) + "/api/v1"


def token(fleet: Fleet, name: str = "owner") -> str:
    return (fleet.home / f"{name}.token").read_text().strip()


def asked(fleet: Fleet, method: str, path: str, **rest: Any) -> httpx.Response:
    headers = {"authorization": f"Bearer {token(fleet)}", **rest.pop("headers", {})}
    return httpx.request(method, address(fleet) + path, headers=headers, trust_env=False, timeout=30, **rest)


def rows(fleet: Fleet) -> list[Any]:
    """Everything that a request could have made."""
    nouns = ["/tasks", "/runs", "/changes", "/projects", "/agents", "/artifacts"]
    return [fleet.events(), *(fleet.call("GET", noun) for noun in nouns)]


def refused(fleet: Fleet, code: int, method: str, path: str, **rest: Any) -> dict[str, Any]:
    """The error; that it has a next step and that nothing came of it is part of every refusal."""
    before = rows(fleet)
    answer = asked(fleet, method, path, **rest)
    assert answer.status_code == code, answer.text[:500]
    error: dict[str, Any] = answer.json()["error"]
    assert set(error) == {"code", "message", "hint", "details"}
    assert error["message"]
    assert error["hint"], f"no next step: {error['message']}"
    assert "Traceback" not in answer.text
    assert rows(fleet) == before
    return error


TASKS: list[tuple[str, int, dict[str, Any], str]] = [
    ("empty prompt", 400, {"prompt": ""}, "prompt is empty"),
    ("blank prompt", 400, {"prompt": " \n\t\u2003"}, "prompt is empty"),
    ("no prompt", 400, {}, "prompt"),
    ("prompt of 2 MiB", 400, {"prompt": "x" * 2 * MIB}, "larger than"),
    ("prompt of 10 MB", 413, {"prompt": "x" * 10_000_000}, "8388608 bytes"),
    ("NUL in the prompt", 400, {"prompt": "a\0b"}, "NUL"),
    ("prompt that is no text", 400, {"prompt": ["x"]}, "$.prompt"),
    ("unknown agent", 404, {"agent": "nobody"}, "nobody"),
    ("agent outside of its folder", 400, {"agent": "../claude"}, "$.agent"),
    ("unknown field", 400, {"promt": "x"}, "promt"),
    ("unknown project", 404, {"project": "nope"}, "nope"),
    ("project id of nothing", 404, {"project": "project_" + "0" * 26}, "nothing"),
    ("priority out of range", 400, {"priority": 11}, "$.priority"),
    ("priority beyond 64 bits", 400, {"priority": 10**30}, "$.priority"),
    ("long title", 400, {"title": "x" * 201}, "$.title"),
    ("base of nothing", 400, {"base": "main"}, "needs a repository"),
    ("check without words", 400, {"checks": [{"name": "c", "argv": []}]}, "$.checks[0].argv"),
    ("check as shell text", 400, {"checks": [{"name": "c", "argv": "make"}]}, "$.checks[0].argv"),
    ("check without program", 400, {"checks": [{"name": "c", "argv": [""]}]}, "no program"),
    ("check with NUL", 400, {"checks": [{"name": "c", "argv": ["a", "b\0c"]}]}, "NUL"),
    ("check with a path as name", 400, {"checks": [{"name": "../c", "argv": ["a"]}]}, "$.checks[0].name"),
    ("check that has no time", 400, {"checks": [{"name": "c", "argv": ["a"], "timeout_s": 0}]}, "timeout_s"),
    ("two checks of one name", 400, {"checks": [{"name": "c", "argv": ["a"]}] * 2}, "same name"),
    ("33 checks", 400, {"checks": [{"name": f"c{n}", "argv": ["a"]} for n in range(33)]}, "$.checks"),
]


@pytest.mark.parametrize(
    ("code", "fields", "says"), [row[1:] for row in TASKS], ids=[row[0] for row in TASKS]
)
def test_a_task_that_cannot_be_is_refused(refusing, code, fields, says):
    body = {"prompt": SAYS, "agent": "scripted", **fields} if fields else {"agent": "scripted"}
    error = refused(refusing, code, "POST", "/tasks", json=body)
    assert says in error["message"] + error["hint"]


REPOSITORIES = [
    "ext::sh -c id",
    "fd::17",
    "-x",
    "--upload-pack=touch /tmp/x",
    "../up",
    "relative",
    "/a/../b",
    "file:///a/../b",
    "https://h/%2e%2e/x",
    "http://h/x",
    "git://h/x",
    "https://user:secret@h/x",
    "ssh://-oProxyCommand=id/x",
    "git@-oProxyCommand=id:x",
    "host:-x",
    "/a\0b",
    "/a\nb",
    "owner/name",
    "",
    "x" * 1_001,
]


@pytest.mark.parametrize("repository", REPOSITORIES, ids=[ascii(name[:24]) for name in REPOSITORIES])
@pytest.mark.parametrize("where", ["/tasks", "/projects"])
def test_an_address_that_could_run_something_or_climb_is_refused_at_parse(refusing, where, repository):
    body = {"prompt": SAYS, "agent": "scripted"} if where == "/tasks" else {"name": "p"}
    error = refused(refusing, 400, "POST", where, json={**body, "repository": repository})
    assert "secret" not in json.dumps(error), "credentials are not repeated"


REFS = ["-x", "--upload-pack=id", "a..b", "a b", "HEAD~1", "@{u}", ":x", "x\0", "a/../b", "", "a.lock", "/a"]


@pytest.mark.parametrize("field", ["base", "target"])
@pytest.mark.parametrize("ref", REFS, ids=ascii)
def test_a_ref_that_git_could_read_as_something_else_is_refused(refusing, field, ref):
    body = {"prompt": SAYS, "agent": "scripted", "repository": "/somewhere", field: ref}
    refused(refusing, 400, "POST", "/tasks", json=body)


BODIES = {
    "nothing": b"",
    "half": b'{"prompt":',
    "two": b'{"prompt":"x","agent":"scripted"} {}',
    "list": b"[]",
    "null": b"null",
    "not a number": b'{"prompt":"x","priority":NaN}',
    "deep": b"[" * 200_000,
    "deep inside": b'{"prompt":' + b'{"a":' * 200_000,
    "lone surrogate": b'{"prompt":"a\\ud800b","agent":"scripted"}',
    "lone low surrogate": b'{"prompt":"a\\udc00b","agent":"scripted"}',
    "surrogate in bytes": b'{"prompt":"a\xed\xa0\x80b","agent":"scripted"}',
    "no UTF-8": b'{"prompt":"a\xffb","agent":"scripted"}',
    "UTF-16": '{"prompt":"x"}'.encode("utf-16"),
}


@pytest.mark.parametrize("body", BODIES.values(), ids=BODIES)
def test_a_body_that_is_no_json_is_refused(refusing, body):
    refused(refusing, 400, "POST", "/tasks", content=body, headers=JSON)


def test_a_body_of_another_kind_is_refused(refusing):
    refused(refusing, 415, "POST", "/tasks", content=b"prompt=x", headers={"content-type": "text/plain"})


AGENTS: list[tuple[int, str, dict[str, Any]]] = [
    (400, "x", {}),
    (400, "x", {"harness": "nope"}),
    (400, "-x", {"harness": "scripted"}),
    (400, "x%00", {"harness": "scripted"}),
    (400, "x", {"harness": "command"}),
    (400, "x", {"harness": "command", "options": {"argv": "ruff check"}}),
    (400, "x", {"harness": "command", "options": {"argv": "[]"}}),
    (400, "x", {"harness": "command", "options": {"argv": '["a\\u0000b"]'}}),
    (400, "x", {"harness": "scripted", "options": {"nope": "1"}}),
    (400, "x", {"harness": "scripted", "env": ["PATH=/tmp"]}),
    (400, "x", {"harness": "scripted", "limits": {"run_s": 0}}),
    (400, "x", {"harness": "scripted", "limits": {"grace_s": -1}}),
]


@pytest.mark.parametrize(("code", "name", "body"), AGENTS)
def test_an_agent_that_could_never_start_is_refused_when_it_is_defined(refusing, code, name, body):
    refused(refusing, code, "PUT", f"/agents/{name}", json=body)


def test_a_project_whose_repository_is_not_there_is_refused(refusing, tmp_path):
    (tmp_path / "plain").mkdir()
    for path in (tmp_path / "missing", tmp_path / "plain"):
        error = refused(refusing, 400, "POST", "/projects", json={"name": "p", "repository": str(path)})
        assert error["code"] == "repository_unusable"
    refused(refusing, 400, "POST", "/projects", json={"name": "-p"})


PAGES = [
    (400, "/tasks?limit=0"),
    (400, "/tasks?limit=501"),
    (400, "/tasks?limit=ten"),
    (400, "/tasks?limit=1&limit=2"),
    (400, "/tasks?limt=1"),
    (400, "/tasks?after=nonsense"),
    (400, "/tasks?after=%00"),
    (400, "/tasks?after=run_" + "0" * 26),
    (400, "/tasks?status=strange"),
    (400, "/tasks?project=%ff"),
    (400, "/tasks?" + "&".join(f"a{n}=1" for n in range(50))),
    (400, "/events?after=12"),
    (400, "/events?limit=-1"),
    (400, "/events?type=" + "x," * 60),
    (404, f"/tasks/{NOBODY}"),
    (404, "/tasks/%00"),
    (404, "/tasks/..%2f..%2fowner.token"),
    (404, "/artifacts/..%2f..%2fowner.token"),
    (404, "/artifacts/" + "0" * 63),
    (404, "/artifacts/" + "0" * 64),
    (404, "/nothing/here"),
]


@pytest.mark.parametrize(("code", "path"), PAGES, ids=[path[:40] for _, path in PAGES])
def test_a_page_or_thing_that_is_not_there_is_told(refusing, code, path):
    refused(refusing, code, "GET", path)


@pytest.mark.parametrize("noun", ["task", "run", "change"])
def test_a_page_past_the_end_is_empty_and_the_last(refusing, noun):
    page = asked(refusing, "GET", f"/{noun}s?after={noun}_{'0' * 26}")
    assert (page.status_code, page.json()) == (200, {"items": [], "next": None})


def test_events_past_the_end_are_none_and_the_cursor_stays(refusing):
    end = asked(refusing, "GET", "/events?limit=1000").json()["cursor"]
    page = asked(refusing, "GET", f"/events?after={end}").json()
    assert page == {"events": [], "cursor": end}


@pytest.mark.parametrize("method", ["DELETE", "PATCH", "PUT"])
def test_a_method_that_an_address_does_not_take_is_told(refusing, method):
    refused(refusing, 405, method, "/tasks")


@pytest.mark.parametrize("given", [None, "", "Bearer", "Bearer x", "Bearer " + "x" * 10_000, "Basic eDp5"])
def test_without_a_valid_token_nothing_is_told_but_where_it_is(refusing, given):
    before = rows(refusing)
    headers = {} if given is None else {"authorization": given}
    for method, path, body in (("GET", "/tasks", None), ("POST", "/tasks", {"prompt": SAYS})):
        answer = httpx.request(method, address(refusing) + path, headers=headers, json=body, trust_env=False)
        assert answer.status_code in {401, 429}, "429: too many wrong ones"
        assert answer.json()["error"]["hint"]
    assert rows(refusing) == before


WORKERS = [
    ("GET", "/tasks", None),
    ("GET", "/events", None),
    ("POST", "/tasks", {"prompt": SAYS, "agent": "scripted"}),
    ("PUT", "/agents/x", {"harness": "scripted"}),
    ("POST", "/projects", {"name": "x"}),
    ("POST", "/shutdown", {"stop_agents": True}),
]


@pytest.mark.parametrize(("method", "path", "body"), WORKERS, ids=[row[1] for row in WORKERS])
def test_the_token_of_a_worker_orders_and_reads_nothing(refusing, method, path, body):
    headers = {"authorization": f"Bearer {token(refusing, 'worker')}"}
    error = refused(refusing, 403, method, path, headers=headers, **({"json": body} if body else {}))
    assert error["code"] == "forbidden"


def test_control_characters_do_not_get_into_a_title(fleet):
    """Titles are printed in terminals; these would clear the screen and name the window."""
    for body in ({"prompt": "\x1b[2Jx\x07\n" + "y"}, {"prompt": "y", "title": "a\x1b]0;z\x07\r\nb"}):
        task = fleet.call("POST", "/tasks", {"agent": "scripted", **body})
        assert task["title"].isprintable(), task["title"]
        fleet.wait_ended(task["id"])


def test_a_prompt_of_a_megabyte_reaches_a_command_or_fails_with_its_reason(fleet):
    """One word of a program's arguments holds 128 KiB on Linux."""
    words = json.dumps(["sh", "-c", 'printf %s "$1" | wc -c', "sh", "{prompt}"])
    fleet.call("PUT", "/agents/counts", {"harness": "command", "options": {"argv": words}})
    for size in (100_000, 1_000_000):
        task = fleet.call("POST", "/tasks", {"prompt": "x" * size, "agent": "counts"})
        ended = fleet.wait_ended(task["id"])
        if ended["state"]["word"] == "done":
            said = fleet.events(task=task["id"], type="run.said")
            assert str(size) in said[-1]["event"]["text"]
        else:
            assert size > 128 * 1024
            assert ended["state"]["word"] == "failed"
            assert "long" in ended["state"]["evidence"]["detail"], ended["state"]


def test_a_program_that_does_not_exist_is_named(fleet):
    words = json.dumps(["no-such-program-anywhere", "{prompt}"])
    fleet.call("PUT", "/agents/missing", {"harness": "command", "options": {"argv": words}})
    ended = fleet.wait_ended(fleet.call("POST", "/tasks", {"prompt": "x", "agent": "missing"})["id"])
    assert (ended["state"]["word"], ended["state"]["reason"]) == ("failed", "program_missing")
    assert "no-such-program-anywhere" in ended["state"]["evidence"]["detail"]


@pytest.mark.parametrize("kind", ["directory", "empty", "not readable"])
def test_a_check_whose_program_cannot_start_cannot_tell(fleet, tmp_path, kind):
    program = tmp_path / "program"
    if kind == "directory":
        program.mkdir()
    else:
        program.write_bytes(b"" if kind == "not readable" else b"\0\0")
        program.chmod(0o000 if kind == "not readable" else 0o755)
    checks = [{"name": "c", "argv": [os.fspath(program)]}]
    task = fleet.call("POST", "/tasks", {"prompt": SAYS, "agent": "scripted", "checks": checks})
    ended = fleet.wait_ended(task["id"])
    assert (ended["state"]["word"], ended["state"]["reason"]) == ("failed", "checks_cannot_tell")
    run = fleet.call("GET", f"/runs/{ended['run_id']}")
    assert str(program) in run["checks"][0]["detail"]


def test_a_repository_given_by_a_person_is_looked_at_before_anything_is_made(refusing, tmp_path):
    before = rows(refusing)
    told = refusing.cli("run", "x", "--agent", "scripted", "--repo", str(tmp_path / "missing"), "--detach")
    assert told.returncode != 0
    assert "Error" in told.stderr or "error" in told.stderr
    assert Path(tmp_path / "missing").exists() is False
    assert rows(refusing) == before
