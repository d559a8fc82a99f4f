"""One look at the ring for everybody who follows the log: events joined once, sent to all.

A follower keeps only its cursor. Sockets that follow everything and keep up are written to right here, all of
them the same bytes; the others wake and look for themselves. The pause between two looks grows with how many
follow and how much happens, from 2 to 50 ms, because frames cost, bytes hardly do.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import cached_property

from podium.bus.messages import Partials
from podium.gateway.cursor import encode
from podium.gateway.partials import Mailbox, piece_of
from podium.gateway.sockets import WriteFrame, text_frame
from podium.kernel.errors import RateLimited, Unavailable
from podium.store.ring import Entry, Ring

MIN_TICK_S = 0.002
MAX_TICK_S = 0.050
FRAME_S = 0.000_025
SHARE = 0.1
"""Of one core, for frames; the tick is stretched towards it."""
MAX_CHUNK_BYTES = 128 * 1024
"""Of one frame, unless a single event is larger."""
MAX_CHUNK_EVENTS = 2_000
KEPT_CHUNKS = 64
IDLE_S = 3600.0


class Chunk:
    """Consecutive events strictly after `before`, up to and including `last`; encoded at most once."""

    def __init__(self, before: int, last: int, entries: Sequence[Entry]) -> None:
        self.before = before
        self.last = last
        self.entries = entries

    @cached_property
    def payload(self) -> bytes:
        """For the socket."""
        events = b",".join([entry.wire for entry in self.entries])
        return b'{"events":[%s],"cursor":"%s"}' % (events, encode(self.last).encode())

    @cached_property
    def frame(self) -> str:
        """For a socket that has no short way."""
        return self.payload.decode()

    @cached_property
    def wire(self) -> bytes:
        """The payload as the bytes of a WebSocket, the same object for everybody."""
        return text_frame(self.payload)

    @cached_property
    def lines(self) -> bytes:
        """For server-sent events; an empty chunk keeps the connection alive and moves the cursor on."""
        if not self.entries:
            return b": still here\nid: %s\n\n" % encode(self.last).encode()
        return b"".join(b"id: %s\ndata: %s\n\n" % (encode(e.seq).encode(), e.wire) for e in self.entries)


def cut(before: int, entries: Sequence[Entry], last: int) -> Iterator[Chunk]:
    """Entries in chunks of bounded size; the last chunk reaches to `last` even when filtered empty."""
    start, size = 0, 0
    for index, entry in enumerate(entries):
        full = size + len(entry.wire) > MAX_CHUNK_BYTES or index - start >= MAX_CHUNK_EVENTS
        if full and index > start:
            yield Chunk(before, entries[index - 1].seq, entries[start:index])
            before, start, size = entries[index - 1].seq, index, 0
        size += len(entry.wire)
    yield Chunk(before, last, entries[start:])


class Carried:
    """A follower of everything whose frames the hub writes itself, as long as its client keeps up."""

    def __init__(self, write: WriteFrame, place: int, quiet_s: float) -> None:
        """`quiet_s`: after how long without a frame it wants to be told."""
        self._loop = asyncio.get_running_loop()
        self._write = write
        self._quiet_s = quiet_s
        self._written_at = self._loop.time()
        self._over: asyncio.Future[bool] = self._loop.create_future()
        self._timer = self._loop.call_later(quiet_s, self._look_at_clock)
        self.place = place

    def offer(self, chunk: Chunk) -> None:
        if self.place != chunk.before or self._over.done() or not self._write(chunk.wire):
            self.stir()
            return
        self.place = chunk.last
        self._written_at = self._loop.time()

    def stir(self, quiet: bool = False) -> None:
        """It has to look for itself."""
        if not self._over.done():
            self._over.set_result(quiet)

    async def stirred(self) -> bool:
        """Until it lags behind (False), or was written nothing for too long (True)."""
        try:
            return await self._over
        finally:
            self._timer.cancel()

    def _look_at_clock(self) -> None:
        due = self._written_at + self._quiet_s
        if due <= self._loop.time():
            self.stir(quiet=True)
        else:
            # One timer for many frames: none is touched when a frame is written.
            self._timer = self._loop.call_at(due, self._look_at_clock)


class Hub:
    """Run `run()` in a task group; `close()` ends every follower."""

    def __init__(self, ring: Ring, *, max_followers: int) -> None:
        self._ring = ring
        self._max = max_followers
        self._followers = 0
        self._position = ring.last_seq
        self._rate = 0.0
        self._looked_at = 0.0
        self._chunks: OrderedDict[int, Chunk] = OrderedDict()
        self._awaited: dict[str, set[asyncio.Event]] = {}
        self._mailboxes: set[Mailbox] = set()
        self._carried: set[Carried] = set()
        self._news = asyncio.Event()
        self._somebody = asyncio.Event()
        self.closed = False

    @property
    def last_seq(self) -> int:
        return self._ring.last_seq

    @property
    def followers(self) -> int:
        return self._followers

    def close(self) -> None:
        """The server is stopping: nobody waits any longer."""
        self.closed = True
        self._wake_all()

    @contextmanager
    def joined(self) -> Iterator[None]:
        """Count one follower. Raises RateLimited above the limit, Unavailable while stopping."""
        if self.closed:
            raise Unavailable("Podium is stopping", hint="reconnect in a moment")
        if self._followers >= self._max:
            raise RateLimited(f"{self._max} clients follow already", hint="close some first")
        self._followers += 1
        self._somebody.set()
        try:
            yield
        finally:
            self._followers -= 1
            if self._followers == 0:
                self._somebody.clear()

    def after(self, cursor: int) -> Chunk | None:
        """What was looked at after `cursor`, empty when nothing was; None when it has left the ring.

        Never more than the last look found: who ran ahead of it would get chunks shared with nobody.
        """
        shared = self._chunks.get(cursor)
        if shared is not None:
            return shared
        entries = self._ring.since(cursor, MAX_CHUNK_EVENTS)
        if entries is None:
            return None
        while entries and entries[-1].seq > self._position:
            entries.pop()
        return next(cut(cursor, entries, entries[-1].seq if entries else cursor))

    async def news(self, cursor: int, timeout_s: float) -> bool:
        """Wait until there is something after `cursor` (True); False when time is up or all is over."""
        if self.closed or cursor < self._position:
            return not self.closed
        try:
            async with asyncio.timeout(timeout_s):
                await self._news.wait()
        except TimeoutError:
            return False
        return not self.closed

    async def carry(self, place: int, write: WriteFrame, quiet_s: float) -> tuple[int, bool]:
        """Write what comes after `place` until the client lags behind, nothing came for `quiet_s`, or all is
        over; returns how far it got, and whether that was because nothing came."""
        if self.closed or place < self._position:
            return place, False
        carried = Carried(write, place, quiet_s)
        self._carried.add(carried)
        try:
            quiet = await carried.stirred()
        finally:
            self._carried.discard(carried)
        return carried.place, quiet

    @contextmanager
    def listening(self, tasks: frozenset[str], runs: frozenset[str]) -> Iterator[Mailbox]:
        """A mailbox for what the agents of these tasks or runs are saying."""
        mailbox = Mailbox(tasks, runs)
        self._mailboxes.add(mailbox)
        try:
            yield mailbox
        finally:
            self._mailboxes.discard(mailbox)

    def hear(self, said: Partials) -> None:
        """A piece of text that is being said; for `Engine.on_partial`, on the loop."""
        if self._mailboxes:
            piece = piece_of(said)
            for mailbox in self._mailboxes:
                mailbox.offer(piece)

    async def news_or_piece(self, cursor: int, mailbox: Mailbox, timeout_s: float) -> bool:
        """As `news`, also when something has come into the mailbox."""
        if self.closed or cursor < self._position or mailbox:
            return not self.closed
        mailbox.stirred.clear()
        return await self.happens(mailbox.stirred, timeout_s) and not self.closed

    @contextmanager
    def awaiting(self, task_id: str) -> Iterator[asyncio.Event]:
        """An event that is set whenever something happens to that task; the waiter clears it."""
        waiter = asyncio.Event()
        waiters = self._awaited.setdefault(task_id, set())
        waiters.add(waiter)
        try:
            yield waiter
        finally:
            waiters.discard(waiter)
            if not waiters:
                self._awaited.pop(task_id, None)

    async def happens(self, waiter: asyncio.Event, timeout_s: float) -> bool:
        """Whether `waiter` was set in time."""
        try:
            async with asyncio.timeout(timeout_s):
                await waiter.wait()
        except TimeoutError:
            return False
        return True

    async def run(self) -> None:
        """Look at the ring after every commit while somebody follows. Until cancelled."""
        pause_s = 0.0
        while not self._ring.closed:
            if not self._somebody.is_set():
                await self._somebody.wait()
                # What came between their joining and this line nobody was told of: let them all look.
                self._position = self._ring.last_seq
                self._wake_all()
            if await self._ring.wait(self._position, IDLE_S):
                # The pause lies before a look that would come too soon, and is none after a quiet while.
                early_s = self._looked_at + pause_s - asyncio.get_running_loop().time()
                if early_s > 0:
                    await asyncio.sleep(early_s)
                pause_s = self._pause_s(self._look())

    # ---- inside ----------------------------------------------------------------------------------------

    def _look(self) -> int:
        entries = self._ring.since(self._position)
        if entries is None:
            # More than the whole ring in one pause: everybody goes on from the store.
            self._position = self._ring.last_seq
            self._wake_all()
            return 0
        before, self._position = self._position, entries[-1].seq
        for chunk in cut(before, entries, self._position):
            self._chunks[chunk.before] = chunk
            for carried in self._carried:
                carried.offer(chunk)
        while len(self._chunks) > KEPT_CHUNKS:
            self._chunks.popitem(last=False)
        for entry in entries:
            for waiter in self._awaited.get(entry.task_id or "", ()):
                waiter.set()
        self._wake()
        return len(entries)

    def _wake(self) -> None:
        news, self._news = self._news, asyncio.Event()
        news.set()
        for mailbox in self._mailboxes:
            mailbox.stirred.set()

    def _wake_all(self) -> None:
        self._wake()
        for carried in self._carried:
            carried.stir()
        for waiters in self._awaited.values():
            for waiter in waiters:
                waiter.set()

    def _pause_s(self, count: int) -> float:
        now = asyncio.get_running_loop().time()
        passed = max(now - self._looked_at, MIN_TICK_S)
        self._looked_at = now
        # A second of memory: a burst stretches the tick, silence lets it shrink again.
        weight = min(1.0, passed)
        self._rate += (count / passed - self._rate) * weight
        frames = self._followers * min(self._rate, 1 / MIN_TICK_S)
        return min(MAX_TICK_S, max(MIN_TICK_S, MIN_TICK_S * frames * FRAME_S / SHARE))
