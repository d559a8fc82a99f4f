"""Which run directories changed: one inotify instance for a whole worker, directories only."""

from __future__ import annotations

import asyncio
import ctypes
import errno
import os
import struct
import sys
from pathlib import Path

from podium.kernel.errors import Unavailable
from podium.process.base import Watch
from podium.process.poll_watch import PollWatch

MAX_READ = 32 * 1024
"""More stays in the queue for the next read. A buffer of 256 KiB was mapped and unmapped for every line."""
_MODIFY, _MOVED_TO, _CREATE, _DELETE_SELF = 0x002, 0x080, 0x100, 0x400
_OVERFLOW, _IGNORED, _ONLYDIR = 0x4000, 0x8000, 0x01000000
_MASK = _MODIFY | _MOVED_TO | _CREATE | _DELETE_SELF | _ONLYDIR
_HEADER = struct.Struct("iIII")
"""struct inotify_event: watch, mask, cookie, length of the name that follows."""


def directory_watch() -> Watch:
    """The best watch for this platform. Call it with a running event loop."""
    return DirectoryWatch() if sys.platform == "linux" else PollWatch()


class DirectoryWatch:
    """`Watch` on inotify. The names in events are skipped: a reader looks at its spools anyway.

    The descriptor is read here and not by a library, which builds an object and a path per event; and only
    in `changed`: while nobody asks, what happens gathers in the kernel and wakes nobody (measured: with 200
    talking agents the wake-ups alone were a tenth of the daemon's work).
    """

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._libc = ctypes.CDLL(None, use_errno=True)
        self._file = self._libc.inotify_init1(os.O_NONBLOCK | os.O_CLOEXEC)
        if self._file < 0:
            raise Unavailable(
                "no inotify instance is free for this user", hint="raise fs.inotify.max_user_instances"
            )
        self._paths: dict[int, Path] = {}
        self._numbers: dict[Path, int] = {}
        self._pending: set[Path] = set()
        self._wake = asyncio.Event()

    def add(self, directory: Path) -> None:
        """Raises NotADirectoryError, FileNotFoundError, or Unavailable when no watch is left."""
        if directory in self._numbers:
            self._read()  # that it was deleted since may still stand in the queue
        if directory in self._numbers:
            return
        number = self._libc.inotify_add_watch(self._file, os.fsencode(directory), _MASK)
        if number < 0:
            code = ctypes.get_errno()
            if code == errno.ENOSPC:
                raise Unavailable(
                    "no inotify watch is free for this user", hint="raise fs.inotify.max_user_watches"
                )
            raise OSError(code, os.strerror(code), str(directory))
        self._numbers[directory] = number
        self._paths[number] = directory

    def remove(self, directory: Path) -> None:
        number = self._numbers.pop(directory, None)
        self._pending.discard(directory)
        if number is not None:
            del self._paths[number]
            self._libc.inotify_rm_watch(self._file, number)

    async def changed(self) -> frozenset[Path]:
        self._read()
        while not self._pending:
            await self._readable()
            self._read()
        found = frozenset(self._pending)
        self._pending.clear()
        return found

    def close(self) -> None:
        if self._file >= 0:
            self._loop.remove_reader(self._file)
            os.close(self._file)
            self._file = -1

    async def _readable(self) -> None:
        self._wake.clear()
        self._loop.add_reader(self._file, self._wake.set)
        try:
            await self._wake.wait()
        finally:
            if self._file >= 0:
                self._loop.remove_reader(self._file)

    def _read(self) -> None:
        try:
            data = os.read(self._file, MAX_READ)
        except BlockingIOError:
            return
        at = 0
        while at < len(data):
            number, mask, _, length = _HEADER.unpack_from(data, at)
            at += _HEADER.size + length
            if mask & _OVERFLOW:
                # Events were lost, so nobody knows whose: everybody looks.
                self._pending.update(self._numbers)
                continue
            path = self._paths.get(number)
            if path is None:
                continue
            self._pending.add(path)
            if mask & _IGNORED:
                # The directory is gone from disk and its number with it.
                del self._paths[number], self._numbers[path]
