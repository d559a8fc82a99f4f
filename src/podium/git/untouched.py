"""Whether an agent left the refs of its repository exactly as we made them: then there is nothing to fetch.

Only what decides which commits its refs name is compared, byte by byte with what was written at creation.
Nothing is believed of what differs, and git is not asked: any doubt is a no, and a no only costs a fetch.
"""

from __future__ import annotations

import os
import stat
from pathlib import Path

from podium.git.base import Workspace
from podium.git.layout import read_small_file

_NAMES = ("HEAD", "config", "packed-refs")
_REDIRECTING = ("commondir", "shallow", "reftable", "config.worktree")
"""Files of a git directory that make git look for refs or parents elsewhere."""
_KEPT = "theirs"


def remember(workspace: Workspace) -> None:
    """Note the agent's git directory as it is now, just made. Blocks."""
    for name in _NAMES:
        (workspace.git_dir / f"{_KEPT}.{name}").write_bytes((workspace.path / ".git" / name).read_bytes())


def untouched(workspace: Workspace) -> bool:
    """Whether its refs are still those that were remembered. Blocks; follows no symbolic link."""
    theirs = workspace.path / ".git"
    refs = theirs / "refs"
    if not all(_plain_directory(folder) for folder in (theirs, refs, refs / "heads", refs / "tags")):
        return False
    if any(os.path.lexists(theirs / name) for name in _REDIRECTING):
        return False
    if set(os.listdir(refs)) != {"heads", "tags"} or os.listdir(refs / "heads") or os.listdir(refs / "tags"):
        return False
    return all(_same(theirs / name, workspace.git_dir / f"{_KEPT}.{name}") for name in _NAMES)


def _plain_directory(path: Path) -> bool:
    try:
        return stat.S_ISDIR(os.lstat(path).st_mode)
    except OSError:
        return False


def _same(theirs: Path, kept: Path) -> bool:
    found = read_small_file(theirs)
    return found is not None and found == read_small_file(kept)
