"""Content-addressed blobs on disk: `artifacts/ab/<sha256>`. Streamed in, verified, renamed into place.

A blob exists completely or not at all; the same content twice is one file. Rows about artifacts are
written afterwards, so a row never points at nothing.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from tempfile import NamedTemporaryFile
from typing import IO, Any

import anyio.to_thread

from podium.kernel.errors import InvalidRequest, NotFound, StorageFull, TooLarge
from podium.kernel.ids import ArtifactId, parse_id

MAX_ARTIFACT_BYTES = 2 * 1024**3
PIECE_BYTES = 1024 * 1024


class Artifacts:
    def __init__(self, root: Path) -> None:
        self._root = root
        self._incoming = root / "incoming"

    def open(self) -> None:
        """Make the directories; drop what an earlier process left half-written."""
        self._incoming.mkdir(parents=True, exist_ok=True, mode=0o700)
        for leftover in self._incoming.iterdir():
            leftover.unlink(missing_ok=True)

    def path(self, artifact_id: str) -> Path:
        """Where the blob is. Raises NotFound when it is not there."""
        digest = parse_id("artifact", artifact_id).removeprefix("artifact_")
        path = self._root / digest[:2] / digest
        if not path.is_file():
            raise NotFound(f"the bytes of {artifact_id} are not here")
        return path

    async def write(
        self,
        pieces: AsyncIterator[bytes],
        *,
        expect: str | None = None,
        limit_bytes: int = MAX_ARTIFACT_BYTES,
    ) -> tuple[ArtifactId, int]:
        """Store a stream; returns its id and size once the bytes are safe on disk.

        Raises InvalidRequest when `expect` (an artifact id) does not match the content, TooLarge, or
        StorageFull. Nothing is left behind on any error or cancellation.
        """
        digest, size = hashlib.sha256(), 0
        try:
            with NamedTemporaryFile(dir=self._incoming, delete=False) as file:
                try:
                    async for piece in pieces:
                        size += len(piece)
                        if size > limit_bytes:
                            raise TooLarge(f"an artifact may have {limit_bytes} bytes")
                        digest.update(piece)
                        await anyio.to_thread.run_sync(file.write, piece)
                    artifact_id = ArtifactId(f"artifact_{digest.hexdigest()}")
                    if expect is not None and expect != artifact_id:
                        raise InvalidRequest("the bytes do not match the artifact id", got=artifact_id)
                    await anyio.to_thread.run_sync(self._settle, file, artifact_id)
                except BaseException:
                    with contextlib.suppress(FileNotFoundError):
                        os.unlink(file.name)
                    raise
        except OSError as error:
            raise StorageFull(f"the artifact could not be written: {error.strerror}") from error
        return artifact_id, size

    def read(self, artifact_id: str, start: int = 0) -> Iterator[bytes]:
        """The blob in pieces, from `start`."""
        with self.path(artifact_id).open("rb") as file:
            file.seek(start)
            while piece := file.read(PIECE_BYTES):
                yield piece

    def verify(self, artifact_id: str) -> bool:
        """Whether the bytes on disk still are what the id says."""
        digest = hashlib.sha256()
        for piece in self.read(artifact_id):
            digest.update(piece)
        return artifact_id == f"artifact_{digest.hexdigest()}"

    def remove(self, artifact_id: str) -> None:
        digest = parse_id("artifact", artifact_id).removeprefix("artifact_")
        (self._root / digest[:2] / digest).unlink(missing_ok=True)

    def everything(self) -> Iterator[Path]:
        """Every stored blob."""
        for folder in sorted(self._root.iterdir()):
            if folder.is_dir() and folder != self._incoming:
                yield from sorted(folder.iterdir())

    def _settle(self, file: IO[Any], artifact_id: str) -> None:
        file.flush()
        os.fsync(file.fileno())
        digest = artifact_id.removeprefix("artifact_")
        folder = self._root / digest[:2]
        folder.mkdir(exist_ok=True, mode=0o700)
        os.replace(file.name, folder / digest)
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)  # the rename itself must survive, a row is about to point here
        finally:
            os.close(handle)
