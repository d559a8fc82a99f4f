"""Looks after the lines of all agents of a worker: one watch, a round of reading, a message to the server.

Between two looks there is a pause that grows with how much happens: what came meanwhile is read, reported and
committed together. A commit and its wake-ups cost about 0.3 ms, each further line in it a tenth of that
(measured); a few agents wait for nothing, 200 that say ten lines a second 1 ms, 500 of them 16 ms.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Protocol

from podium.bus.messages import Receipt, RunReport
from podium.process.base import Watch
from podium.worker.report import MESSAGE_BYTES

MIN_PAUSE_S, MAX_PAUSE_S = 0.0005, 0.020
"""Shorter is no pause: the loop's timers end at whole milliseconds, and each is a wake-up of its own."""
PAUSE_S = 0.001
AT_CHANGES_PER_S = 2_000.0
MEMORY_S = 1.0

Send = Callable[[Sequence[RunReport]], Awaitable[tuple[Receipt, ...]]]


class Follows(Protocol):
    """Who follows a run. Neither call may raise."""

    def look(self) -> RunReport | None:
        """Something has changed: what there is to report, if that is all there is to do."""
        ...

    def reported(self, receipt: Receipt) -> None:
        """What became of it."""
        ...


class Watching:
    def __init__(self, watch: Watch) -> None:
        self._watch = watch
        self._followers: dict[Path, Follows] = {}
        self._rate = 0.0
        self._looked_at = 0.0

    async def run(self, send: Send) -> None:
        """One round after another until cancelled. While the server is away `send` waits, and nothing is
        read: the output stays where it is."""
        while True:
            changed = await self._watch.changed()
            await self._round([one for path in changed if (one := self._followers.get(path))], send)
            pause_s = self._pause_s(len(changed), asyncio.get_running_loop().time())
            if pause_s > MIN_PAUSE_S:
                await asyncio.sleep(pause_s)

    async def _round(self, followers: Iterable[Follows], send: Send) -> None:
        told: list[tuple[Follows, RunReport]] = []
        size = 0
        for follower in followers:
            report = follower.look()
            if report is not None:
                told.append((follower, report))
                size += report.offset - report.from_offset
            if size >= MESSAGE_BYTES:
                await _report(told, send)
                told, size = [], 0
        if told:
            await _report(told, send)

    @contextmanager
    def watched(self, directory: Path, follower: Follows) -> Iterator[None]:
        """Have `follower` look at every change below. What happened before is not told: read first."""
        self._followers[directory] = follower
        self._watch.add(directory)
        try:
            yield
        finally:
            self._watch.remove(directory)
            del self._followers[directory]

    def close(self) -> None:
        self._watch.close()

    def _pause_s(self, changes: int, now: float) -> float:
        """With the cube of the rate: 200 agents have a budget of lateness, 500 one of processor time."""
        passed, self._looked_at = max(now - self._looked_at, 1e-4), now
        # A burst after silence is not a rate: it is spread over the time that the memory reaches back.
        self._rate += (changes / passed - self._rate) * min(1.0, passed / MEMORY_S)
        return min(MAX_PAUSE_S, PAUSE_S * (self._rate / AT_CHANGES_PER_S) ** 3)


async def _report(told: Sequence[tuple[Follows, RunReport]], send: Send) -> None:
    receipts = await send([report for _, report in told])
    for (follower, _), receipt in zip(told, receipts, strict=True):
        follower.reported(receipt)
