"""The uncommitted work that a task starts from: fetched from the server, let into the node's mirror."""

from __future__ import annotations

import logging
from pathlib import Path

import anyio

from podium.git.base import BundleRefused, Commit, Mirror, unusable
from podium.git.incoming import find_snapshot, take_in_snapshot
from podium.kernel.errors import NotFound, Unavailable
from podium.kernel.ids import ArtifactId, TaskId
from podium.worker.context import WorkerContext

log = logging.getLogger("podium.worker")
RETRY_S = 0.25
MAX_RETRY_S = 10.0


async def commit_of(
    context: WorkerContext, source: Mirror, snapshot: ArtifactId, task_id: TaskId, *, aside: Path
) -> Commit:
    """The commit of a task's snapshot, in the mirror under its own ref; fetched once for each task and node.

    `aside`: a directory of ours for the download. Waits while the server is away. Raises RepositoryUnusable
    (`snapshot`) when the bytes are gone, are no snapshot, are refused by git's checks, or build on commits
    that the source does not have.
    """
    known = await find_snapshot(context.git, source.path, task_id)
    if known is not None:
        return known
    bundle = aside / "snapshot.bundle"
    try:
        await _download(context, snapshot, bundle)
        return await take_in_snapshot(context.git, source, bundle, task_id)
    except (NotFound, BundleRefused) as error:
        raise unusable(
            "snapshot",
            f"The snapshot {snapshot} cannot be used: {error.message}",
            "Open the task anew, with --include-dirty.",
        ) from error
    finally:
        bundle.unlink(missing_ok=True)


async def _download(context: WorkerContext, snapshot: ArtifactId, path: Path) -> None:
    pause_s = RETRY_S
    while True:
        try:
            await context.download(snapshot, path)
            return
        except Unavailable as error:
            log.info("a snapshot waits for the server: %s", error.message)
        await anyio.sleep(pause_s)
        pause_s = min(pause_s * 2, MAX_RETRY_S)
