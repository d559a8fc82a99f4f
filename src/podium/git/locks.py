"""Lock files that a killed git left behind: they would refuse every later write to the same ref for ever.

git takes `<ref>.lock` for milliseconds. One older than LOCK_STALE_S belongs to nobody: its process was killed
with us. A younger one may still be somebody's, so the failure is told as `locked`, to be tried again.
"""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import TypeVar

from podium.kernel.errors import GitFailed

T = TypeVar("T")
LOCK_STALE_S = 10.0
_SINGLE = ("HEAD.lock", "config.lock", "packed-refs.lock", "index.lock", "shallow.lock")


async def past_stale_locks(git_dir: Path, attempt: Callable[[], Awaitable[T]]) -> T:
    """Carry out `attempt`, which writes refs of `git_dir`; once more when stale locks stood in its way.

    Raises what it raises; a GitFailed while a younger lock stands carries `locked` in its details.
    """
    try:
        return await attempt()
    except GitFailed as failure:
        removed, young = await asyncio.to_thread(_sweep, git_dir)
        if not removed:
            failure.details["locked"] = young
            raise
    return await attempt()


def _sweep(git_dir: Path) -> tuple[bool, bool]:
    """(whether stale locks were removed, whether younger ones remain)."""
    removed = young = False
    for path in _locks(git_dir):
        try:
            age_s = time.time() - path.stat().st_mtime
            if abs(age_s) > LOCK_STALE_S:  # a clock that was set back must not keep a lock for ever
                path.unlink()
                removed = True
            else:
                young = True
        except FileNotFoundError:
            continue
    return removed, young


def _locks(git_dir: Path) -> Iterator[Path]:
    for name in _SINGLE:
        if (git_dir / name).exists():
            yield git_dir / name
    for folder, _, names in os.walk(git_dir / "refs"):
        for name in names:
            if name.endswith(".lock"):
                yield Path(folder) / name
