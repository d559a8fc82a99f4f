"""Following the log from a cursor: from the ring while it reaches back far enough, else from the store.

Exactly once and in order for a client that comes back with the last cursor it saw: a cursor names a place
in the log, and everything after it is sent, whichever of the two it comes from.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterable, Iterator
from contextlib import contextmanager

from msgspec import Struct
from sqlalchemy import Connection, func, select

from podium.gateway import cursor as cursors
from podium.gateway.api import Api
from podium.gateway.hub import Chunk, cut
from podium.gateway.partials import Mailbox, PartialFrame
from podium.gateway.sockets import WriteFrame
from podium.kernel.access import Scope
from podium.kernel.errors import InvalidRequest
from podium.kernel.ids import kind_of
from podium.store import schema
from podium.store.ring import Entry
from podium.store.scope import require, within
from podium.store.unit import wire_of

PAGE_EVENTS = 1_000
MAX_TOPICS = 100
EVERYTHING = "events"


class Wanted(Struct, frozen=True, kw_only=True):
    """Which events a follower gets: those of any of the subjects (none: all), of any of the types."""

    tasks: frozenset[str] = frozenset()
    runs: frozenset[str] = frozenset()
    types: frozenset[str] = frozenset()
    scope: Scope | None = None
    """Of the follower's token; what lies outside is left out, whatever was asked for."""

    @property
    def everything(self) -> bool:
        return not (self.tasks or self.runs or self.types or self.scope)

    def takes(self, entry: Entry) -> bool:
        if self.types and entry.type not in self.types:
            return False
        if not self.tasks and not self.runs:
            return True
        return entry.task_id in self.tasks or entry.run_id in self.runs


def wanted_of(topics: Iterable[str]) -> Wanted:
    """From the topics of a subscription: `events`, `task:ID`, `run:ID`. Raises InvalidRequest."""
    chosen = set(topics)
    if len(chosen) > MAX_TOPICS:
        raise InvalidRequest(f"at most {MAX_TOPICS} topics at once")
    subjects: dict[str, set[str]] = {"task": set(), "run": set()}
    for topic in chosen - {EVERYTHING}:
        kind, _, subject = topic.partition(":")
        if kind not in subjects or kind_of(subject) != kind:
            raise InvalidRequest(f"there is no topic {topic[:80]!r}", hint="events, task:ID or run:ID")
        subjects[kind].add(subject)
    if EVERYTHING in chosen or not chosen:
        return Wanted()
    return Wanted(tasks=frozenset(subjects["task"]), runs=frozenset(subjects["run"]))


def named_in(topics: Iterable[str]) -> Wanted:
    """The tasks and runs among the topics, whether or not all events are asked for beside them."""
    return wanted_of(topic for topic in topics if topic != EVERYTHING)


async def place_of(api: Api, after: str | None) -> int:
    """Where a follower begins; None is now. Raises InvalidRequest, or CursorExpired when it is too late."""
    if after is None:
        return api.hub.last_seq
    seq = cursors.decode(after)
    if api.hub.after(seq) is None or seq > api.hub.last_seq:
        await api.store.reader.run(lambda c: _check(c, seq))
    return seq


async def follow(
    api: Api, place: int, wanted: Wanted, mailbox: Mailbox | None = None, write: WriteFrame | None = None
) -> AsyncIterator[Chunk | PartialFrame]:
    """Chunks after `place`, without end; an empty one from time to time says that all is well. With a mailbox
    also what comes into it, each piece before the event that holds the whole of its text. With `write` who
    wants everything is written to by the hub meanwhile, and gets here only what it could not be written.

    Ends when the server stops. Raises CursorExpired when retention has overtaken a slow follower.
    """
    loop_time = asyncio.get_running_loop().time
    heartbeat_s = api.settings.heartbeat_s
    sent_at = loop_time()
    while not api.hub.closed:
        chunks: Iterable[Chunk]
        while mailbox is not None and (piece := mailbox.take()) is not None:
            yield piece
            sent_at = loop_time()
        found = api.hub.after(place)
        if found is None:
            at = place
            entries = await api.store.reader.run(lambda c: _history(c, at, wanted))  # noqa: B023
            chunks = cut(place, entries[0], entries[1])
        else:
            chunks = (found,)
        for chunk in chunks:
            place = chunk.last
            narrowed = chunk if wanted.everything else _narrowed(chunk, wanted)
            if wanted.scope is not None:
                narrowed = await within_scope(api, narrowed, wanted.scope)
            if narrowed.entries:
                yield narrowed
                sent_at = loop_time()
        quiet_s = max(0.0, sent_at + heartbeat_s - loop_time())
        if mailbox is not None:
            quiet = not await api.hub.news_or_piece(place, mailbox, quiet_s)
        elif write is not None and wanted.everything:
            place, quiet = await api.hub.carry(place, write, quiet_s)
        else:
            quiet = not await api.hub.news(place, quiet_s)
        if quiet:
            yield Chunk(place, place, ())
            sent_at = loop_time()


