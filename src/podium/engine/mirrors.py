"""The server's own mirrors: bundles are imported here, checked by fsck; finished diffs come from here."""

from __future__ import annotations

import hashlib
import logging
from pathlib import Path

from msgspec import Struct

from podium.bus.messages import Captured
from podium.git import bundle, mirror
from podium.git.base import ChangedFile, Diff, MissingPrerequisite
from podium.git.command import Git
from podium.kernel.errors import PodiumError
from podium.kernel.ids import RunId

log = logging.getLogger("podium.mirrors")


class Imported(Struct, frozen=True, kw_only=True):
    files: int
    additions: int
    deletions: int


class ServerMirrors:
    """`root` holds one bare repository for each source, named by its hash."""

    def __init__(self, git: Git, root: Path) -> None:
        self._git = git
        self._root = root

    def path(self, repository: str) -> Path:
        return self._root / f"{hashlib.sha256(repository.encode()).hexdigest()[:32]}.git"

    async def warm(self, repository: str) -> None:
        """Fetch while the agent works, so that the import at its end finds its base. Best effort."""
        try:
            await mirror.ensure(self._git, self.path(repository), repository)
            await mirror.fetch(self._git, self.path(repository))
        except PodiumError as error:
            log.info("%s not fetched ahead: %s", repository, error.message)

    async def take_in(self, run_id: RunId, captured: Captured, path: Path) -> Imported:
        """Import a bundle to `refs/podium/runs/<run>`; again is no change.

        Raises MissingPrerequisite when the base cannot be had here (the worker then sends a full bundle),
        GitFailed when fsck refuses what is in it.
        """
        home = self.path(captured.repository)
        await mirror.ensure(self._git, home, captured.repository)
        ref = f"refs/podium/runs/{run_id}"
        try:
            await bundle.import_into(self._git, home, path, expect_ref=ref, to_ref=ref)
        except MissingPrerequisite:
            await self.warm(captured.repository)
            await bundle.import_into(self._git, home, path, expect_ref=ref, to_ref=ref)
        files = await self.changed_files(captured.repository, captured.base, captured.tip)
        return Imported(
            files=len(files),
            additions=sum(file.additions for file in files),
            deletions=sum(file.deletions for file in files),
        )

    async def changed_files(self, repository: str, base: str, tip: str) -> list[ChangedFile]:
        return await bundle.changed_files(self._git, self.path(repository), base, tip)

    async def diff(self, repository: str, base: str, tip: str, limit_bytes: int) -> Diff:
        return await bundle.diff(self._git, self.path(repository), base, tip, limit_bytes)
