"""The files that a task was given: fetched from the server, put beside the workspace for its agent."""

from __future__ import annotations

import shutil
from pathlib import Path

import anyio
import anyio.to_thread

from podium.bus.messages import RunOrder
from podium.client.blobs import artifact_id_of
from podium.kernel.errors import NotFound, PodiumError
from podium.worker.context import WorkerContext
from podium.worker.download import patiently

DIRECTORY = "attached"


class AttachmentsGone(PodiumError):
    """The files of the task cannot be had."""

    code = "attachments_gone"


def paths_of(context: WorkerContext, order: RunOrder) -> tuple[Path, ...]:
    """Where they are, or will be: the same for every run of a workspace, so that a conversation that names
    them still is right after a re-run. Outside of the tree, so that nobody commits them."""
    folder = _folder(context, order.workspace_of)
    return tuple(folder / one.name for one in order.attachments)


async def fetch(context: WorkerContext, order: RunOrder) -> None:
    """Have them there, each whole. Waits while the server is away. Raises AttachmentsGone."""
    if not order.attachments:
        return
    folder = _folder(context, order.workspace_of)
    await anyio.Path(folder).mkdir(parents=True, exist_ok=True, mode=0o700)
    for one in order.attachments:
        path = folder / one.name
        if path.is_file() and await anyio.to_thread.run_sync(artifact_id_of, path) == one.artifact:
            continue
        try:
            await patiently(context, one.artifact, path)
        except NotFound as error:
            raise AttachmentsGone(
                f"the attachment {one.name!r} is not on the server any more", hint="open the task anew"
            ) from error
        await anyio.Path(path).chmod(0o600)


def remove(context: WorkerContext, workspace_of: str) -> None:
    shutil.rmtree(_folder(context, workspace_of), ignore_errors=True)


def _folder(context: WorkerContext, workspace_of: str) -> Path:
    return context.home.workspaces / workspace_of / DIRECTORY
