"""Text sorts by its bytes and may hold anything that JSON can, on every database alike."""

from __future__ import annotations

from datetime import UTC, datetime

import msgspec
import pytest
from sqlalchemy import select

from podium.kernel import events as e
from podium.kernel.errors import NotFound
from podium.kernel.ids import RunId, SessionId, TaskId, WorkerId
from podium.kernel.nouns import Agent
from podium.kernel.session import Session
from podium.store import queries, schema
from podium.store.rows import row_of
from podium.store.unit import Unit

pytestmark = pytest.mark.anyio

NAMES = ["a", "B", "b", "A", "Z", "z", "a-b", "a.b", "aB", "ab", "A9", "a_", "10", "9"]
LONG = "".join(chr(0x4E00 + n * 7919 % 20_000) for n in range(5_000))
"""Hard to compress: more than any index takes."""


async def test_pages_of_names_in_mixed_case_follow_the_order_of_bytes_and_miss_none(store):
    for name in NAMES:
        agent = Agent(name=name, harness="scripted")
        await store.writer.run(lambda unit, a=agent: unit.record(e.AgentDefined(agent=a), by="t"))
    found: list[str] = []
    after = None
    while True:
        page = await store.reader.run(lambda c, at=after: queries.list_agents(c, limit=3, after=at))
        listed = msgspec.json.decode(page)
        found += [item["name"] for item in listed["items"]]
        after = listed["next"]
        if after is None:
            break
    assert found == sorted(NAMES, reverse=True)


async def test_what_an_agent_calls_its_conversation_may_hold_nul_and_be_long(store):
    at = datetime(2026, 1, 1, tzinfo=UTC)
    session = Session(
        id=SessionId("session_1"), task_id=TaskId("task_1"), run_id=RunId("run_1"), agent="a",
        harness="scripted", worker_id=WorkerId("worker_1"), conversation_id=f"c\0{LONG}", created_at=at,
        last_at=at,
    )  # fmt: skip

    def find(unit: Unit) -> bytes:
        table = schema.sessions
        query = select(table.c.doc).where(table.c.conversation_id == session.conversation_id)
        return bytes(unit.connection.execute(query).scalar_one())

    table, columns = row_of(session)
    await store.writer.run(lambda unit: unit.execute(table.insert().values(id=session.id, **columns)))
    doc = await store.writer.run(find)
    assert msgspec.json.decode(doc, type=Session) == session, "it is found by its name, and kept as it was"


async def test_whoever_acts_and_whatever_is_asked_for_may_hold_nul(store):
    said = e.RunSaid(task_id=TaskId("t\0"), run_id=RunId("r\0"), text="a\0b")
    await store.writer.run(lambda unit: unit.append(said, by="who\0" + LONG))
    page, _ = await store.reader.run(lambda c: queries.list_events(c, after=1, limit=9, task="t\0"))
    (recorded,) = [msgspec.json.decode(line, type=e.Recorded) for line in page]
    assert recorded.event == said
    assert recorded.by == "who␀" + LONG[:196] + "…" + recorded.by[-64:]
    with pytest.raises(NotFound):
        await store.reader.run(lambda c: queries.show_task(c, "task_\0"))
    with pytest.raises(NotFound):
        await store.writer.run(lambda unit: unit.task("task_\0"))
