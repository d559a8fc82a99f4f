"""The server's own mirrors: bundles are imported here, checked by fsck; finished diffs come from here."""

from __future__ import annotations

import hashlib
import logging
from pathlib import Path

import anyio
from msgspec import Struct

from podium.bus.messages import Captured
from podium.git import bundle, changes, mirror
from podium.git.base import ChangedFiles, Diff, Mirror, MissingPrerequisite, ProbeResult
from podium.git.command import Git, Place
from podium.git.incoming import find_snapshot, take_in_snapshot
from podium.git.names import parse_commit, run_ref
from podium.git.urls import parse_url
from podium.kernel.errors import InvalidRequest, PodiumError
from podium.kernel.ids import RunId, TaskId

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
        self._snapshots = anyio.Lock()

    def path(self, repository: str) -> Path:
        return self._root / f"{hashlib.sha256(repository.encode()).hexdigest()[:32]}.git"

    async def warm(self, repository: str) -> None:
        """Fetch while the agent works, so that the import at its end finds its base. Best effort."""
        try:
            await mirror.fetch(self._git, await self._ensure(repository))
        except PodiumError as error:
            log.info("%s not fetched ahead: %s", repository, error.message)

    async def take_in_snapshot(self, repository: str, task_id: TaskId, path: Path) -> None:
        """Let in what a task starts from, so that its diff can be shown. Best effort: a worker asked for a
        full bundle sends it too."""
        try:
            home = await self._ensure(repository)
            async with self._snapshots:
                if await find_snapshot(self._git, home.path, task_id) is None:
                    await take_in_snapshot(self._git, home, path, task_id)
        except PodiumError as error:
            log.info("the snapshot of %s not taken in: %s", task_id, error.message)

    async def take_in(self, run_id: RunId, captured: Captured, path: Path) -> Imported:
        """Import a bundle to `refs/podium/runs/<run>`; again is no change.

        Raises MissingPrerequisite when the base cannot be had here (the worker then sends a full bundle),
        GitFailed when fsck refuses what is in it.
        """
        home = (await self._ensure(captured.repository)).path
        ref = run_ref(run_id)
        try:
            tip = await bundle.import_into(self._git, home, path, expect_ref=ref, to_ref=ref)
        except MissingPrerequisite:
            await self.warm(captured.repository)
            tip = await bundle.import_into(self._git, home, path, expect_ref=ref, to_ref=ref)
        if tip != captured.tip:
            raise InvalidRequest("the bundle does not hold the commit that was announced")
        found = await self.changed_files(captured.repository, captured.base, captured.tip)
        return Imported(
            files=found.total,
            additions=sum(file.additions for file in found.files),
            deletions=sum(file.deletions for file in found.files),
        )

    async def probe(self, repository: str) -> ProbeResult:
        """What the source answers now. Raises RepositoryUnusable."""
        return await mirror.probe(self._git, parse_url(repository))

    async def changed_files(self, repository: str, base: str, tip: str) -> ChangedFiles:
        place = Place(git_dir=self.path(repository))
        return await changes.changed_files(self._git, place, parse_commit(base), parse_commit(tip))

    async def diff(self, repository: str, base: str, tip: str, limit_bytes: int) -> Diff:
        place = Place(git_dir=self.path(repository))
        return await changes.diff(
            self._git, place, parse_commit(base), parse_commit(tip), limit_bytes=limit_bytes
        )

    async def _ensure(self, repository: str) -> Mirror:
        return await mirror.ensure(self._git, self.path(repository), parse_url(repository))
