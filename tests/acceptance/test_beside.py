"""A second gateway, from outside: it shows what the first shows, and what is asked of it the first does."""

from __future__ import annotations

import hashlib
import json
import os
import random
import threading
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from podium.testing.fleet import Fleet
from podium.testing.postgresql import Databases
from tests.acceptance.besides import Pair, address, error_of, http, listening, secret
from tests.acceptance.conftest import eventually, open_task, script, wait_for

pytestmark = pytest.mark.only_on("postgresql")
EDIT = {"do": "edit", "path": "a.txt", "write": "bye\n"}


@pytest.fixture
def pair(tmp_path: Path, databases: Databases) -> Iterator[Pair]:
    url = databases.make(migrated=False)
    made = Pair(tmp_path, url)
    made.start()
    yield made
    made.stop()
    databases.drop(url)


def test_a_task_given_to_the_second_gateway_runs_at_the_first_and_both_show_the_same(pair, repository):
    tasks = [open_task(fleet, script(EDIT), repository) for fleet in (pair.side, pair.main, pair.side)]
    assert [pair.side.wait_ended(task)["state"]["word"] for task in tasks] == ["done"] * 3
    for path in ("/tasks", "/runs", "/changes", "/events", "/agents", "/tokens", f"/tasks/{tasks[0]}", "/me"):
        # A run's output is still being kept when its task has ended: both are asked until nothing moves.
        eventually(lambda: pair.side.call("GET", path) == pair.main.call("GET", path))  # noqa: B023
    workers = pair.side.call("GET", "/workers")["items"]
    assert [worker["connected"] for worker in workers] == [True]
    waited = pair.side.call("GET", f"/tasks/{tasks[0]}/wait?timeout_s=5")
    assert not waited["timed_out"]
    assert not (pair.side.home / "worker").exists()


def test_what_only_the_main_server_has_comes_through(pair, repository, tmp_path):
    gate = tmp_path / "gate"
    task = open_task(pair.side, script(EDIT, {"do": "wait", "file": str(gate)}), repository)
    wait_for(pair.side, task, "run.tool_returned")
    run = pair.side.call("GET", f"/tasks/{task}")["run_id"]
    with http(pair.side) as side, http(pair.main) as main:
        assert b"+bye" in side.get(f"/runs/{run}/diff").content, "live, from the workspace"
        assert side.get(f"/runs/{run}/diagnose").json()["process"]["word"] == "alive"
        assert side.get(f"/runs/{run}/output").headers["podium-offset"] == "0"
        gate.touch()
        change = pair.side.wait_ended(task)["change_id"]
        for path in (f"/changes/{change}/diff", f"/changes/{change}/bundle", f"/runs/{run}/output"):
            one, other = side.get(path), main.get(path)
            assert one.content == other.content
            assert {**one.headers, "date": ""} == {**other.headers, "date": ""}, path
        part = side.get(f"/changes/{change}/bundle", headers={"range": "bytes=3-9"})
        assert (part.status_code, part.content) == (206, one_of(main, change)[3:10])
        assert error_of(side.get("/changes/change_01m8gnyg61kg76ay99fn6ssbqm/diff")) == (404, "not_found")
        assert error_of(side.post("/projects", json={"name": ""})) == (400, "invalid_request")


def one_of(client: httpx.Client, change: str) -> bytes:
    return client.get(f"/changes/{change}/bundle").content


def test_artifacts_of_any_size_go_through_in_both_directions_and_in_parts(pair):
    sizes = (0, 1, 4 * 1024 * 1024, 4 * 1024 * 1024 + 1, 70_000_000)
    with http(pair.side) as side, http(pair.main) as main:
        for size in sizes:
            data = random.Random(size).randbytes(size)
            path = f"/artifacts/artifact_{hashlib.sha256(data).hexdigest()}"
            assert side.put(path, content=data, params={"name": "x.bin"}).status_code == 200
            assert main.get(path).content == data
            whole = side.get(path)
            assert whole.content == data
            assert whole.headers["content-length"] == str(size)
            assert side.head(path).headers["content-length"] == str(size)
            etag = whole.headers["etag"]
            assert side.get(path, headers={"if-none-match": etag}).status_code == 304
        for asked, part in (("3-6000002", data[3:6_000_003]), ("-5", data[-5:]), ("69999990-", data[-10:])):
            got = side.get(path, headers={"range": f"bytes={asked}"})
            assert (got.status_code, got.content == part) == (206, True)
            assert (
                got.headers["content-range"]
                == main.get(path, headers={"range": f"bytes={asked}"}).headers["content-range"]
            )
        assert error_of(side.get(path, headers={"range": "bytes=70000000-"})) == (
            416,
            "range_not_satisfiable",
        )
        other = "/artifacts/artifact_" + "0" * 64
        assert error_of(side.put(other, content=data)) == (400, "invalid_request")
        assert error_of(side.get(other)) == (404, "not_found")


