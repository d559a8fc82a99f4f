"""Claude Code in conversation, through a real server and worker."""

from __future__ import annotations

import json
import os
import signal
import sys
from pathlib import Path
from typing import Any

import anyio
import pytest
from msgspec.structs import replace

from podium.engine.commands import OpenTask
from podium.engine.inbox import AnswerInquiry, answer_inquiry
from podium.engine.talk import SendMessage, send_message
from podium.kernel import events as e
from podium.kernel.inquiry import Decision, Inquiry
from podium.kernel.nouns import Agent, Permissions, Reason, Task
from podium.kernel.session import Message, Mode, Session
from podium.kernel.states import InquiryState, MessageState, TaskState
from podium.store import schema
from podium.testing.rig import Rig
from tests.agents.driving import playing, shell, written_down
from tests.agents.test_through_the_worker import BYE, ENDS_WITHIN_S, LOOK, MEND, log, until
from tests.integration.runs.test_conversations import an_open_one, answer, inquiries, kill_holder, rows

pytestmark = [pytest.mark.anyio, pytest.mark.timeout(900)]
HANG = shell(f"{sys.executable} -c 'import signal; signal.pause()'")


async def opened(rig: Rig, claude: Path, ask: OpenTask, permissions: Permissions) -> Task:
    agent = Agent(
        name="claude", harness="claude_code", options={"program": str(claude)}, permissions=permissions
    )
    await rig.define(agent)
    return await rig.open(ask)


async def asking(rig: Rig, claude: Path, repository: Path, *turns: dict[str, Any]) -> Task:
    ask = OpenTask(prompt=playing(*turns), repository=str(repository), checks=(BYE,))
    return await opened(rig, claude, ask, Permissions.ASK)


async def say(rig: Rig, task_id: str, text: str, mode: Mode) -> Message:
    ask = SendMessage(text=text, mode=mode)
    message = await rig.store.writer.run(
        lambda unit: send_message(unit, task_id, ask, by="owner", ids=rig.ids)
    )
    await rig.engine.tell_run(message.run_id)
    return message


async def test_an_edit_is_asked_for_with_its_exact_diff_and_done_when_allowed(
    tmp_path, repository, claude, login
):
    async with Rig(tmp_path / "home").running() as rig:
        task = await asking(rig, claude, repository, {"calls": [LOOK]}, {"calls": [MEND]}, {"say": "Bye."})
        inquiry = await an_open_one(rig)
        assert (inquiry.effect.tool, inquiry.effect.kind) == ("Edit", "edit")
        assert "-hello" in inquiry.effect.diff
        assert "+bye" in inquiry.effect.diff
        assert (await rig.task(task.id)).status.word == "needs you"
        await answer(rig, inquiry, Decision.ALLOW)
        done = await rig.ended(task.id, timeout_s=ENDS_WITHIN_S)
        assert done.state.word is TaskState.DONE


async def test_a_denied_command_is_not_run_and_the_agent_reads_why(tmp_path, repository, claude, login):
    async with Rig(tmp_path / "home").running() as rig:
        turns = ({"calls": [shell("touch made")]}, {"calls": [LOOK]}, {"say": "Not made."})
        ask = OpenTask(prompt=playing(*turns), repository=str(repository))
        task = await opened(rig, claude, ask, Permissions.ASK)
        inquiry = await an_open_one(rig)
        said = AnswerInquiry(decision=Decision.DENY, reason="we make nothing today")
        await rig.store.writer.run(
            lambda unit: answer_inquiry(unit, inquiry.id, said, by="owner", ids=rig.ids)
        )
        await rig.engine.tell_run(inquiry.run_id)
        done = await rig.ended(task.id, timeout_s=ENDS_WITHIN_S)
        returned = [event.output for event in await log(rig) if isinstance(event, e.RunToolReturned)]
        assert done.change_id is None, "nothing was changed"
        assert returned[0] == "we make nothing today"


async def test_an_ask_outlives_the_server_and_is_answered_after_its_start(
    tmp_path, repository, claude, login
):
    async with Rig(tmp_path / "home").running() as rig:
        task = await asking(rig, claude, repository, {"calls": [MEND]}, {"say": "x"})
        await an_open_one(rig)
        before = await rig.run_of(task.id)
    async with Rig(tmp_path / "home").running() as rig:
        inquiry = await an_open_one(rig)
        await answer(rig, inquiry, Decision.ALLOW)
        await rig.ended(task.id, timeout_s=ENDS_WITHIN_S)
        after = await rig.run_of(task.id)
        assert (after.id, after.pid) == (before.id, before.pid)
        assert len(await inquiries(rig)) == 1, "the replayed ask was not opened again"


