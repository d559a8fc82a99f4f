"""Agents that ask and agents that are spoken to, through every kind of restart."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable

import anyio
import msgspec
import pytest
from sqlalchemy import select

from podium.engine.commands import OpenTask
from podium.engine.engine import EngineSettings
from podium.engine.inbox import AnswerInquiry, answer_inquiry
from podium.engine.talk import SendMessage, send_message
from podium.kernel import events as e
from podium.kernel.errors import Conflict, InvalidRequest
from podium.kernel.inquiry import Decision, Grant, Inquiry
from podium.kernel.nouns import Agent, Limits, Permissions
from podium.kernel.session import Message, Mode, Session
from podium.kernel.states import InquiryState, MessageState, TaskState
from podium.process.base import Alive
from podium.process.probe import probe
from podium.store import schema
from podium.testing.rig import Rig

from .conftest import ends, script
from .test_way_of_one_run import log, scripted

pytestmark = pytest.mark.anyio
ASK = {"id": "may", "do": "ask", "command": "rm -rf build", "why": "to build afresh"}
AFTER = {"id": "after", "do": "say", "text": "went on"}


async def rows(rig: Rig, table, kind):
    query = select(table.c.doc).order_by(table.c.id)
    found = await rig.store.reader.run(lambda c: [row[0] for row in c.execute(query)])
    return [msgspec.json.decode(doc, type=kind) for doc in found]


async def inquiries(rig: Rig) -> list[Inquiry]:
    return await rows(rig, schema.inquiries, Inquiry)


async def until(rig: Rig, condition: Callable[[], object], within_s: float = 20):
    """What `condition` (a coroutine function) answers once that is true; looks after every commit."""
    with anyio.fail_after(within_s):
        while not (answer := await condition()):
            await rig.store.ring.wait(rig.store.ring.last_seq, 1)
    return answer


async def an_open_one(rig: Rig) -> Inquiry:
    async def look():
        return next((one for one in await inquiries(rig) if one.state.word is InquiryState.OPEN), None)

    return await until(rig, look)


async def answer(rig: Rig, inquiry: Inquiry, decision: Decision) -> Inquiry:
    ask = AnswerInquiry(decision=decision)
    answered = await rig.store.writer.run(
        lambda unit: answer_inquiry(unit, inquiry.id, ask, by="owner", ids=rig.ids)
    )
    await rig.engine.tell_run(inquiry.run_id)
    return answered


def kill_holder(rig: Rig, run_id: str) -> None:
    state = probe(rig.worker_home.run(run_id).process)
    assert isinstance(state, Alive)
    os.kill(state.holder.pid, signal.SIGKILL)


async def say(rig: Rig, task_id: str, text: str, mode: Mode | None = None) -> Message:
    ask = SendMessage(text=text, mode=mode)
    message = await rig.store.writer.run(
        lambda unit: send_message(unit, task_id, ask, by="owner", ids=rig.ids)
    )
    await rig.engine.tell_run(message.run_id)
    return message


async def test_an_agent_that_asks_waits_for_a_person_and_goes_on_when_allowed(tmp_path):
    async with Rig(tmp_path / "home").running() as rig:
        await scripted(rig)
        task = await rig.open(OpenTask(prompt=script(ASK, AFTER), agent="scripted"))
        inquiry = await an_open_one(rig)
        waiting = await rig.task(task.id)
        assert (waiting.state.word, waiting.status.word) == (TaskState.WAITING, "needs you")
        assert (inquiry.effect.command, inquiry.why, inquiry.risk) == (
            "rm -rf build", "to build afresh", "high",
        )  # fmt: skip
        await answer(rig, inquiry, Decision.ALLOW)
        done = await rig.ended(task.id)
        assert done.state.word is TaskState.DONE
        (settled,) = await inquiries(rig)
        assert settled.delivered_at is not None
        returned = [event for event in await log(rig) if isinstance(event, e.RunToolReturned)]
        assert [(event.output, event.is_error) for event in returned] == [("allow", False)]


async def test_a_denied_agent_is_told_so_and_goes_on(tmp_path):
    async with Rig(tmp_path / "home").running() as rig:
        await scripted(rig)
        task = await rig.open(OpenTask(prompt=script(ASK, AFTER), agent="scripted"))
        await answer(rig, await an_open_one(rig), Decision.DENY)
        assert (await rig.ended(task.id)).state.word is TaskState.DONE
        returned = [event for event in await log(rig) if isinstance(event, e.RunToolReturned)]
        assert [(event.output, event.is_error) for event in returned] == [("deny", True)]


async def test_the_first_answer_counts(tmp_path):
    async with Rig(tmp_path / "home").running() as rig:
        await scripted(rig)
        task = await rig.open(OpenTask(prompt=script(ASK, AFTER), agent="scripted"))
        inquiry = await an_open_one(rig)
        first = await answer(rig, inquiry, Decision.DENY)
        again = await answer(rig, inquiry, Decision.DENY)
        assert again.answer == first.answer
        with pytest.raises(Conflict):
            await answer(rig, inquiry, Decision.ALLOW)
        await rig.ended(task.id)


async def test_an_agent_that_may_do_everything_is_answered_at_once(tmp_path):
    async with Rig(tmp_path / "home").running() as rig:
        await rig.define(Agent(name="free", harness="scripted", permissions=Permissions.FULL))
        task = await rig.open(OpenTask(prompt=script(ASK, AFTER), agent="free"))
        assert (await rig.ended(task.id)).state.word is TaskState.DONE
        (inquiry,) = await inquiries(rig)
        assert (inquiry.state.word, inquiry.answer.by) == (InquiryState.ANSWERED, "policy")


async def test_an_unanswered_ask_is_denied_when_its_time_is_over(tmp_path):
    async with Rig(tmp_path / "home", settings=EngineSettings(renew_every_s=0.1)).running() as rig:
        await rig.define(Agent(name="scripted", harness="scripted", limits=Limits(ask_s=0.2)))
        task = await rig.open(OpenTask(prompt=script(ASK, AFTER), agent="scripted"))
        assert (await rig.ended(task.id)).state.word is TaskState.DONE
        (inquiry,) = await inquiries(rig)
        assert (inquiry.state.word, inquiry.answer.decision) == (InquiryState.EXPIRED, Decision.DENY)


async def test_an_ask_made_while_the_server_is_down_is_answered_after_its_start(tmp_path):
    home = tmp_path / "home"
    async with Rig(home).running() as rig:
        await scripted(rig)
        gate = tmp_path / "gate"
        wait = {"id": "wait", "do": "wait", "file": str(gate)}
        task = await rig.open(OpenTask(prompt=script(wait, ASK, AFTER), agent="scripted"))
        await until(rig, lambda: _running(rig, task.id))
    gate.touch()
    async with Rig(home).running() as rig:
        await answer(rig, await an_open_one(rig), Decision.ALLOW)
        done = await rig.ended(task.id)
        assert done.state.word is TaskState.DONE
        assert ends(rig) == [(task.id, "wait"), (task.id, "may"), (task.id, "after")]


async def test_an_answer_given_while_no_worker_listens_reaches_the_agent_once(tmp_path):
    home = tmp_path / "home"
    async with Rig(home).running() as rig:
        await scripted(rig)
        task = await rig.open(OpenTask(prompt=script(ASK, AFTER), agent="scripted"))
        inquiry = await an_open_one(rig)
        ask = AnswerInquiry(decision=Decision.ALLOW)
        await rig.store.writer.run(
            lambda unit: answer_inquiry(unit, inquiry.id, ask, by="owner", ids=rig.ids)
        )
    async with Rig(home).running() as rig:
        assert (await rig.ended(task.id)).state.word is TaskState.DONE
        spool = [line for path in tmp_path.rglob("process/in") for line in path.read_bytes().splitlines()]
        assert len([line for line in spool if b'"answer"' in line]) <= 1


async def test_an_approval_whose_asker_is_gone_is_used_once_by_the_same_ask_of_the_next_run(tmp_path):
    # Nothing is renewed meanwhile: the answer stays here until the run is lost.
    settings = EngineSettings(renew_every_s=60, lease_ttl_s=300)
    async with Rig(tmp_path / "home", settings=settings).running() as rig:
        await scripted(rig)
        other = {"id": "other", "do": "ask", "command": "rm -rf dist"}
        same = {"id": "same", "do": "ask", "command": ASK["command"]}
        task = await rig.open(OpenTask(prompt=script(ASK, other, same), agent="scripted"))
        inquiry = await an_open_one(rig)
        ask = AnswerInquiry(decision=Decision.ALLOW)
        await rig.store.writer.run(
            lambda unit: answer_inquiry(unit, inquiry.id, ask, by="owner", ids=rig.ids)
        )
        kill_holder(rig, inquiry.run_id)
        second = await an_open_one(rig)
        assert second.effect.command == "rm -rf dist", "the resumed agent asked the first one again, and may"
        await answer(rig, second, Decision.ALLOW)
        third = await an_open_one(rig)
        assert third.effect.digest == inquiry.effect.digest, "a grant is for one use"
        await answer(rig, third, Decision.ALLOW)
        assert (await rig.ended(task.id)).state.word is TaskState.DONE
        (grant,) = await rows(rig, schema.grants, Grant)
        assert grant.used_by is not None
        used = [one.answer.by for one in await inquiries(rig)]
        assert used == ["owner", "grant", "owner", "owner"]


async def test_the_open_ask_of_a_lost_run_is_withdrawn_when_the_next_one_asks_again(tmp_path):
    async with Rig(tmp_path / "home").running() as rig:
        await scripted(rig)
        task = await rig.open(OpenTask(prompt=script(ASK, AFTER), agent="scripted"))
        first = await an_open_one(rig)
        kill_holder(rig, first.run_id)

        async def asked_again():
            return next((one for one in await inquiries(rig) if one.run_id != first.run_id), None)

        await answer(rig, await until(rig, asked_again), Decision.ALLOW)
        assert (await rig.ended(task.id)).state.word is TaskState.DONE
        words = [one.state.word for one in await inquiries(rig)]
        assert words == [InquiryState.WITHDRAWN, InquiryState.ANSWERED]


async def test_the_raw_output_of_a_lost_run_is_kept_though_the_next_one_begins_at_once(tmp_path, caplog):
    flood = {"id": "much", "do": "flood", "kind": "line", "stream": "stderr", "bytes": 60_000_000}
    async with Rig(tmp_path / "home").running() as rig:
        await scripted(rig)
        task = await rig.open(OpenTask(prompt=script(flood, ASK, AFTER), agent="scripted"))
        first = await an_open_one(rig)
        kill_holder(rig, first.run_id)

        async def asked_again():
            return next((one for one in await inquiries(rig) if one.run_id != first.run_id), None)

        second = await until(rig, asked_again)
        await answer(rig, second, Decision.ALLOW)
        assert (await rig.ended(task.id)).state.word is TaskState.DONE

        async def all_kept():
            kept = {(x.run_id, x.stream) for x in await log(rig) if isinstance(x, e.RunOutputKept)}
            return {(first.run_id, "err"), (first.run_id, "out"), (second.run_id, "out")} <= kept

        await until(rig, all_kept)
    assert "could not go on" not in caplog.text


async def test_a_message_is_heard_once_and_its_receipts_are_recorded(tmp_path):
    async with Rig(tmp_path / "home").running() as rig:
        await scripted(rig)
        listen = {"id": "ears", "do": "listen"}
        task = await rig.open(OpenTask(prompt=script(listen, AFTER), agent="scripted"))
        await until(rig, lambda: _running(rig, task.id))
        sent = await say(rig, task.id, "also do this")
        assert (await rig.ended(task.id)).state.word is TaskState.DONE
        (message,) = await rows(rig, schema.messages, Message)
        assert (message.id, message.state.word) == (sent.id, MessageState.COMPLETED)
        heard = [event.text for event in await log(rig) if isinstance(event, e.RunSaid)]
        assert heard.count("heard: also do this") == 1


async def test_a_model_set_while_it_works_is_that_of_the_run_and_of_its_re_run(tmp_path):
    async with Rig(tmp_path / "home").running() as rig:
        await scripted(rig)
        task = await rig.open(OpenTask(prompt=script(ASK, AFTER), agent="scripted"))
        asked = await an_open_one(rig)
        await say(rig, task.id, "other-model", Mode.MODEL)

        async def set_now():
            return (await rig.run_of(task.id)).agent.model == "other-model"

        await until(rig, set_now)
        (message,) = await rows(rig, schema.messages, Message)
        assert message.state.word is MessageState.COMPLETED
        kill_holder(rig, asked.run_id)

        async def asked_again():
            return next((one for one in await inquiries(rig) if one.run_id != asked.run_id), None)

        await answer(rig, await until(rig, asked_again), Decision.ALLOW)
        assert (await rig.ended(task.id)).state.word is TaskState.DONE
        run = await rig.run_of(task.id)
        assert (run.attempt, run.agent.model) == (2, "other-model")


@pytest.mark.parametrize("name", ["", "two words", "a\nb", "x" * 201, "a\0b"])
async def test_what_is_no_name_of_a_model_is_refused(tmp_path, name):
    async with Rig(tmp_path / "home").running() as rig:
        await scripted(rig)
        task = await rig.open(OpenTask(prompt=script(ASK, AFTER), agent="scripted"))
        await an_open_one(rig)
        with pytest.raises(InvalidRequest):
            await say(rig, task.id, name, Mode.MODEL)
        await rig.cancel(task.id)
        await rig.ended(task.id)


async def test_a_message_to_a_task_that_has_ended_is_refused_and_one_too_late_says_so(tmp_path):
    async with Rig(tmp_path / "home").running() as rig:
        await scripted(rig)
        gate = tmp_path / "gate"
        wait = {"id": "wait", "do": "wait", "file": str(gate)}
        task = await rig.open(OpenTask(prompt=script(wait), agent="scripted"))
        await until(rig, lambda: _running(rig, task.id))
        await say(rig, task.id, "nobody listens")
        gate.touch()
        await rig.ended(task.id)
        (message,) = await rows(rig, schema.messages, Message)
        assert message.state.word is MessageState.UNDELIVERED
        with pytest.raises(Conflict):
            await say(rig, task.id, "hello?")


async def test_a_session_is_gone_on_with_from_where_its_work_was_left(tmp_path, repository):
    async with Rig(tmp_path / "home").running() as rig:
        await scripted(rig)
        edit = {"id": "edit", "do": "edit", "path": "a.txt", "old": "hello", "new": "bye"}
        first = await rig.open(OpenTask(prompt=script(edit), agent="scripted", repository=str(repository)))
        first = await rig.ended(first.id)
        (session,) = await rows(rig, schema.sessions, Session)
        further = {"id": "further", "do": "edit", "path": "a.txt", "old": "bye", "new": "goodbye"}
        second = await rig.open(OpenTask(prompt=script(edit, further), session=first.id))
        second = await rig.ended(second.id)
        assert (second.state.word, second.source, second.session_id) == (
            TaskState.DONE,
            "session",
            session.id,
        )
        one, two = [
            await rig.store.writer.run(lambda unit, task=task: unit.change(task.change_id))
            for task in (first, second)
        ]
        assert two.base == one.base, "its change is whole by itself"
        assert two.tip != one.tip
        (session,) = await rows(rig, schema.sessions, Session)
        assert (session.runs, session.run_id) == (2, second.run_id)


async def _running(rig: Rig, task_id: str) -> bool:
    return any(isinstance(event, e.RunToolCalled) and event.task_id == task_id for event in await log(rig))
