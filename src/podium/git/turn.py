"""One at a time per directory: between tasks of this process and between processes of this machine."""

from __future__ import annotations

import asyncio
import fcntl
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from weakref import WeakValueDictionary

from podium.kernel.errors import Unavailable

FIRST_PAUSE_S = 0.01
LONGEST_PAUSE_S = 0.25


class _Line:
    """Who waits for one directory in this process."""

    def __init__(self) -> None:
        self.lock = asyncio.Lock()
        self.started = 0
        """How often the work was begun."""
        self.finished = 0
        """The number of the last begun work that ended well."""


_lines: WeakValueDictionary[tuple[int, str], _Line] = WeakValueDictionary()


class Turn:
    """What the holder of a turn knows."""

    def __init__(self, line: _Line, asked_after: int) -> None:
        self._line = line
        self._asked_after = asked_after

    @property
    def already_done(self) -> bool:
        """True when somebody began the same work after this turn was asked for, and finished it: whoever
        waits meanwhile is served by one more round, not by one round each."""
        return self._line.finished > self._asked_after

    def begin(self) -> int:
        """Call before the work; hand the number to `finish` after it went well."""
        self._line.started += 1
        return self._line.started

    def finish(self, number: int) -> None:
        """The work begun under this number went well."""
        self._line.finished = number


@asynccontextmanager
async def turn(directory: Path, *, timeout_s: float) -> AsyncIterator[Turn]:
    """Hold the directory's turn. Raises Unavailable when another process keeps it longer than `timeout_s`."""
    loop = asyncio.get_running_loop()
    key = (id(loop), str(directory))
    line = _lines.get(key)
    if line is None:
        line = _lines[key] = _Line()
    asked_after = line.started
    async with line.lock:
        handle = os.open(directory / "podium.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            await _flock(handle, directory, loop.time() + timeout_s)
            yield Turn(line, asked_after)
        finally:
            os.close(handle)


async def _flock(handle: int, directory: Path, deadline: float) -> None:
    """Take the file lock. A blocking flock in a thread could not be cancelled and would outlive its caller
    while it waits, so this asks again, ever more slowly; another process here is the exception."""
    loop = asyncio.get_running_loop()
    pause_s = FIRST_PAUSE_S
    while True:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return
        except BlockingIOError:
            if loop.time() >= deadline:
                raise Unavailable(
                    f"Another process is using {directory}.", hint="Stop it, or wait until it is done."
                ) from None
        await asyncio.sleep(pause_s)
        pause_s = min(pause_s * 2, LONGEST_PAUSE_S)