def test_an_upload_that_is_broken_off_leaves_nothing_behind(pair):
    def half() -> Iterator[bytes]:
        yield os.urandom(300_000)
        eventually(lambda: incoming(pair.main))
        raise OSError("gone")

    with http(pair.side) as side, pytest.raises(OSError, match="gone"):
        side.put("/artifacts/artifact_" + "0" * 64, content=half())
    eventually(lambda: not incoming(pair.main), 60)
    assert pair.side.call("GET", "/health") == {"status": "ok"}


def incoming(fleet: Fleet) -> list[Path]:
    return list((fleet.home / "artifacts" / "incoming").iterdir())


def test_followers_of_the_second_gateway_see_every_event_once_while_the_main_server_is_killed(pair):
    begin = pair.side.call("GET", "/status")["cursor"]
    first = pair.side.call("GET", "/events?limit=1000")["events"][-1]["seq"]
    with listening(pair.side, begin) as listener:
        steps = [{"do": "wait", "duration_ms": 20} for _ in range(40)]
        tasks = [open_task(pair.side, script(*steps)) for _ in range(4)]
        for _ in range(2):
            seen = len(listener.seen)
            eventually(lambda: len(listener.seen) > seen + 10)  # noqa: B023
            assert pair.main.kill("server")
            pair.main.start_all()
        assert [pair.main.wait_ended(task)["state"]["word"] for task in tasks] == ["done"] * 4
        last = pair.main.events()[-1]["seq"]
        eventually(lambda: listener.seen and listener.seen[-1] >= last)
        assert listener.connections == 1, "the gateway was there all the while"
    logged = [event["seq"] for event in pair.main.events() if first < event["seq"] <= last]
    assert [seq for seq in listener.seen if seq <= last] == logged
    eventually(pair.answers)


def test_followers_of_the_second_gateway_see_every_event_once_while_that_is_killed(pair):
    pair.side.environ["PODIUM_PORT"] = address(pair.side).rpartition(":")[2]
    begin = pair.side.call("GET", "/status")["cursor"]
    first = pair.main.events()[-1]["seq"]
    with listening(pair.side, begin) as listener:
        task = open_task(pair.side, script(*[{"do": "wait", "duration_ms": 20} for _ in range(60)]))
        for _ in range(3):
            seen = len(listener.seen)
            eventually(lambda: len(listener.seen) > seen + 5)  # noqa: B023
            assert pair.side.kill("server")
            pair.side.start_all()
        pair.main.wait_ended(task)
        last = pair.main.events()[-1]["seq"]
        eventually(lambda: listener.seen and listener.seen[-1] >= last)
    assert listener.seen == [event["seq"] for event in pair.main.events() if first < event["seq"] <= last]


def test_a_key_has_one_effect_at_both_gateways_whatever_is_killed_in_between(pair):
    first = pair.side.call("POST", "/tasks", {"prompt": script(), "agent": "scripted"}, key="one")
    again = pair.main.call("POST", "/tasks", {"prompt": script(), "agent": "scripted"}, key="one")
    assert first["id"] == again["id"]
    with http(pair.side) as side:
        other = side.post("/tasks", json={"prompt": "x"}, headers={"idempotency-key": "one"})
        assert error_of(other) == (409, "idempotency_conflict")
    opened: dict[str, str] = {}

    def open_all() -> None:
        for number in range(60):
            body = {"prompt": script(), "agent": "scripted", "title": f"n{number}"}
            opened[f"n{number}"] = pair.side.call("POST", "/tasks", body, key=f"key-{number}")["id"]

    opening = threading.Thread(target=open_all)
    opening.start()
    for killed, after in ((pair.main, 5), (pair.side, 20), (pair.main, 35)):
        eventually(lambda: len(opened) >= after, 60)  # noqa: B023
        killed.kill("server")
        killed.start("server")
    opening.join(60)
    titles = {event["event"]["task"]["title"]: event["event"]["task"]["id"] for event in opens(pair.main)}
    assert len(opens(pair.main)) == 61
    assert {title: titles[title] for title in opened} == opened


