"""From the input spool to the agent's stdin: cuts lines, obeys order, never holds the data in memory.

Part of the holder, so standard library only. What waits for a slow agent is kept as byte ranges of the
spool and read again when the pipe has room: a line of 64 MiB costs the holder one piece of memory, and
control lines behind it are still seen at once.
"""

from __future__ import annotations

import os

from podium.process import layout

PIECE = 64 * 1024
MAX_CONTROL_LINE = 16
PUMP_LIMIT = 4 * 1024 * 1024
"""Bytes written per call at most, so that a fast reader of a long backlog cannot delay a kill."""


class Relay:
    """Owns the write end of the agent's stdin (non-blocking) and the position in the spool."""

    __slots__ = ("_closing", "_head", "_last", "_line_at", "_read_at", "_spool", "_stdin", "_waiting")

    def __init__(self, spool: int, stdin: int) -> None:
        self._spool = spool
        self._stdin = stdin
        self._read_at = 0
        self._line_at = 0
        self._head = b""
        self._last = b""
        self._waiting: list[list[int]] = []
        self._closing = False

    @property
    def stdin(self) -> int:
        """The descriptor to wait on for writing; -1 once closed."""
        return self._stdin if self._waiting else -1

    def scan(self) -> list[bytes]:
        """Read everything new and return the signal and kill lines found, in order."""
        controls: list[bytes] = []
        while piece := os.pread(self._spool, PIECE, self._read_at):
            start = 0
            while (end := piece.find(b"\n", start)) >= 0:
                self._keep_edges(piece, start, end)
                self._finish_line(self._read_at + end + 1, controls)
                start = end + 1
            self._keep_edges(piece, start, len(piece))
            self._read_at += len(piece)
        return controls

    def _keep_edges(self, piece: bytes, start: int, end: int) -> None:
        # The first bytes tell a control line, the last one a cancelled line; the middle is never kept.
        if end > start:
            if len(self._head) <= MAX_CONTROL_LINE:
                self._head += piece[start : min(end, start + MAX_CONTROL_LINE + 1)]
            self._last = piece[end - 1 : end]

    def _finish_line(self, end: int, controls: list[bytes]) -> None:
        head, last, start = self._head, self._last, self._line_at
        self._head, self._last, self._line_at = b"", b"", end
        if last == layout.CANCEL:
            return
        if head and head[0] < layout.FIRST_DATA_BYTE:
            if len(head) <= MAX_CONTROL_LINE:
                if head == layout.CLOSE:
                    self._closing = True
                else:
                    controls.append(head)
            return
        if self._closing or self._stdin < 0:
            return
        if self._waiting and self._waiting[-1][1] == start:
            self._waiting[-1][1] = end
        else:
            self._waiting.append([start, end])

    def pump(self) -> None:
        """Write what the pipe takes; close it when a close line was reached or the agent hung up."""
        if self._stdin < 0:
            return
        room = PUMP_LIMIT
        try:
            while self._waiting and room > 0:
                span = self._waiting[0]
                written = os.write(self._stdin, os.pread(self._spool, min(PIECE, span[1] - span[0]), span[0]))
                span[0] += written
                room -= written
                if span[0] == span[1]:
                    del self._waiting[0]
                elif not written:
                    # The spool was cut below what it once held: these bytes are gone, the agent goes on.
                    del self._waiting[0]
        except BlockingIOError:
            return
        except BrokenPipeError:
            self._close()
            return
        if self._closing and not self._waiting:
            self._close()

    def _close(self) -> None:
        os.close(self._stdin)
        self._stdin = -1
        self._waiting.clear()