@contextmanager
def mailbox_of(api: Api, wanted: Wanted, asked: bool) -> Iterator[Mailbox | None]:
    """For one who asked for text while it is being said. Raises InvalidRequest when that is everybody's."""
    if not asked:
        yield None
        return
    if not wanted.tasks and not wanted.runs:
        raise InvalidRequest(
            "text that is still being said comes only with a task or a run", hint="name the tasks or runs"
        )
    with api.hub.listening(wanted.tasks, wanted.runs) as mailbox:
        yield mailbox


def _narrowed(chunk: Chunk, wanted: Wanted) -> Chunk:
    return Chunk(chunk.before, chunk.last, [entry for entry in chunk.entries if wanted.takes(entry)])


async def check_seen(api: Api, wanted: Wanted) -> None:
    """Raises NotFound for a task or run that the follower does not see; who sees everything may also wait for
    one that is not there yet."""
    scope = wanted.scope
    if scope is None:
        return

    def look(connection: Connection) -> None:
        for table, ids in ((schema.tasks, wanted.tasks), (schema.runs, wanted.runs)):
            for noun_id in ids:
                require(connection, table, noun_id, scope)

    await api.store.reader.run(look)


async def within_scope(api: Api, chunk: Chunk, scope: Scope) -> Chunk:
    """Only events of tasks inside: those of the server, of agents and workers are for who sees everything."""
    asked = {entry.task_id for entry in chunk.entries if entry.task_id is not None}
    if not asked:
        return Chunk(chunk.before, chunk.last, ())
    tasks = schema.tasks
    query = select(tasks.c.id).where(tasks.c.id.in_(asked), within(tasks, scope))
    seen = await api.store.reader.run(lambda c: {str(row[0]) for row in c.execute(query)})
    return Chunk(chunk.before, chunk.last, [entry for entry in chunk.entries if entry.task_id in seen])


def _check(connection: Connection, seq: int) -> int:
    """The newest event. Raises CursorExpired, or InvalidRequest for a place the log has not reached."""
    events = schema.events
    oldest, newest = connection.execute(select(func.min(events.c.seq), func.max(events.c.seq))).one()
    if seq > (newest or 0):
        raise InvalidRequest("that cursor lies in the future", hint="start again without a cursor")
    if oldest is not None and 0 < seq < oldest - 1:
        raise cursors.expired(oldest - 1)
    return int(newest or 0)


def _history(connection: Connection, after: int, wanted: Wanted) -> tuple[list[Entry], int]:
    """The next page of the stored log, and how far it reaches."""
    newest = _check(connection, after)
    table = schema.events
    columns = (table.c.seq, table.c.at, table.c.by, table.c.v, table.c.body)
    query = select(*columns, table.c.type, table.c.task_id, table.c.run_id).where(table.c.seq > after)
    if len(wanted.tasks) == 1 and not wanted.runs:
        query = query.where(table.c.task_id == next(iter(wanted.tasks)))
    rows = connection.execute(query.order_by(table.c.seq).limit(PAGE_EVENTS)).all()
    entries = [
        Entry(row.seq, row.task_id, row.run_id, row.type, wire_of(row.seq, row.at, row.by, row.v, row.body))
        for row in rows
    ]
    # Two looks, and the log may have grown in between: the page reaches as far as its newest row.
    reached = entries[-1].seq if entries else after
    return entries, reached if len(entries) == PAGE_EVENTS else max(newest, reached)
