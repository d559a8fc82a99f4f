"""Wakes a run's follower when something in its directory changes. One watch for the whole worker.

Between two looks there is a pause that grows with how much happens: what came meanwhile is read, reported and
committed together. A commit and its wake-ups cost about 0.3 ms, each further line in it a tenth of that
(measured); a few agents wait for nothing, 200 that say ten lines a second 1 ms, 500 of them 16 ms.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from podium.process.base import Watch

MIN_PAUSE_S, MAX_PAUSE_S = 0.0005, 0.020
"""Shorter is no pause: the loop's timers end at whole milliseconds, and each is a wake-up of its own."""
PAUSE_S = 0.001
AT_CHANGES_PER_S = 2_000.0
MEMORY_S = 1.0


class Watching:
    def __init__(self, watch: Watch) -> None:
        self._watch = watch
        self._news: dict[Path, asyncio.Event] = {}
        self._rate = 0.0
        self._looked_at = 0.0

    async def run(self) -> None:
        """Pass changes on until cancelled."""
        while True:
            changed = await self._watch.changed()
            for directory in changed:
                news = self._news.get(directory)
                if news is not None:
                    news.set()
            pause_s = self._pause_s(len(changed), asyncio.get_running_loop().time())
            if pause_s > MIN_PAUSE_S:
                await asyncio.sleep(pause_s)

    @contextmanager
    def watched(self, directory: Path, news: asyncio.Event) -> Iterator[None]:
        """Set `news` at every change below. What happened before is not told: read first, then wait."""
        self._news[directory] = news
        self._watch.add(directory)
        try:
            yield
        finally:
            self._watch.remove(directory)
            del self._news[directory]

    def close(self) -> None:
        self._watch.close()

    def _pause_s(self, changes: int, now: float) -> float:
        """With the cube of the rate: 200 agents have a budget of lateness, 500 one of processor time."""
        passed, self._looked_at = max(now - self._looked_at, 1e-4), now
        # A burst after silence is not a rate: it is spread over the time that the memory reaches back.
        self._rate += (changes / passed - self._rate) * min(1.0, passed / MEMORY_S)
        return min(MAX_PAUSE_S, PAUSE_S * (self._rate / AT_CHANGES_PER_S) ** 3)
