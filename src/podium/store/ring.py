"""The newest events, encoded once and shared by every client that follows the log.

Filled only after a commit, read only on the event loop. A client keeps nothing but its cursor (the last
sequence number it has seen); one that falls out of the ring reads the store instead.
"""

from __future__ import annotations

import asyncio
from bisect import bisect_right
from collections import deque
from collections.abc import Callable, Sequence
from typing import NamedTuple


class Entry(NamedTuple):
    """One committed event: `wire` is its JSON as every client gets it."""

    seq: int
    task_id: str | None
    run_id: str | None
    type: str
    wire: bytes


MAX_ENTRIES = 20_000
MAX_BYTES = 4 * 1024 * 1024


class Ring:
    """Bounded by count and bytes; the oldest entries leave first."""

    def __init__(self, *, last_seq: int, max_entries: int = MAX_ENTRIES, max_bytes: int = MAX_BYTES) -> None:
        self._entries: deque[Entry] = deque()
        self._bytes = 0
        self._max_entries = max_entries
        self._max_bytes = max_bytes
        self._last = last_seq
        self._oldest = last_seq
        self._waiters: set[asyncio.Future[None]] = set()
        self._watched: frozenset[str] = frozenset()
        self._tell: Callable[[], None] | None = None
        self.closed = False

    @property
    def last_seq(self) -> int:
        """The newest committed event."""
        return self._last

    def publish(self, entries: Sequence[Entry]) -> None:
        """Add committed events, in order, and wake everybody who waits."""
        if not entries:
            return
        if self._tell is not None and not self._watched.isdisjoint(entry.type for entry in entries):
            self._tell()
        self._entries.extend(entries)
        self._bytes += sum(len(entry.wire) for entry in entries)
        self._last = entries[-1].seq
        while len(self._entries) > self._max_entries or self._bytes > self._max_bytes:
            gone = self._entries.popleft()
            self._bytes -= len(gone.wire)
            self._oldest = gone.seq
        self._wake()

    def drop_after(self, seq: int) -> None:
        """Forget entries after `seq`: a database that crashed has lost them. Their numbers are not used
        again; who had seen them sees the same output once more under new ones."""
        while self._entries and self._entries[-1].seq > seq:
            self._bytes -= len(self._entries.pop().wire)

    def since(self, seq: int, limit: int = 5_000) -> list[Entry] | None:
        """At most `limit` entries after `seq`; None when some of them have already left the ring."""
        if seq < self._oldest:
            return None
        if seq >= self._last:
            return []
        missing = len(self._entries)
        if self._entries and seq >= self._entries[0].seq:
            # Sequence numbers are contiguous except at a start after a machine crash: try the direct index.
            guess = seq - self._entries[0].seq + 1
            if guess < missing and self._entries[guess - 1].seq == seq:
                return [self._entries[i] for i in range(guess, min(guess + limit, missing))]
            start = bisect_right([entry.seq for entry in self._entries], seq)
        else:
            start = 0
        return [self._entries[i] for i in range(start, min(start + limit, missing))]

    async def wait(self, seq: int, timeout_s: float) -> bool:
        """Until there is something after `seq` (True), the time is up or the ring is closed (False)."""
        if seq < self._last:
            return True
        if self.closed:
            return False
        waiter: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiters.add(waiter)
        try:
            async with asyncio.timeout(timeout_s):
                await waiter
        except TimeoutError:
            return False
        finally:
            self._waiters.discard(waiter)
        return seq < self._last

    def watch(self, types: frozenset[str], tell: Callable[[], None]) -> None:
        """Call `tell`, on the loop and before anybody else hears of it, when such events were committed. One
        watcher; the next call replaces it."""
        self._watched, self._tell = types, tell

    def close(self) -> None:
        """Let every follower go: the server is stopping."""
        self.closed = True
        self._wake()

    def _wake(self) -> None:
        for waiter in self._waiters:
            if not waiter.done():
                waiter.set_result(None)
        self._waiters.clear()
