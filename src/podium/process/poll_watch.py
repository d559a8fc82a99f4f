"""The watch for platforms without inotify: looks at sizes, a few times a second."""

from __future__ import annotations

import os
from pathlib import Path

import anyio

POLL_S = 0.25

Snapshot = frozenset[tuple[str, int, int]]


class PollWatch:
    """`Watch` by looking every `poll_s` seconds. Correct everywhere, fast nowhere."""

    def __init__(self, poll_s: float = POLL_S) -> None:
        self._poll_s = poll_s
        self._seen: dict[Path, Snapshot | None] = {}

    def add(self, directory: Path) -> None:
        """Raises NotADirectoryError or FileNotFoundError."""
        if directory not in self._seen:
            os.scandir(directory).close()
            self._seen[directory] = _snapshot(directory)

    def remove(self, directory: Path) -> None:
        self._seen.pop(directory, None)

    async def changed(self) -> frozenset[Path]:
        while True:
            found = self._look()
            if found:
                return found
            await anyio.sleep(self._poll_s)

    def close(self) -> None:
        self._seen.clear()

    def _look(self) -> frozenset[Path]:
        found = set()
        for directory, before in list(self._seen.items()):
            now = _snapshot(directory)
            if now != before:
                found.add(directory)
                self._seen[directory] = now
            if now is None:
                del self._seen[directory]
        return frozenset(found)


def _snapshot(directory: Path) -> Snapshot | None:
    """Names, sizes and times; None when the directory is gone."""
    try:
        with os.scandir(directory) as entries:
            return frozenset(
                (entry.name, status.st_size, status.st_mtime_ns)
                for entry in entries
                if (status := _status(entry)) is not None
            )
    except FileNotFoundError:
        return None


def _status(entry: os.DirEntry[str]) -> os.stat_result | None:
    try:
        return entry.stat(follow_symlinks=False)
    except FileNotFoundError:
        return None
