"""What a run writes: compressed piece by piece as it is consumed, kept as one artifact at the end.

Only what has been compressed is punched out of the spool, so the bytes exist at every moment in one place
or the other. Pieces are files named after the range they hold; a restart goes on behind the last one.
"""

from __future__ import annotations

import gzip
import os
import re
import shutil
from pathlib import Path

from podium.kernel.pieces import PIECE_BYTES, pack
from podium.process.space import punch


class OutputArchive:
    """Of one spool (`out` or `err`) of a run. Every method may block: call it in a thread."""

    def __init__(self, spool: Path, folder: Path) -> None:
        self._spool = spool
        self._folder = folder
        self._piece = re.compile(rf"{spool.name}-(\d{{16}})-(\d{{16}})\.gz\Z")

    def saved_to(self) -> int:
        """Up to which offset the output is compressed already."""
        return max((end for _, end, _ in self._pieces()), default=0)

    def read(self, offset: int, limit: int) -> tuple[bytes, int]:
        """(bytes from `offset`, size of the output), wherever they are now; fewer than `limit` at the seam of
        two pieces. Raises FileNotFoundError when there is no output (yet)."""
        with self._spool.open("rb") as file:
            size = file.seek(0, os.SEEK_END)
            data = os.pread(file.fileno(), limit, offset)
        # Asked only now: what was not compressed before we read cannot have been punched out under us.
        for start, end, piece in self._pieces() if data else ():
            if start <= offset < end:
                return gzip.decompress(piece.read_bytes())[offset - start :][:limit], size
        return data, size

    def save(self, upto: int) -> int:
        """Compress what was consumed before `upto` and free its blocks; returns how far that went."""
        start = self.saved_to()
        while start < upto:
            start = self._save_piece(start, min(start + PIECE_BYTES, upto))
        punch(self._spool, start)
        return start

    def finish(self) -> tuple[Path, int]:
        """Everything as one gzip file, and how long it is unpacked; an empty one too. Repeatable."""
        size = self._spool.stat().st_size if self._spool.exists() else 0
        self.save(size)
        whole = self._folder / f"{self._spool.name}.whole.gz"
        with whole.open("wb") as target:
            if not size:
                target.write(pack(b""))
            for _, _, piece in self._pieces():
                with piece.open("rb") as source:
                    shutil.copyfileobj(source, target)  # gzip members in a row are one gzip file
        return whole, size

    def _pieces(self) -> list[tuple[int, int, Path]]:
        """(first byte, byte after the last, file) of each, in order."""
        found = ((self._piece.match(path.name), path) for path in self._folder.iterdir())
        return sorted((int(name.group(1)), int(name.group(2)), path) for name, path in found if name)

    def _save_piece(self, start: int, end: int) -> int:
        with self._spool.open("rb") as spool:
            data = os.pread(spool.fileno(), end - start, start)
        end = start + len(data)
        if not data:
            return end
        piece = self._folder / f"{self._spool.name}-{start:016d}-{end:016d}.gz"
        part = piece.with_suffix(".part")
        part.write_bytes(pack(data))
        os.replace(part, piece)
        return end
