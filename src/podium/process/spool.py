"""Reading an output spool: whole frames by byte offset, in bounded memory, whatever the agent prints."""

from __future__ import annotations

import os
from pathlib import Path

from podium.process.base import Batch, Frame

FIRST_PIECE, PIECE = 8 * 1024, 256 * 1024
"""An ordinary look finds a line or two: room for more costs more than reading them."""
MAX_LINE = 8 * 1024 * 1024
MAX_FRAMES = 2000
MAX_BATCH_BYTES = 1024 * 1024
"""Read per call at most; one line that began in earlier calls may add `max_line`."""


class SpoolReader:
    """Delivers every frame of one spool from `offset` on, once, in order. Blocking, for one thread.

    Its state is its position: a new reader at `Frame.end` of the last journalled frame goes on exactly
    there. Memory: the batch plus one line, never the backlog. A line longer than `max_line` becomes one
    truncated frame that holds its first `max_line` bytes.
    """

    def __init__(
        self,
        path: Path,
        offset: int = 0,
        *,
        max_line: int = MAX_LINE,
        max_frames: int = MAX_FRAMES,
        max_bytes: int = MAX_BATCH_BYTES,
    ) -> None:
        self._path = path
        self._max_line = max_line
        self._max_frames = max_frames
        self._max_bytes = max_bytes
        self._file = -1
        self._frame_at = offset
        self._read_at = offset
        self._unsplit = b""
        """Read, but not yet looked through, because a batch was full."""
        self._head = bytearray()
        """What is kept of the line begun at `_frame_at`; the line itself may be longer."""
        self._length = 0
        self._cut = False

    @property
    def offset(self) -> int:
        """Where the next frame starts."""
        return self._frame_at

    @property
    def read_to(self) -> int:
        """How far the file has been read: all there is of it, unless the last batch had `more`."""
        return self._read_at

    def read(self, *, final: bool = False) -> Batch:
        """Everything new, up to the limits of one batch; call again while `more`.

        `final` says that the writer is gone (read `exit` first, then this): the bytes after the last
        newline are then delivered as a truncated frame. A missing spool is an empty one. Once `cut`,
        always cut: no frame follows. Raises OSError when the disk fails.
        """
        frames: list[Frame] = []
        if not self._open():
            return Batch(frames=(), more=False)
        room, wanted, at_end = self._max_bytes, FIRST_PIECE, False
        while len(frames) < self._max_frames and room > 0 and not (at_end or self._cut):
            piece, self._unsplit = self._unsplit, b""
            if not piece:
                wanted = min(wanted, room)
                piece = os.pread(self._file, wanted, self._read_at)
                # What is written from now on is told of by itself.
                at_end = len(piece) < wanted
                if not piece:
                    self._cut = os.fstat(self._file).st_size < self._read_at
                self._read_at += len(piece)
                room -= len(piece)
                wanted = PIECE
            self._split(piece, frames)
        if self._cut:
            return Batch(frames=(), more=False, cut=True)
        at_end = at_end and not self._unsplit
        if final and at_end and self._length and len(frames) < self._max_frames:
            frames.append(self._finish(newline=0, torn=True))
        return Batch(frames=tuple(frames), more=not at_end or (final and self._length > 0))

    def close(self) -> None:
        """Give the descriptor back; reading again opens it again."""
        if self._file >= 0:
            os.close(self._file)
            self._file = -1

    def __enter__(self) -> SpoolReader:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _open(self) -> bool:
        if self._file < 0:
            try:
                self._file = os.open(self._path, os.O_RDONLY | os.O_CLOEXEC)
            except FileNotFoundError:
                return False
        return True

    def _split(self, piece: bytes, frames: list[Frame]) -> None:
        lines = piece.split(b"\n", self._max_frames - len(frames))
        rest = lines.pop()
        if lines:
            self._grow(lines[0])
            frames.append(self._finish(newline=1, torn=False))
            # The ordinary case, made cheap: lines that lie whole within one piece.
            at = self._frame_at
            for line in lines[1:]:
                end = at + len(line) + 1
                long = len(line) > self._max_line
                data = line[: self._max_line] if long else line
                frames.append(Frame(offset=at, end=end, data=data, truncated=long))
                at = end
            self._frame_at = at
        if len(frames) >= self._max_frames:
            self._unsplit = rest
        else:
            self._grow(rest)

    def _grow(self, part: bytes) -> None:
        room = self._max_line - len(self._head)
        if room > 0:
            self._head += part[:room]
        self._length += len(part)

    def _finish(self, *, newline: int, torn: bool) -> Frame:
        end = self._frame_at + self._length + newline
        frame = Frame(
            offset=self._frame_at,
            end=end,
            data=bytes(self._head),
            truncated=torn or self._length > self._max_line,
        )
        self._frame_at = end
        self._head = bytearray()
        self._length = 0
        return frame


def read_tail(path: Path, limit_bytes: int = 64 * 1024) -> bytes:
    """The last bytes of a spool, for people (`err` of a failed run); empty when it is missing."""
    try:
        with path.open("rb") as file:
            file.seek(max(0, os.fstat(file.fileno()).st_size - limit_bytes))
            return file.read(limit_bytes)
    except FileNotFoundError:
        return b""
