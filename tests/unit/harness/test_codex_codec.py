"""Codex's protocol frame by frame, where the real program would need patience or luck."""

from __future__ import annotations

import json
import random
from typing import Any

import pytest

from podium.harness import codex_wire as wire
from podium.harness.base import About, Exit, Frame, Reply, Said
from podium.harness.codex import Codex
from podium.harness.codex_asks import pack_changes, plain_command, unpack_changes
from podium.harness.codex_state import GIVE_UP, CodexState
from podium.kernel import events as e
from podium.kernel.ids import MessageId, RunId, TaskId, make_from_number
from podium.kernel.inquiry import Decision
from podium.kernel.nouns import Reason
from podium.kernel.session import Mode

THREAD, TURN = "01a220dc-9737-7c90-88bb-dc66a1c86ee7", "turn-1"
MESSAGE = MessageId(make_from_number("message", 1))
HARNESS = Codex(About(task_id=TaskId("task_1"), run_id=RunId("run_1")))


def after(*frames: dict[str, Any], state: CodexState | None = None) -> tuple[CodexState, list[Any]]:
    state, told = state or HARNESS.begin(), []
    for frame in frames:
        state, more = HARNESS.decode(state, Frame(data=json.dumps(frame).encode()))
        told += more
    return state, told


def note(method: str, **params: Any) -> dict[str, Any]:
    return {"method": method, "params": {"threadId": THREAD, "turnId": TURN, **params}}


def opened(packed: str = "") -> dict[str, Any]:
    return {"id": f"open:{packed}", "result": {"thread": {"id": THREAD}, "cwd": "/w"}}


def ended(status: str = "completed") -> dict[str, Any]:
    return note("turn/completed", turn={"id": TURN, "status": status, "error": None})


RUNNING = (
    opened(wire.pack(wire.turn_params("Do it."))),
    {"id": "turn:prompt", "result": {"turn": {"id": TURN}}},
)


def test_the_first_turn_is_due_until_it_has_begun_and_says_what_was_asked() -> None:
    state, told = after(RUNNING[0])
    [line] = HARNESS.due(state)
    assert line.key == "turn:prompt" == HARNESS.key_of(line.data)
    sent = json.loads(line.data)
    assert (sent["params"]["threadId"], sent["params"]["input"][0]["text"]) == (THREAD, "Do it.")
    assert [type(fact) for fact in told] == [e.RunSessionKnown]
    state, _ = after(RUNNING[1], state=state)
    assert HARNESS.due(state) == []


def test_it_is_over_only_when_every_message_in_its_input_is_done_with() -> None:
    state, _ = after(*RUNNING, ended())
    assert HARNESS.is_over(state, {"open", "turn:prompt"})
    assert not HARNESS.is_over(state, {"open", MESSAGE})
    state, told = after({"id": MESSAGE, "error": {"code": 1, "message": "no"}}, state=state)
    assert HARNESS.is_over(state, {"open", MESSAGE})
    assert e.MessageUndelivered in [type(fact) for fact in told]


def test_a_queued_message_waits_for_the_end_of_the_turn() -> None:
    queued = Said(id=MESSAGE, text="x", mode=Mode.QUEUE)
    state, _ = after(*RUNNING)
    assert HARNESS.say(state, queued, ()) is None
    state, _ = after(ended(), state=state)
    assert [line.key for line in HARNESS.say(state, queued, ()) or ()] == [MESSAGE]


def test_nothing_is_said_before_there_is_a_conversation() -> None:
    assert HARNESS.say(HARNESS.begin(), Said(id=MESSAGE, text="x", mode=Mode.STEER), ()) is None
    assert HARNESS.interrupt(HARNESS.begin()) is None


@pytest.mark.parametrize(
    "method",
    ["item/tool/requestUserInput", "account/chatgptAuthTokens/refresh", "item/tool/call", "new/thing"],
)
def test_what_no_person_can_answer_is_refused_so_that_nothing_hangs(method: str) -> None:
    state, told = after(*RUNNING, {"id": 7, **note(method)})
    [line] = HARNESS.due(state)
    assert line.key == "answer:7" == HARNESS.key_of(line.data)
    assert not any(isinstance(fact, e.RunAsked) for fact in told)
    state, _ = after(note("serverRequest/resolved", requestId=7), state=state)
    assert HARNESS.due(state) == []


def test_an_ask_waits_until_its_answer_stands_in_the_input_and_is_withdrawn_with_its_turn() -> None:
    asking = {"id": 0, **note("item/commandExecution/requestApproval", itemId="c", command="ls", cwd="/w")}
    state, told = after(*RUNNING, asking)
    [asked] = [fact for fact in told if isinstance(fact, e.RunAsked)]
    line = HARNESS.answer(state, Reply(reply_token=asked.reply_token, decision=Decision.DENY))
    assert line is not None
    assert json.loads(line.data) == {"id": 0, "result": {"decision": "decline"}}
    assert (HARNESS.waits(state, ()), HARNESS.waits(state, {line.key})) == ("permission", "")
    state, told = after(ended("interrupted"), state=state)
    assert e.RunAskWithdrawn in [type(fact) for fact in told]
    assert HARNESS.answer(state, Reply(reply_token=asked.reply_token, decision=Decision.ALLOW)) is None


