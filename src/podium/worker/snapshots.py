"""The uncommitted work that a task starts from: fetched from the server, let into the node's mirror."""

from __future__ import annotations

from pathlib import Path

from podium.git.base import BundleRefused, Commit, Mirror, unusable
from podium.git.incoming import find_snapshot, take_in_snapshot
from podium.kernel.errors import NotFound
from podium.kernel.ids import ArtifactId, TaskId
from podium.worker.context import WorkerContext
from podium.worker.download import patiently


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
        await patiently(context, snapshot, bundle)
        return await take_in_snapshot(context.git, source, bundle, task_id)
    except (NotFound, BundleRefused) as error:
        raise unusable(
            "snapshot",
            f"The snapshot {snapshot} cannot be used: {error.message}",
            "Open the task anew, with --include-dirty.",
        ) from error
    finally:
        bundle.unlink(missing_ok=True)