async def test_an_agent_whose_holder_died_while_it_asked_asks_again_in_its_next_run(
    tmp_path, repository, claude, login
):
    async with Rig(tmp_path / "home").running() as rig:
        refused = {"say": "I was not allowed."}  # the end of its input, as the program tells it to the model
        turns = ({"calls": [LOOK]}, {"calls": [MEND]}, refused, {"calls": [MEND]}, {"say": "Bye."})
        task = await asking(rig, claude, repository, *turns)
        first = await an_open_one(rig)
        await anyio.to_thread.run_sync(written_down, tmp_path / "config", "tool_result")
        kill_holder(rig, first.run_id)
        with anyio.fail_after(ENDS_WITHIN_S):
            while (await rig.task(task.id)).state.word not in (TaskState.DONE, TaskState.FAILED):
                for one in await inquiries(rig):
                    if one.state.word is InquiryState.OPEN:
                        await answer(rig, one, Decision.ALLOW)
                await rig.store.ring.wait(rig.store.ring.last_seq, 0.5)
        edits = [event for event in await log(rig) if isinstance(event, e.RunToolReturned)]
        assert (await rig.task(task.id)).state.word is TaskState.DONE
        assert sum("updated" in event.output for event in edits) == 1, "the edit was done once"


async def test_a_follow_up_steers_the_turn_and_changes_the_work(tmp_path, repository, claude, login):
    gate = tmp_path / "gate"
    os.mkfifo(gate)
    wait = shell(f"cat {gate}")
    async with Rig(tmp_path / "home").running() as rig:
        write = {"tool": "write", "input": {"path": "b.txt", "text": "more\n"}}
        turns = (
            {"calls": [LOOK]},
            {"calls": [MEND]},
            {"calls": [wait]},
            {"calls": [write]},
            {"say": "Both."},
        )
        ask = OpenTask(prompt=playing(*turns), repository=str(repository), checks=(BYE,))
        task = await opened(rig, claude, ask, Permissions.ASK)
        for _ in range(2):
            await answer(rig, await an_open_one(rig), Decision.ALLOW)
        sent = await say(rig, task.id, "and write b.txt", Mode.STEER)
        await until(rig, lambda event: isinstance(event, e.MessageDelivered))
        await anyio.Path(gate).write_text("go\n")
        await answer(rig, await an_open_one(rig), Decision.ALLOW)
        done = await rig.ended(task.id, timeout_s=ENDS_WITHIN_S)
        change = await rig.store.writer.run(lambda unit: unit.change(done.change_id))
        (message,) = await rows(rig, schema.messages, Message)
        assert (message.id, message.state.word) == (sent.id, MessageState.COMPLETED)
        assert change.files == 2


async def test_the_next_request_goes_to_the_model_that_was_set(
    tmp_path, repository, claude, login, monkeypatch
):
    monkeypatch.setenv("IS_SANDBOX", "1")
    gate = tmp_path / "gate"
    os.mkfifo(gate)
    async with Rig(tmp_path / "home").running() as rig:
        turns = ({"calls": [shell(f"cat {gate}")]}, {"calls": [MEND]}, {"say": "Bye."})
        task = await opened(rig, claude, OpenTask(prompt=playing(*turns)), Permissions.FULL)
        await until(rig, lambda event: isinstance(event, e.RunToolCalled))
        await say(rig, task.id, "claude-haiku-5-5", Mode.MODEL)
        await until(rig, lambda event: isinstance(event, e.RunModelChanged))
        await anyio.Path(gate).write_text("go\n")
        await rig.ended(task.id, timeout_s=ENDS_WITHIN_S)
        run = await rig.run_of(task.id)
        assert run.agent.model == "claude-haiku-5-5"
        (message,) = await rows(rig, schema.messages, Message)
        assert message.state.word is MessageState.COMPLETED
        assert models_of(tmp_path / "config") == ["claude-opus-5-5", "claude-haiku-5-5"]


def models_of(config: Path) -> list[str]:
    """That answered, in their order, by the CLI's own record of the conversation."""
    (record,) = config.glob("projects/*/*.jsonl")
    entries = [json.loads(line) for line in record.read_text().splitlines()]
    models = [entry["message"]["model"] for entry in entries if entry["type"] == "assistant"]
    return [model for number, model in enumerate(models) if model not in models[number - 1 : number]]