def opens(fleet: Fleet) -> list[dict]:
    return fleet.events(type="task.opened")


@pytest.mark.parametrize(("point", "effects"), [("command.before_commit", 0), ("command.after_commit", 1)])
def test_a_command_that_the_main_server_died_of_is_called_in_doubt_and_its_key_tells(pair, point, effects):
    # Without a worker nothing is committed beside what is asked for, once the start is over.
    pair.main.terminate("server")
    pair.main.environ["PODIUM_WORKER"] = "false"
    pair.main.start("server", fault=f"{point}:40")
    eventually(pair.answers)
    with http(pair.side) as side:
        for number in range(40):
            body, key = {"prompt": "x", "agent": "scripted"}, {"idempotency-key": f"k{number}"}
            answer = side.post("/tasks", json=body, headers=key)
            if answer.status_code != 201:
                break
        assert error_of(answer) == (503, "unavailable")
        assert answer.json()["error"]["details"] == {"in_doubt": True}
        assert pair.main.ended_by_kill("server")
        assert len(side.get("/tasks").json()["items"]) == number + effects
        pair.main.start_all()
        eventually(pair.answers)
        again = side.post("/tasks", json=body, headers=key)
        assert again.status_code == 201
        assert ("idempotency-replayed" in again.headers) == bool(effects)
        assert len(side.get("/tasks").json()["items"]) == number + 1


def test_while_the_main_server_is_away_rows_are_shown_changes_refused_and_running_tasks_unknown(
    pair, tmp_path
):
    gate = tmp_path / "gate"
    task = open_task(pair.side, script({"do": "wait", "file": str(gate)}))
    wait_for(pair.side, task, "run.tool_called")
    assert pair.side.call("GET", f"/tasks/{task}")["status"]["word"] == "running"
    pair.main.kill("server")
    with http(pair.side) as side:
        eventually(lambda: side.get(f"/tasks/{task}").json()["status"]["word"] == "unknown")
        assert [one["id"] for one in side.get("/tasks?status=unknown").json()["items"]] == [task]
        for method, path in (("POST", "/tasks"), ("POST", "/login-codes"), ("GET", f"/runs/{task}/diff")):
            answer = side.request(method, path, json={"prompt": "x"} if path == "/tasks" else None)
            assert error_of(answer) == (503, "unavailable")
            assert "podium status" in answer.json()["error"]["hint"]
        assert side.get("/health").status_code == 200
        status = side.get("/status").json()
        assert status["follows"] == {"main": str(pair.socket), "answers": False}
        assert status["workers_connected"] == 0
        told = pair.side.cli("status")
        assert "does not answer" in told.stdout, told
        doctor = json.loads(pair.side.cli("doctor", "--json").stdout)
        assert [one["ok"] for one in doctor if one["id"] == "main-server"] == [False]
        pair.main.start_all()
        eventually(lambda: side.get(f"/tasks/{task}").json()["status"]["word"] == "running")
        gate.touch()
        assert pair.side.wait_ended(task)["state"]["word"] == "done"
        assert side.post("/tasks", json={"prompt": script(), "agent": "scripted"}).status_code == 201


def test_a_browser_signs_in_at_either_gateway_with_a_code_of_either_and_out_again(pair):
    port = address(pair.side).rpartition(":")[2]
    for maker in (pair.main, pair.side):
        code = maker.call("POST", "/login-codes")["code"]
        with httpx.Client(base_url=address(pair.side), trust_env=False) as browser:
            own = {"origin": address(pair.side), "sec-fetch-site": "same-origin", "x-podium-csrf": "1"}
            answer = browser.post("/api/v1/login", json={"code": code}, headers=own)
            assert answer.status_code == 200
            cookie = answer.headers["set-cookie"].partition(";")[0]
            assert cookie.startswith(f"__Host-podium-{port}=podium_owner_")
            own["cookie"] = cookie
            assert browser.get("/api/v1/me", headers=own).json()["session"]
            foreign = browser.post("/api/v1/tasks", json={"prompt": "x"}, headers={"cookie": cookie})
            assert error_of(foreign) == (403, "forbidden")
            made = browser.post("/api/v1/tasks", json={"prompt": script(), "agent": "scripted"}, headers=own)
            assert made.status_code == 201
            assert error_of(browser.post("/api/v1/login", json={"code": code})) == (401, "unauthorized")
            assert browser.post("/api/v1/logout", headers=own).status_code == 200
            assert browser.get("/api/v1/me", headers=own).status_code == 401


