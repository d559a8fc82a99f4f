"""The scripted model in the words of OpenAI Responses, as an agent program sees it."""

from __future__ import annotations

import json
from typing import Any

import httpx
import pytest

from tests.integration.model_server.conftest import Server, events

SHELL = {"type": "function", "name": "exec_command", "parameters": {}}
PATCH = {"type": "custom", "name": "apply_patch"}
BOARD = {"type": "namespace", "name": "mcp__board", "tools": [{"type": "function", "name": "post"}]}
PROGRAM = {"type": "namespace", "name": "functions", "tools": [{"type": "custom", "name": "exec"}]}


def said(text: str) -> dict[str, Any]:
    return {"type": "message", "role": "user", "content": [{"type": "input_text", "text": text}]}


def inline(*turns: dict[str, Any]) -> list[dict[str, Any]]:
    return [said(f"Please.\n```model\n{json.dumps({'turns': turns})}\n```")]


def ask(server: Server, items: Any, **fields: Any) -> httpx.Response:
    headers = fields.pop("headers", {})
    body = {"model": "m", "tools": [SHELL, PATCH, BOARD], "input": items, **fields}
    return httpx.post(f"{server.url}/v1/responses", json=body, headers=headers, timeout=30)


def text(answer: httpx.Response) -> str:
    return "".join(part["text"] for item in answer.json()["output"] for part in item.get("content", ()))


def test_one_script_is_played_turn_by_turn_whatever_items_a_reply_had(server: Server) -> None:
    call = {"tool": "shell", "input": {"command": "ls"}}
    turns = [{"think": "hm", "say": "one", "calls": [call, call]}, {"say": "two"}, {"say": "three"}]
    items = inline(*turns)
    for expected in ("one", "two", "three"):
        answer = ask(server, items)
        assert text(answer) == expected
        output = answer.json()["output"]
        items += output
        calls = [item for item in output if item["type"] == "function_call"]
        items += [{"type": "function_call_output", "call_id": one["call_id"], "output": "x"} for one in calls]
        items.append(said("Go on."))


def test_calls_of_one_reply_are_one_reply_also_with_their_results_between_them(server: Server) -> None:
    call = {"tool": "shell", "input": {"command": "ls"}}
    items = inline({"calls": [call, call]}, {"say": "two"})
    for one in ask(server, items).json()["output"]:
        items += [one, {"type": "function_call_output", "call_id": one["call_id"], "output": "x"}]
    assert text(ask(server, items)) == "two"


def test_neutral_tools_are_called_as_the_agent_offers_them(server: Server) -> None:
    calls = [
        {"tool": "shell", "input": {"command": "ls"}},
        {"tool": "edit", "input": {"path": "a", "old": "x", "new": "y"}},
        {"tool": "read", "input": {"path": "a b"}},
        {"tool": "mcp", "input": {"server": "board", "tool": "post", "input": {"n": 1}}},
    ]
    output = ask(server, inline({"calls": calls})).json()["output"]
    patch = "*** Begin Patch\n*** Update File: a\n@@\n-x\n+y\n*** End Patch\n"
    assert [(one["name"], one.get("arguments") or one["input"]) for one in output] == [
        ("exec_command", '{"cmd": "ls", "yield_time_ms": 30000}'),
        ("apply_patch", patch),
        ("exec_command", json.dumps({"cmd": "cat 'a b'", "yield_time_ms": 30000})),
        ("post", '{"n": 1}'),
    ]
    assert output[3]["namespace"] == "mcp__board"
    assert len({one["call_id"] for one in output}) == len(calls)


def test_an_agent_whose_one_tool_runs_programs_gets_one(server: Server) -> None:
    call = {"tool": "shell", "input": {"command": "ls"}}
    [item] = ask(server, inline({"calls": [call]}), tools=[PROGRAM]).json()["output"]
    assert (item["type"], item["name"]) == ("custom_tool_call", "exec")
    assert item["input"] == 'text(await tools.exec_command({"cmd": "ls", "yield_time_ms": 30000}));\n'


def test_a_stream_ends_with_the_plain_answer(server: Server) -> None:
    turn = {"think": "hm", "say": "Grüße", "usage": {"input": 7, "output": 3, "cache_read": 2}}
    plain = ask(server, inline(turn)).json()
    stream = events(ask(server, inline(turn), stream=True))
    assert (stream[0]["type"], stream[-1]["type"]) == ("response.created", "response.completed")
    assert stream[-1]["response"] == plain
    assert [one["item"] for one in stream if one["type"] == "response.output_item.done"] == plain["output"]
    deltas = [one["delta"] for one in stream if one["type"] == "response.output_text.delta"]
    assert "".join(deltas) == "Grüße"
    assert (plain["usage"]["input_tokens"], plain["usage"]["input_tokens_details"]) == (
        9,
        {"cached_tokens": 2},
    )


def test_a_failure_has_its_fields_and_may_stand_in_the_stream(server: Server) -> None:
    fail = {"status": 429, "error": {"code": "insufficient_quota"}, "message": "no more"}
    answer = ask(server, inline({"fail": fail}), stream=True)
    assert (answer.status_code, answer.json()["error"]["code"]) == (429, "insufficient_quota")
    [event] = events(ask(server, inline({"fail": {**fail, "in_stream": True}}), stream=True))
    assert event["type"] == "response.failed"
    assert event["response"]["error"]["message"] == "no more"


def test_a_failure_passes_after_so_many_requests_of_each_conversation(server: Server) -> None:
    items = inline({"fail": {"status": 500, "times": 1}, "say": "at last"})
    for session in ("a", "b"):
        found = [ask(server, items, headers={"session-id": session}).status_code for _ in range(2)]
        assert found == [500, 200]


def test_an_agent_of_a_team_is_begun_beside_the_tool_that_runs_programs_and_plays_what_it_is_told(
    server: Server,
) -> None:
    spawn = {"type": "function", "name": "spawn_agent"}
    team = {"type": "namespace", "name": "collaboration", "tools": [spawn]}
    inner = "Please.\n```model\n" + json.dumps({"turns": [{"say": "inner"}]}) + "\n```"
    items = inline({"calls": [{"tool": "agent", "input": {"prompt": inner, "name": "helper"}}]})
    [call] = ask(server, items, tools=[PROGRAM, team]).json()["output"]
    given = json.loads(call["arguments"])
    assert (call["namespace"], call["name"]) == ("collaboration", "spawn_agent")
    assert (given["task_name"], given["message"]) == ("helper", inner)
    told = [
        {"type": "input_text", "text": "Message Type: NEW_TASK"},
        {"type": "encrypted_content", "encrypted_content": given["message"]},
    ]
    message = {"type": "agent_message", "author": "/root", "recipient": "/root/helper", "content": told}
    assert text(ask(server, [message])) == "inner"


@pytest.mark.parametrize("tool", ["telepathy", "agent"])
def test_a_tool_that_the_agent_does_not_offer_is_a_loud_error(server: Server, tool: str) -> None:
    answer = ask(server, inline({"calls": [{"tool": tool}]}))
    assert answer.status_code == 400
    assert tool in answer.json()["error"]["message"]


def test_requests_without_tools_get_the_side_answer_and_models_are_listed(server: Server) -> None:
    assert text(ask(server, "no marker", tools=[])) == "A side answer"
    names = [one["id"] for one in httpx.get(f"{server.url}/v1/models").json()["data"]]
    assert "gpt-5.5" in names
