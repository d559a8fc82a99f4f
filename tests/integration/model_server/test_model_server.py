"""The scripted model, as an agent program sees it."""

from __future__ import annotations

import json
import socket
import threading
from typing import Any

import httpx
import pytest

from tests.integration.model_server.conftest import Server, events


def inline(*turns: dict[str, Any], fence: str = "```") -> str:
    return f"Please.\n{fence}model\n{json.dumps({'turns': turns})}\n{fence}\n"


def after(prompt: str, *replies: str) -> list[dict[str, Any]]:
    """A conversation in which the model has already replied."""
    messages: list[dict[str, Any]] = [{"role": "user", "content": prompt}]
    for reply in replies:
        messages.append({"role": "assistant", "content": [{"type": "text", "text": reply}]})
        result = {"type": "tool_result", "tool_use_id": "t", "content": "[[model:other]]"}
        messages.append({"role": "user", "content": [result]})
    return messages


def text(answer: httpx.Response) -> str:
    return "".join(block.get("text", "") for block in answer.json()["content"])


def test_the_turn_is_the_number_of_replies_in_the_conversation(server: Server) -> None:
    marker = server.script("three", {"say": "one"}, {"say": "two"}, {"say": "three"}, over="nothing left")
    said = [text(server.ask(after(marker, *["x"] * replies))) for replies in (0, 1, 2, 3, 1)]
    assert said == ["one", "two", "three", "nothing left", "two"]


def test_a_script_can_stand_in_the_prompt(server: Server) -> None:
    assert text(server.ask(inline({"say": "from the prompt"}))) == "from the prompt"
    assert text(server.ask(inline({"say": "tilde"}, fence="~~~"))) == "tilde"


def test_a_prompt_repeated_after_a_restart_goes_on_and_another_script_begins(server: Server) -> None:
    first = server.script("first", {"say": "one"}, {"say": "two"})
    other = server.script("second", {"say": "begun"})
    again = [*after(first, "one"), {"role": "user", "content": f"Go on: {first}"}]
    assert text(server.ask(again)) == "two"
    assert text(server.ask([*after(first, "one"), {"role": "user", "content": other}])) == "begun"


def test_what_an_agent_fills_in_for_a_cut_reply_is_not_counted(server: Server) -> None:
    marker = server.script("two", {"say": "one"}, {"say": "two"})
    assert text(server.ask(after(marker, "No response requested."))) == "one"


def test_neutral_tools_are_called_by_the_names_and_fields_of_the_agent(server: Server) -> None:
    calls = [
        {"tool": "shell", "input": {"command": "ls"}},
        {"tool": "write", "input": {"path": "a", "text": "x"}},
        {"tool": "edit", "input": {"path": "a", "old": "x", "new": "y"}},
        {"tool": "read", "input": {"path": "a"}},
        {"tool": "agent", "input": {"prompt": "p"}},
    ]
    answer = server.ask(inline({"say": "Now.", "calls": calls})).json()
    assert answer["stop_reason"] == "tool_use"
    assert [(block["name"], block["input"]) for block in answer["content"][1:]] == [
        ("Bash", {"command": "ls", "description": "Scripted"}),
        ("Write", {"file_path": "a", "content": "x"}),
        ("Edit", {"file_path": "a", "old_string": "x", "new_string": "y"}),
        ("Read", {"file_path": "a"}),
        ("Agent", {"prompt": "p", "description": "Scripted", "subagent_type": "general-purpose"}),
    ]
    assert len({block["id"] for block in answer["content"][1:]}) == len(calls)


def test_a_tool_that_the_agent_does_not_offer_is_a_loud_error(server: Server) -> None:
    answer = server.ask(inline({"calls": [{"tool": "telepathy"}]}))
    assert answer.status_code == 400
    assert "telepathy" in answer.json()["error"]["message"]


def test_a_stream_holds_the_same_reply_as_the_plain_answer(server: Server) -> None:
    turn = {
        "think": "hm",
        "say": "Grüße",
        "calls": [{"tool": "shell", "input": {"command": "ls"}}],
        "usage": {"input": 7, "output": 3, "cache_read": 2, "cache_write": 1},
    }
    plain = server.ask(inline(turn)).json()
    stream = events(server.ask(inline(turn), stream=True))
    blocks: list[dict[str, Any]] = []
    for event in stream:
        match event["type"]:
            case "content_block_start":
                blocks.append({**event["content_block"], "json": ""})
            case "content_block_delta":
                grow(blocks[event["index"]], event["delta"])
    told = [{k: v for k, v in b.items() if k != "json"} | json.loads(b["json"] or "{}") for b in blocks]
    assert told == plain["content"]
    assert [stream[0]["type"], stream[-2]["type"], stream[-1]["type"]] == [
        *("message_start", "message_delta", "message_stop")
    ]
    assert stream[-2]["delta"]["stop_reason"] == plain["stop_reason"] == "tool_use"
    assert stream[-2]["usage"] == plain["usage"]
    assert stream[0]["message"]["id"] == plain["id"]


