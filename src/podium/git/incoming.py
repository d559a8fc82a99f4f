"""Letting a snapshot of somebody's uncommitted work into a mirror: the same on a worker and on the server."""

from __future__ import annotations

from pathlib import Path

from podium.git.base import Commit, Mirror, MissingPrerequisite, unusable
from podium.git.bundle import import_into
from podium.git.command import Git, Place
from podium.git.mirror import fetch, resolve
from podium.git.names import SNAPSHOT, parse_commit, snapshot_ref
from podium.kernel.errors import RepositoryUnusable


async def find_snapshot(git: Git, git_dir: Path, task_id: str) -> Commit | None:
    """The commit of a task's snapshot, when it was let in before."""
    ref = f"{snapshot_ref(task_id)}^{{commit}}"
    found = await git.run(Place(git_dir=git_dir), "rev-parse", "--verify", "--quiet", ref, ok=(0, 1))
    return parse_commit(found.stdout.decode().strip()) if found.code == 0 else None


async def take_in_snapshot(git: Git, source: Mirror, bundle: Path, task_id: str) -> Commit:
    """Import a snapshot's bundle under the task's ref, fetching from the source what it builds on.

    Repeatable. Raises BundleRefused, and RepositoryUnusable with `snapshot` when it builds on commits that
    the source does not have.
    """
    ref = snapshot_ref(task_id)
    try:
        return await import_into(git, source.path, bundle, expect_ref=SNAPSHOT, to_ref=ref)
    except MissingPrerequisite as missing:
        await _fetch_missing(git, source, missing.commits)
    return await import_into(git, source.path, bundle, expect_ref=SNAPSHOT, to_ref=ref)


async def _fetch_missing(git: Git, source: Mirror, commits: tuple[Commit, ...]) -> None:
    await fetch(git, source)
    for commit in commits:
        try:
            await resolve(git, source, commit)
        except RepositoryUnusable as error:
            if error.details.get("reason") != "unknown_base":
                raise
            raise unusable(
                "snapshot",
                f"The snapshot builds on {commit[:12]}, which {source.url} does not have (any more).",
                "Open the task anew: podium run --include-dirty.",
            ) from error