async def test_an_interrupted_agent_waits_for_what_is_said_next(
    tmp_path, repository, claude, login, monkeypatch
):
    monkeypatch.setenv("IS_SANDBOX", "1")
    async with Rig(tmp_path / "home").running() as rig:
        ask = OpenTask(prompt=playing({"calls": [HANG]}, {"calls": [MEND]}, {"say": "Instead."}),
                       repository=str(repository), checks=(BYE,))  # fmt: skip
        task = await opened(rig, claude, replace(ask), Permissions.FULL)
        await until(rig, lambda event: isinstance(event, e.RunToolCalled))
        await say(rig, task.id, "", Mode.INTERRUPT)
        await until(rig, lambda event: isinstance(event, e.RunPaused))
        waiting = await rig.task(task.id)
        assert (waiting.status.word, waiting.status.reason) == ("needs you", "message")
        await say(rig, task.id, "look at a.txt and mend it", Mode.STEER)
        done = await rig.ended(task.id, timeout_s=ENDS_WITHIN_S)
        assert done.state.word is not TaskState.CANCELLED
        messages = await rows(rig, schema.messages, Message)
        assert [message.state.word for message in messages] == [MessageState.COMPLETED] * 2


async def test_a_session_is_gone_on_with_and_forked(tmp_path, repository, claude, login):
    async with Rig(tmp_path / "home").running() as rig:
        ask = OpenTask(prompt=playing({"calls": [LOOK]}, {"calls": [MEND]}, {"say": "Bye."}),
                       repository=str(repository), checks=(BYE,))  # fmt: skip
        first = await rig.ended(
            (await opened(rig, claude, ask, Permissions.EDIT)).id, timeout_s=ENDS_WITHIN_S
        )
        assert first.state.word is TaskState.DONE
        write = {"tool": "write", "input": {"path": "b.txt", "text": "more\n"}}
        more = playing({"calls": [write]}, {"say": "More."})
        second = await rig.ended(
            (await rig.open(OpenTask(prompt=more, session=first.id))).id, timeout_s=ENDS_WITHIN_S
        )
        assert second.state.word is TaskState.DONE
        change = await rig.store.writer.run(lambda unit: unit.change(second.change_id))
        assert change.files == 2, "the work of both, measured against the first base"
        forked = await rig.ended(
            (await rig.open(OpenTask(prompt=playing({"say": "A copy."}), session=first.id, fork=True))).id,
            timeout_s=ENDS_WITHIN_S,
        )
        assert forked.state.word is TaskState.DONE
        sessions = await rows(rig, schema.sessions, Session)
        assert [(one.runs, one.parent) for one in sessions] == [(2, None), (1, sessions[0].id)]


async def test_a_missing_login_says_what_to_type(tmp_path, repository, claude, login, monkeypatch):
    monkeypatch.delenv("ANTHROPIC_API_KEY")
    async with Rig(tmp_path / "home").running() as rig:
        ask = OpenTask(prompt=playing({"say": "x"}), repository=str(repository))
        task = await opened(rig, claude, ask, Permissions.EDIT)
        failed = await rig.ended(task.id, timeout_s=ENDS_WITHIN_S)
        run = await rig.run_of(task.id)
    assert failed.state.reason == Reason.AUTH_REQUIRED
    assert "/login" in run.outcome.detail


async def test_an_answer_of_a_structure_is_kept(tmp_path, claude, login):
    shape = {"type": "object", "properties": {"n": {"type": "integer"}}, "required": ["n"]}
    async with Rig(tmp_path / "home").running() as rig:
        prompt = playing({"calls": [{"tool": "StructuredOutput", "input": {"n": 3}}]}, {"say": "x"})
        ask = OpenTask(prompt=prompt, output_schema=shape)
        task = await opened(rig, claude, ask, Permissions.EDIT)
        await rig.ended(task.id, timeout_s=ENDS_WITHIN_S)
        run = await rig.run_of(task.id)
    assert run.outcome.structured == {"n": 3}


async def test_the_cli_killed_while_it_asks_is_resumed_and_asks_again(tmp_path, repository, claude, login):
    async with Rig(tmp_path / "home").running() as rig:
        task = await asking(
            # Whether it had written its last call down before it was killed, only the machine knows.
            rig,
            claude,
            repository,
            {"calls": [LOOK]},
            {"calls": [MEND]},
            {"calls": [MEND]},
            {"say": "Bye."},
        )
        first: Inquiry = await an_open_one(rig)
        run = await rig.run_of(task.id)
        os.kill(run.pid, signal.SIGKILL)
        with anyio.fail_after(ENDS_WITHIN_S):
            while (await rig.task(task.id)).state.word not in (TaskState.DONE, TaskState.FAILED):
                for one in await inquiries(rig):
                    if one.state.word is InquiryState.OPEN and one.run_id != first.run_id:
                        await answer(rig, one, Decision.ALLOW)
                await rig.store.ring.wait(rig.store.ring.last_seq, 0.5)
        assert (await rig.task(task.id)).state.word is TaskState.DONE
