"""What an agent's input holds after a worker was killed between any two of its lines."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from podium.bus import messages as m
from podium.harness.base import About, Frame
from podium.harness.codex import Codex
from podium.harness.codex_state import CodexState
from podium.kernel import events as e
from podium.kernel.ids import MessageId, RunId, TaskId, make_from_number
from podium.kernel.session import Mode
from podium.process.feed import fenced_input, sent_lines
from podium.worker.home import RunHome
from podium.worker.input import AgentInput

pytestmark = pytest.mark.anyio
TASK, RUN, THREAD = TaskId("task_1"), RunId("run_1"), "01a220dc-9737-7c90-88bb-dc66a1c86ee7"
HARNESS = Codex(About(task_id=TASK, run_id=RUN))
FIRST, SECOND = (MessageId(make_from_number("message", number)) for number in (1, 2))


def after(state: CodexState, *frames: dict[str, Any]) -> CodexState:
    for frame in frames:
        state, _ = HARNESS.decode(state, Frame(data=json.dumps(frame).encode()))
    return state


def note(method: str, **params: Any) -> dict[str, Any]:
    return {"method": method, "params": {"threadId": THREAD, **params}}


def turn(number: int, message_id: str) -> list[dict[str, Any]]:
    about = {"id": f"t{number}", "status": "completed"}
    item = {"type": "userMessage", "id": "u", "clientId": message_id}
    return [
        note("turn/started", turn=about),
        note("item/started", item=item),
        note("turn/completed", turn=about),
    ]


@pytest.fixture
def home(tmp_path: Path) -> RunHome:
    home = RunHome(tmp_path, RUN)
    home.process.mkdir(parents=True)
    with fenced_input(home.process, create=True):
        return home


def a_worker(home: RunHome) -> AgentInput:
    """A new one knows what the server repeats, and what is on the disk."""
    told = AgentInput(home, HARNESS, TASK, RUN)
    said = tuple(m.SaidToRun(message_id=one, text="x", mode=Mode.QUEUE) for one in (FIRST, SECOND))
    told.take(m.Pending(run_id=RUN, said=said))
    return told


def keys(home: RunHome) -> list[str]:
    return [HARNESS.key_of(line) for _, line in sent_lines(home.process)]


def kinds(facts: list[e.RunFact]) -> list[type]:
    return [type(fact) for fact in facts]


async def test_the_second_of_two_queued_messages_waits_for_the_turn_of_the_first_through_any_kill(
    home: RunHome,
) -> None:
    opened = {"id": "open:", "result": {"thread": {"id": THREAD}, "cwd": "/w"}}
    idle = after(HARNESS.begin(), opened, note("turn/completed", turn={"id": "t0", "status": "completed"}))
    for _ in range(3):
        worker = a_worker(home)
        for _ in range(2):
            await worker.speak(idle, closing=False)
            assert keys(home) == [FIRST], "no frame has told of its turn yet"
    late = after(idle, note("thread/status/changed", status={"type": "idle"}))
    await a_worker(home).speak(late, closing=False)
    assert keys(home) == [FIRST], "a frame of the turn before tells nothing of it"
    after_it = after(idle, *turn(1, FIRST))
    for _ in range(2):
        told = await a_worker(home).speak(after_it, closing=False)
        assert keys(home) == [FIRST, SECOND]
        assert [fact.message_id for fact in told if isinstance(fact, e.MessageDelivered)] == [FIRST, SECOND]


async def test_a_message_that_the_conversation_held_already_is_done_with_when_the_first_turn_has_ended(
    home: RunHome,
) -> None:
    home.note_taken([FIRST])
    opened = {"id": "open:", "result": {"thread": {"id": THREAD}, "cwd": "/w"}}
    running = after(HARNESS.begin(), opened, note("turn/started", turn={"id": "t0"}))
    ended = after(running, note("turn/completed", turn={"id": "t0", "status": "completed"}))
    worker = a_worker(home)
    assert kinds(await worker.speak(running, closing=False)) == [e.MessageDelivered, e.MessageStarted]
    assert kinds(await worker.speak(running, closing=False)) == []
    told = await worker.speak(ended, closing=False)
    assert [fact.message_id for fact in told if isinstance(fact, e.MessageCompleted)] == [FIRST]
    assert e.MessageCompleted not in kinds(await worker.speak(ended, closing=False))
    assert keys(home) == [SECOND], "it was not said again"
    # A worker that was killed before it was told says it again, in the order in which it counts.
    again = await a_worker(home).speak(ended, closing=False)
    assert [type(fact) for fact in again if getattr(fact, "message_id", "") == FIRST] == [
        e.MessageDelivered,
        e.MessageStarted,
        e.MessageCompleted,
    ]
