"""The typed client's side of inbox, sessions and text as it is said, against a real server."""

from __future__ import annotations

from collections.abc import Iterator

import anyio
import anyio.to_thread
import httpx
import pytest

from podium.bus.messages import Partials
from podium.client.api import Client
from podium.client.home import Target
from podium.client.pages import Partial
from podium.kernel import events as e
from podium.kernel.errors import Conflict, InvalidRequest, NotFound
from podium.kernel.ids import MessageId
from podium.kernel.inquiry import Decision
from podium.kernel.session import Mode
from podium.kernel.states import InquiryState
from tests.integration.gateway.asking import ask, command, record, started
from tests.integration.gateway.serving import WORKER, Serving
from tests.integration.gateway.test_sessions import conversation
from tests.integration.gateway.test_talk import said
from tests.support import eventually_in_loop

pytestmark = pytest.mark.anyio
in_thread = anyio.to_thread.run_sync


@pytest.fixture
def client(rig: Serving) -> Iterator[Client]:
    with Client(Target(url=rig.url, token=rig.tokens.owner)) as made:
        yield made


async def test_an_inquiry_is_found_shown_and_answered_in_structs(
    rig: Serving, http: httpx.AsyncClient, client: Client
) -> None:
    task_id, run_id = await started(rig, http)
    inquiry_id = await ask(rig, run_id, command())
    page = await in_thread(lambda: client.inquiries(state="open", task=task_id, run=run_id, limit=1))
    assert [inquiry.id for inquiry in page.items] == [inquiry_id]
    inquiry = await in_thread(client.inquiry, inquiry_id)
    assert inquiry.effect == command()
    answered = await in_thread(lambda: client.answer(inquiry_id, "allow", "go", key="k"))
    assert answered.state.word is InquiryState.ANSWERED
    assert answered.answer is not None
    assert (answered.answer.decision, answered.answer.by) == (Decision.ALLOW, "owner")
    assert await in_thread(lambda: client.answer(inquiry_id, "allow", "go", key="k")) == answered
    with pytest.raises(Conflict):
        await in_thread(client.answer, inquiry_id, "deny")
    assert (await in_thread(lambda: client.grants(task=task_id))).items == ()


async def test_messages_and_sessions_come_as_structs(
    rig: Serving, http: httpx.AsyncClient, client: Client
) -> None:
    task_id, run_id = await started(rig, http)
    message_id = await said(rig, task_id, run_id)
    message = await in_thread(client.message, message_id)
    assert (message.mode, message.text) == (Mode.STEER, "look at the tests")
    assert (await in_thread(client.messages, task_id)).items == (message,)
    gone = e.MessageUndelivered(task_id=task_id, run_id=run_id, message_id=MessageId(message_id), why="ended")
    await record(rig, gone)
    assert (await in_thread(client.message, message_id)).state.reason == "ended"
    session_id = await conversation(rig, task_id, run_id)
    (listed,) = (await in_thread(lambda: client.sessions(task=task_id))).items
    shown = await in_thread(client.session, session_id)
    assert (shown.id, shown.conversation_id, shown.fork_points) == (listed.id, "c-1", ())
    for ask_for in (client.session, client.message, client.messages, client.interrupt):
        with pytest.raises(NotFound):
            await in_thread(ask_for, "task_" + "0" * 26)


async def test_a_project_trusts_a_file_and_no_longer(http: httpx.AsyncClient, client: Client) -> None:
    await in_thread(client.add_project, "shop")
    trusted = await in_thread(client.trust_file, "shop", ".mcp.json", "a" * 64)
    assert trusted.trusted_files == {".mcp.json": "a" * 64}
    assert (await in_thread(client.distrust_file, "shop", ".mcp.json")).trusted_files == {}
    with pytest.raises(InvalidRequest):
        await in_thread(client.trust_file, "shop", "../.mcp.json", "a" * 64)


async def test_text_is_heard_between_events_and_moves_no_cursor(
    rig: Serving, http: httpx.AsyncClient, client: Client
) -> None:
    task_id, run_id = await started(rig, http)
    heard: list[Partial] = []
    cursors: list[str | None] = []
    here = (await in_thread(client.status)).cursor

    def follow() -> None:
        for seen in client.events(here, task=task_id, on_partial=heard.append):
            cursors.append(seen.cursor)
            return

    with anyio.fail_after(20):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(in_thread, follow)
            await eventually_in_loop(lambda: rig.server._gateway._api.hub._mailboxes)
            assert rig.engine.on_partial is not None
            rig.engine.on_partial(
                Partials(worker_id=WORKER, run_id=run_id, task_id=task_id, item="1", text="Hel", thought=True)
            )
            await eventually_in_loop(lambda: heard)
            await record(rig, e.RunSaid(task_id=task_id, run_id=run_id, text="Hello"))
    assert heard == [Partial(run_id=run_id, task_id=task_id, item="1", text="Hel", thought=True)]
    missed = await in_thread(lambda: list(client.events(cursors[0], follow=False, task=task_id)))
    assert missed == []
