"""Wakes a run's follower when something in its directory changes. One watch for the whole worker."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from podium.process.base import Watch


class Watching:
    def __init__(self, watch: Watch) -> None:
        self._watch = watch
        self._news: dict[Path, asyncio.Event] = {}

    async def run(self) -> None:
        """Pass changes on until cancelled."""
        while True:
            for directory in await self._watch.changed():
                news = self._news.get(directory)
                if news is not None:
                    news.set()

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