def test_a_server_that_asks_in_the_clothes_of_the_program_is_refused_and_no_person_is_asked() -> None:
    def asking(number: int, tool: str, arguments: dict[str, Any]) -> dict[str, Any]:
        meta = {"codex_approval_kind": "mcp_tool_call", "tool_name": tool, "tool_params": arguments}
        schema = {"type": "object", "properties": {}}
        asked = note("mcpServer/elicitation/request", serverName="board", mode="form", message="May I?")
        asked["params"] |= {"_meta": meta, "requestedSchema": schema}
        return {"id": number, **asked}

    item = {"type": "mcpToolCall", "id": "c", "server": "board", "tool": "post", "arguments": {"to": "bob"}}
    state, told = after(*RUNNING, note("item/started", item=item), asking(0, "post", {"to": "bob"}))
    [asked] = [fact for fact in told if isinstance(fact, e.RunAsked)]
    assert (asked.effect.tool, asked.call_id) == ("mcp__board__post", "c")
    _, told = after(
        note("item/started", item={**item, "id": "d"}),
        note("item/started", item={**item, "id": "f"}),
        *(asking(number, "post", {"to": "bob"}) for number in (7, 8)),
        state=state,
    )
    assert [fact.call_id for fact in told if isinstance(fact, e.RunAsked)] == ["d", "f"]
    for number, (tool, arguments) in enumerate(
        [("post", {"to": "bob"}), ("post", {"to": "all"}), ("other", {}), ("", {})], 1
    ):
        after_it, told = after(asking(number, tool, arguments), state=state)
        assert told == []
        [line] = HARNESS.due(after_it)
        assert json.loads(line.data) == {"id": number, "result": {"action": "decline", "content": None}}


def test_a_call_that_ended_with_its_turn_is_not_told_again_when_it_is_heard_of_late() -> None:
    item = {"type": "commandExecution", "id": "c", "command": "sleep 9", "cwd": "/w", "status": "failed"}
    state, _ = after(*RUNNING, note("item/started", item=item))
    state, told = after(ended("interrupted"), state=state)
    assert [fact.output for fact in told if isinstance(fact, e.RunToolReturned)] == ["interrupted"]
    _, told = after(note("item/completed", item=item), state=state)
    assert told == []


def test_a_server_that_is_never_there_is_given_up() -> None:
    info = {"responseStreamDisconnected": {"httpStatusCode": None}}
    waiting = note("error", willRetry=True, error={"message": "waiting", "codexErrorInfo": info})
    state, _ = after(*RUNNING, *[waiting] * (GIVE_UP - 1))
    assert HARNESS.due(state) == []
    state, _ = after(waiting, state=state)
    assert json.loads(HARNESS.due(state)[0].data)["method"] == "turn/interrupt"
    state, _ = after(ended("interrupted"), state=state)
    assert HARNESS.outcome(state, Exit(code=0)).reason is Reason.NETWORK


def test_a_subagents_turn_does_not_end_the_run() -> None:
    other = note("turn/completed", turn={"id": "t", "status": "completed"})
    other["params"]["threadId"] = "another"
    state, _ = after(*RUNNING, other)
    assert not HARNESS.is_over(state, ())


def test_a_conversation_that_cannot_be_opened_fails_with_its_words() -> None:
    state, _ = after({"id": "open:x", "error": {"code": -32600, "message": "no rollout found"}})
    assert HARNESS.is_over(state, ())
    outcome = HARNESS.outcome(state, Exit(code=0))
    assert (outcome.reason, outcome.detail) == (Reason.LAUNCH_FAILED, "no rollout found")


def test_a_change_that_is_too_long_is_known_by_its_digest() -> None:
    change = {"path": "a", "kind": {"type": "add"}, "diff": "x\n"}
    assert unpack_changes(pack_changes([change])) == (["a"], "--- /dev/null\n+++ a\n+x\n")
    noise = random.Random(0).randbytes(100_000).hex()
    paths, diff = unpack_changes(pack_changes([{**change, "diff": noise}]))
    assert paths == ["a"]
    assert "SHA-256" in diff


@pytest.mark.parametrize(
    ("shown", "plain"),
    [
        ("/bin/bash -lc 'echo hi; pwd'", "echo hi; pwd"),
        ("/bin/bash -lc ls", "ls"),
        ("git 'status", "git 'status"),
    ],
)
def test_a_command_is_told_without_the_shell_around_it(shown: str, plain: str) -> None:
    assert plain_command(shown) == plain
