"""Removes workspaces that nobody needs any more: of tasks given up after losses, and scratch directories."""

from __future__ import annotations

import logging
import time
from pathlib import Path

import anyio
import anyio.to_thread

from podium.git import workspace
from podium.git.layout import discard, sweep_trash
from podium.kernel.errors import PodiumError
from podium.worker.context import WorkerContext

log = logging.getLogger("podium.worker")
EVERY_S = 3600.0
KEEP_S = 7 * 86_400.0
"""A week: long enough for a person to look at what a failed task left behind."""


async def finish_removals(context: WorkerContext) -> None:
    """Removals that a crash interrupted, and orders that never were whole. Before anything else: what comes
    later uses the same places."""
    try:
        await anyio.to_thread.run_sync(context.home.forget_halves)
        await anyio.to_thread.run_sync(sweep_trash, context.home.workspaces)
    except OSError as error:
        log.warning("what a crash left in %s stays: %s", context.home.workspaces, error)


async def keep_house(context: WorkerContext) -> None:
    """Until cancelled. A workspace whose work is not proved to be in a ref stays and is named in the log."""
    while True:
        try:
            for folder in await anyio.to_thread.run_sync(_left_over, context):
                await _remove(context, folder)
        except OSError as error:
            log.warning("the home cannot be read, nothing is tidied up: %s", error)
        await anyio.sleep(EVERY_S)


async def _remove(context: WorkerContext, folder: Path) -> None:
    try:
        found = workspace.read_marker(folder / "git")
        if found is not None:
            await workspace.remove(context.git, found, context.home.workspaces)
        else:
            await anyio.to_thread.run_sync(discard, folder / "tree", context.home.workspaces)
        await anyio.Path(folder).rmdir()
    except (PodiumError, OSError) as error:
        log.warning("the workspace %s is kept: %s", folder.name, error)


def _left_over(context: WorkerContext) -> list[Path]:
    held = {order.workspace_of for _, order in context.home.held()}
    folders = sorted(context.home.workspaces.glob("run_*"))
    return [folder for folder in folders if folder.name not in held and _is_old(folder)]


def _is_old(folder: Path) -> bool:
    try:
        # Only how long something lies about is decided by the wall clock; being early loses nothing proved.
        return time.time() - folder.stat().st_mtime > KEEP_S
    except FileNotFoundError:
        return False
