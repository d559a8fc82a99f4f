"""Codex as tasks of a real server and worker: what is queued for it, what it goes on with."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import anyio
import pytest

from podium.engine.commands import OpenTask
from podium.kernel import events as e
from podium.kernel.nouns import Permissions, Run, Task
from podium.kernel.session import Message, Mode, Session, uuid_of
from podium.kernel.states import MessageState, TaskState
from podium.process.base import Exited
from podium.process.probe import probe
from podium.store import schema
from podium.testing.rig import Rig
from podium.worker.home import RunHome
from tests.agents.driving import playing, shell
from tests.agents.test_both import agents
from tests.agents.test_conversation import say
from tests.agents.test_through_the_worker import log, until
from tests.integration.runs.test_conversations import rows
from tests.support import eventually

pytestmark = [pytest.mark.anyio, pytest.mark.timeout(900), pytest.mark.usefixtures("users")]
ENDS_WITHIN_S = 120.0


async def words(rig: Rig, task: Task) -> list[str]:
    return [one.text for one in await log(rig) if isinstance(one, e.RunSaid) and one.task_id == task.id]


@pytest.mark.parametrize("name", ["claude", "codex"])
@pytest.mark.parametrize("restarted", [False, True])
async def test_messages_queued_while_it_works_are_turns_of_their_own_in_their_order(
    tmp_path: Path, claude: Path, codex_program: Path, name: str, restarted: bool
) -> None:
    gate = tmp_path / "gate"
    os.mkfifo(gate)
    turns = ({"calls": [shell(f"cat {gate}")]}, *({"say": f"{n}."} for n in range(5)))
    stop_at = e.MessageDelivered if restarted else e.TaskDone
    async with Rig(tmp_path / "home").running() as rig:
        await agents(rig, claude, codex_program, Permissions.FULL)
        task = await rig.open(OpenTask(prompt=playing(*turns), agent=name))
        await until(rig, lambda event: isinstance(event, e.RunToolCalled))
        sent = [(await say(rig, task.id, f"Message {n}.", Mode.QUEUE)).id for n in range(3)]
        await anyio.Path(gate).write_text("go\n")
        await until(rig, lambda event: isinstance(event, stop_at))
    async with Rig(tmp_path / "home").running() as rig:
        done = await rig.ended(task.id, timeout_s=ENDS_WITHIN_S)
        assert done.state.word is TaskState.DONE, done.state
        assert await words(rig, task) == ["0.", "1.", "2.", "3."]
        started = [one.message_id for one in await log(rig) if isinstance(one, e.MessageStarted)]
        assert started == sent
        messages = await rows(rig, schema.messages, Message)
        assert [one.state.word for one in messages] == [MessageState.COMPLETED] * 3


async def test_a_fork_whose_run_was_lost_is_gone_on_with_and_not_made_anew(
    tmp_path: Path, repository: Path, claude: Path, codex_program: Path
) -> None:
    async with Rig(tmp_path / "home").running() as rig:
        await agents(rig, claude, codex_program, Permissions.FULL)
        begin = playing({"say": "Begun."})
        first = await rig.open(OpenTask(prompt=begin, agent="codex", repository=str(repository)))
        await rig.ended(first.id, timeout_s=ENDS_WITHIN_S)
        parent = (await rig.run_of(first.id)).conversation_id
        more = playing({"calls": [shell("echo x >> made.txt")]}, {"delay_ms": 4000, "say": "Forked."})
        fork = await rig.open(OpenTask(prompt=more, session=first.id, fork=True))
        await until(rig, lambda event: isinstance(event, e.RunToolReturned) and event.task_id == fork.id)
        run = await rig.run_of(fork.id)
        os.kill(run.pid, signal.SIGKILL)
        done = await rig.ended(fork.id, timeout_s=ENDS_WITHIN_S)
        again = await rig.run_of(fork.id)
        assert done.state.word is TaskState.DONE, done.state
        assert again.id != run.id
        assert again.conversation_id == run.conversation_id != parent
        sessions = await rows(rig, schema.sessions, Session)
        assert [(one.runs, one.parent) for one in sessions] == [(1, None), (2, sessions[0].id)]


@pytest.mark.parametrize("name", ["claude", "codex"])
async def test_a_message_that_a_lost_conversation_holds_is_done_with_when_the_next_run_has_ended_its_turn(
    tmp_path: Path, claude: Path, codex_program: Path, name: str
) -> None:
    gate = tmp_path / "gate"
    os.mkfifo(gate)
    async with Rig(tmp_path / "home").running() as rig:
        await agents(rig, claude, codex_program, Permissions.FULL)
        task, sent, first = await steered(rig, name, gate)
    # Nobody listens: what the program now says of the message is lost with the run's directory.
    await anyio.Path(gate).write_text("go\n")
    await anyio.to_thread.run_sync(on_record, tmp_path, sent.id)
    os.kill(first.pid, signal.SIGKILL)
    await anyio.to_thread.run_sync(gone_for_good, rig.worker_home.run(first.id))
    async with Rig(tmp_path / "home").running() as rig:
        done = await rig.ended(task.id, timeout_s=ENDS_WITHIN_S)
        assert done.state.word is TaskState.DONE, done.state
        events = [event for event in await log(rig) if getattr(event, "message_id", "") == sent.id]
        about = [(type(event), event.run_id) for event in events]
        second = (await rig.run_of(task.id)).id
        assert about[-3:] == [
            (kind, second) for kind in (e.MessageDelivered, e.MessageStarted, e.MessageCompleted)
        ]
        order = [type(event) for event in await log(rig)]
        assert order.index(e.MessageCompleted) < order.index(e.RunFinishing)


@pytest.mark.parametrize("name", ["claude", "codex"])
async def test_a_message_that_a_lost_run_had_taken_up_is_done_with_by_the_next_one_and_not_said_again(
    tmp_path: Path, claude: Path, codex_program: Path, name: str
) -> None:
    gate = tmp_path / "gate"
    os.mkfifo(gate)
    async with Rig(tmp_path / "home").running() as rig:
        await agents(rig, claude, codex_program, Permissions.FULL)
        task, sent, first = await steered(rig, name, gate)
        await anyio.Path(gate).write_text("go\n")
        await until(rig, lambda event: isinstance(event, e.MessageStarted))
        # It says so before it has written it down; killed between the two it would have to be told again.
        await anyio.to_thread.run_sync(on_record, tmp_path, sent.id)
        os.kill(first.pid, signal.SIGKILL)
        done = await rig.ended(task.id, timeout_s=ENDS_WITHIN_S)
        assert done.state.word is TaskState.DONE, done.state
        second = (await rig.run_of(task.id)).id
        events = [event for event in await log(rig) if getattr(event, "message_id", "") == sent.id]
        started, anew = (e.MessageDelivered, e.MessageStarted), (e.MessageRequeued, e.MessageDelivered)
        assert [(type(event), event.run_id) for event in events] == [
            *((kind, first.id) for kind in started),
            *((kind, second) for kind in (*anew, e.MessageStarted, e.MessageCompleted)),
        ]
        await anyio.to_thread.run_sync(once_on_record, tmp_path, "And this too.")


async def steered(rig: Rig, name: str, gate: Path) -> tuple[Task, Message, Run]:
    """A task whose agent waits behind the gate, with a message for it in its input."""
    turns = ({"calls": [shell(f"cat {gate}")]}, {"delay_ms": 6000, "say": "0."}, {"say": "1."})
    task = await rig.open(OpenTask(prompt=playing(*turns), agent=name))
    await until(rig, lambda event: isinstance(event, e.RunToolCalled))
    sent = await say(rig, task.id, "And this too.", Mode.STEER)
    await until(rig, lambda event: isinstance(event, e.MessageDelivered))
    return task, sent, await rig.run_of(task.id)


def once_on_record(folder: Path, text: str) -> None:
    """Said to the model once, whatever the program keeps besides."""
    places = [*folder.glob("config/projects"), *folder.glob("home/worker/sessions")]
    records = [path.read_text() for place in places for path in place.rglob("*.jsonl")]
    lines = [line for record in records for line in record.splitlines()]
    # Claude Code attaches what it was told in the middle of a turn.
    kinds = ('"type":"user"', '"type":"attachment"', '"role":"user"')
    heard = [line for line in lines if text in line and any(kind in line for kind in kinds)]
    assert len(heard) == 1, heard


def on_record(folder: Path, message_id: str) -> None:
    """In what the program keeps of the conversation, under either of its names."""
    names = (message_id, uuid_of(message_id))
    places = [*folder.glob("config/projects"), *folder.glob("home/worker/sessions")]
    eventually(
        lambda: any(
            name in path.read_text() for place in places for path in place.rglob("*.jsonl") for name in names
        ),
        ENDS_WITHIN_S,
    )


def gone_for_good(home: RunHome) -> None:
    """As after a loss of power: the run's directory is not there."""
    eventually(lambda: isinstance(probe(home.process), Exited), ENDS_WITHIN_S)
    home.forget()