@pytest.mark.parametrize("order", ["main", "side"])
def test_a_token_that_ends_at_one_gateway_is_void_at_the_other_and_its_streams_end(pair, order):
    at, other = (pair.main, pair.side) if order == "main" else (pair.side, pair.main)
    made = at.call("POST", "/tokens", {"name": "guest", "kind": "viewer"})
    with http(other, made["secret"]) as guest:
        eventually(lambda: guest.get("/tasks").status_code == 200, 1)
        with guest.stream("GET", "/events/stream") as stream:
            assert stream.status_code == 200
            at.call("POST", f"/tokens/{made['token']['id']}/revoke", {})
            eventually(lambda: guest.get("/tasks").status_code == 401, 1)
            with pytest.raises(httpx.HTTPError):
                list(stream.iter_bytes())
    assert {one["name"] for one in other.call("GET", "/tokens")["items"]} >= {"guest", "owner"}


def test_secrets_tried_out_at_the_second_gateway_become_an_event(pair):
    with http(pair.side, "podium_owner_" + "0" * 64) as stranger:
        eventually(lambda: stranger.get("/tasks").status_code == 401 and heard(pair.main), 60)


def heard(fleet: Fleet) -> list[dict]:
    return fleet.events(type="access.refused")


def test_the_second_gateway_ends_alone_and_never_ends_the_main_server(pair):
    refused = pair.side.cli("down", "--stop-agents")
    assert refused.returncode == 1
    assert "follows another server" in refused.stderr
    told = pair.side.cli("status", "--json")
    assert json.loads(told.stdout)["follows"]["main"] == str(pair.socket)
    assert pair.side.cli("down").returncode == 0
    eventually(lambda: not pair.side.is_up("server"))
    assert pair.main.call("GET", "/health") == {"status": "ok"}
    (pair.side.home / "owner.token").unlink()
    up = pair.side.cli("up", "--detach")
    assert up.returncode == 0, up.stderr
    assert f"follows the server at {pair.socket}" in up.stdout
    assert "PODIUM_TOKEN" in up.stdout
    without = pair.side.cli("ps")
    assert without.returncode == 1
    pair.side.environ["PODIUM_TOKEN"] = secret(pair.main)
    assert pair.side.cli("ps").returncode == 0
    assert pair.side.cli("down").returncode == 0


def refusal(home: Path, *words: str, **environ: str) -> str:
    fleet = Fleet(home, separate=False, environ={"NO_COLOR": "1", **environ})
    done = fleet.cli("up", *words)
    assert done.returncode in {1, 2}
    assert "Traceback" not in done.stderr
    return done.stderr


def test_who_cannot_follow_is_told_what_to_do(pair, tmp_path, databases):
    socket, url = str(pair.socket), pair.url
    second = refusal(tmp_path / "a", PODIUM_DATABASE_URL=url)
    assert "another Podium writes to this database" in second
    assert "--beside" in second
    assert "podium migrate" in refusal(tmp_path / "b", "--beside", socket)
    none = refusal(tmp_path / "c", "--beside", str(tmp_path / "bus.sock"), PODIUM_DATABASE_URL=url)
    assert "start the main server" in none
    own = refusal(tmp_path / "d", "--beside", str(tmp_path / "d" / "bus.sock"), PODIUM_DATABASE_URL=url)
    assert "this home's own" in own
    assert "absolute" in refusal(tmp_path / "e", PODIUM_BESIDE="bus.sock", PODIUM_DATABASE_URL=url)
    elsewhere = databases.make()
    wrong = refusal(tmp_path / "f", "--beside", socket, PODIUM_DATABASE_URL=elsewhere)
    databases.drop(elsewhere)
    assert "does not write to" in wrong
    assert "same database_url" in wrong


def test_a_server_whose_rows_are_in_a_file_is_not_followed(tmp_path, databases):
    main = Fleet(tmp_path / "main", separate=False)
    main.start_all()
    url = databases.make()
    socket = str(main.home / "bus.sock")
    assert "does not write to" in refusal(tmp_path / "side", PODIUM_BESIDE=socket, PODIUM_DATABASE_URL=url)
    main.stop()
    databases.drop(url)
