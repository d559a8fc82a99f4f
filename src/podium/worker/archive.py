"""The raw output of a run: compressed piece by piece as it is consumed, kept as one artifact at the end.

Only what has been compressed is punched out of the spool, so the bytes exist at every moment in one place
or the other. Pieces are files named after the range they hold; a restart goes on behind the last one.
"""

from __future__ import annotations

import gzip
import os
import re
import shutil
from pathlib import Path

from podium.process.space import punch

PIECE_BYTES = 4 * 1024 * 1024
_PIECE = re.compile(r"out-(\d{16})-(\d{16})\.gz\Z")


class OutputArchive:
    """Of one run's directory. Every method may block: call it in a thread."""

    def __init__(self, spool: Path, folder: Path) -> None:
        self._spool = spool
        self._folder = folder

    def saved_to(self) -> int:
        """Up to which offset the output is compressed already."""
        ends = [int(found.group(2)) for path in self._folder.iterdir() if (found := _PIECE.match(path.name))]
        return max(ends, default=0)

    def save(self, upto: int) -> int:
        """Compress what was consumed before `upto` and free its blocks; returns how far that went."""
        start = self.saved_to()
        while start < upto:
            start = self._save_piece(start, min(start + PIECE_BYTES, upto))
        punch(self._spool, start)
        return start

    def finish(self) -> Path | None:
        """Everything as one gzip file; None when the agent wrote nothing. Repeatable."""
        try:
            size = self._spool.stat().st_size
        except FileNotFoundError:
            return None
        self.save(size)
        pieces = sorted(path for path in self._folder.iterdir() if _PIECE.match(path.name))
        if not pieces:
            return None
        whole = self._folder / "output.gz"
        with whole.open("wb") as target:
            for piece in pieces:
                with piece.open("rb") as source:
                    shutil.copyfileobj(source, target)  # gzip members in a row are one gzip file
        return whole

    def _save_piece(self, start: int, end: int) -> int:
        with self._spool.open("rb") as spool:
            data = os.pread(spool.fileno(), end - start, start)
        end = start + len(data)
        if not data:
            return end
        piece = self._folder / f"out-{start:016d}-{end:016d}.gz"
        part = piece.with_suffix(".part")
        # No time stamp: the same output gives the same artifact.
        part.write_bytes(gzip.compress(data, compresslevel=3, mtime=0))
        os.replace(part, piece)
        return end