def grow(block: dict[str, Any], delta: dict[str, Any]) -> None:
    match delta["type"]:
        case "text_delta":
            block["text"] += delta["text"]
        case "thinking_delta":
            block["thinking"] += delta["thinking"]
        case "signature_delta":
            block["signature"] = delta["signature"]
        case "input_json_delta":
            block["json"] += '{"input": ' if not block["json"] else ""
            block["json"] += delta["partial_json"]
            if block["json"].count("{") == block["json"].count("}") + 1:
                block["json"] += "}"


@pytest.mark.parametrize(("status", "kind"), [(401, "authentication_error"), (529, "overloaded_error")])
def test_a_failure_has_its_status_kind_and_headers(server: Server, status: int, kind: str) -> None:
    failure = {"status": status, "headers": {"retry-after": "7"}, "message": "not now"}
    answer = server.ask(inline({"fail": failure}), stream=True)
    assert (answer.status_code, answer.headers["retry-after"]) == (status, "7")
    assert answer.json()["error"] == {"type": kind, "message": "not now"}


def test_a_failure_passes_after_so_many_requests_of_each_session(server: Server) -> None:
    prompt = inline({"fail": {"status": 500, "times": 2}, "say": "at last"})
    for session in ("a", "b"):
        headers = {"x-claude-code-session-id": session}
        assert [server.ask(prompt, headers=headers).status_code for _ in range(3)] == [500, 500, 200]


def test_a_cut_stream_ends_without_its_end(server: Server) -> None:
    with pytest.raises(httpx.RemoteProtocolError):
        server.ask(inline({"say": "half of it", "cut_after": 3}), stream=True)


def test_a_hanging_turn_holds_nobody_else_up(server: Server) -> None:
    messages = [{"role": "user", "content": inline({"hang": True})}]
    body = {"tools": [{"name": "Bash"}], "messages": messages}
    with pytest.raises(httpx.ReadTimeout):
        httpx.post(f"{server.url}/v1/messages", json=body, timeout=0.3)
    assert text(server.ask(inline({"say": "still here"}))) == "still here"


def test_requests_without_tools_get_the_side_answer(server: Server) -> None:
    marker = server.script("titled", {"say": "main"}, side="A title")
    assert text(server.ask(marker, tools=[])) == "A title"
    assert server.ask("no marker at all", tools=[]).status_code == 200


@pytest.mark.parametrize(
    "prompt",
    ["no marker", "[[model:absent]]", "```model\n{not json}\n```", '```model\n{"turns": [{"sing": 1}]}\n```'],
)
def test_a_missing_or_bad_script_is_an_error_and_not_an_invention(server: Server, prompt: str) -> None:
    answer = server.ask(prompt)
    assert answer.status_code == 400
    assert answer.json()["error"]["type"] == "invalid_request_error"


def test_tokens_are_counted_and_models_listed(server: Server) -> None:
    counted = httpx.post(f"{server.url}/v1/messages/count_tokens", json={"messages": []}).json()
    assert counted["input_tokens"] > 0
    assert httpx.get(f"{server.url}/v1/models?limit=5").json()["data"][0]["id"].startswith("claude-")
    assert httpx.get(f"{server.url}/elsewhere").status_code == 404


def test_what_was_asked_is_noted_line_by_line(server: Server) -> None:
    marker = server.script("noted", {"say": "one"})
    server.ask(marker, headers={"x-claude-code-session-id": "s1"})
    assert server.noted() == [{"script": "noted", "turn": 0, "session": "s1", "tools": True}]


@pytest.mark.parametrize(
    "raw",
    [
        b"nonsense\r\n\r\n",
        b"POST /v1/messages HTTP/1.1\r\ncontent-length: many\r\n\r\n",
        b"POST /v1/messages HTTP/1.1\r\ncontent-length: 3\r\n\r\n[1]",
        b"POST /v1/messages HTTP/1.1\r\ntransfer-encoding: chunked\r\n\r\nzz\r\n",
    ],
)
def test_bytes_that_are_no_request_are_refused_and_harm_nobody(server: Server, raw: bytes) -> None:
    host, port = server.url.removeprefix("http://").split(":")
    with socket.create_connection((host, int(port)), timeout=10) as peer:
        peer.sendall(raw)
        assert peer.recv(100).startswith(b"HTTP/1.1 400")
    assert text(server.ask(inline({"say": "fine"}))) == "fine"


def test_many_agents_at_once_each_get_their_own_script(server: Server) -> None:
    said: dict[int, str] = {}

    def one(number: int) -> None:
        said[number] = text(server.ask(inline({"delay_ms": 20, "say": f"for {number}"})))

    threads = [threading.Thread(target=one, args=(number,)) for number in range(12)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert said == {number: f"for {number}" for number in range(12)}
