"""The user's uncommitted work as a commit, without touching their checkout: `--include-dirty`.

Index, objects and refs are ours; what is read of the checkout is its files, its HEAD, its ignore lists and
a copy of its index (for the times of files, so that only changed ones are read). The user's configuration
applies, since line endings and LFS filters decide what a file's content is.
"""

from __future__ import annotations

import asyncio
import shutil
from pathlib import Path

from msgspec import Struct

from podium.git.base import Commit, unusable
from podium.git.capture import Leftovers
from podium.git.checkout import CheckoutState, checkout_state
from podium.git.command import Git, Place, signed
from podium.git.layout import NewGitDir, write_git_dir
from podium.git.names import parse_commit
from podium.git.staging import Staged, drop_index, stage
from podium.kernel.errors import GitFailed

INDEX = "snapshot.index"


class Snapshot(Struct, frozen=True, kw_only=True):
    """A checkout's content. `git_dir` has its commits, ready for `bundle.make`."""

    commit: Commit
    """The base itself when there was nothing uncommitted."""
    base: Commit
    """The checkout's HEAD."""
    git_dir: Path
    unsaved: tuple[str, ...]
    """Files that are too large, unreadable or no files."""


async def snapshot(git: Git, checkout: Path, git_dir: Path, leftovers: Leftovers) -> Snapshot:
    """Commit the tracked and untracked (not ignored) files of a checkout into `git_dir`, which is made new.

    The checkout's index, refs, stash and files stay as they are, byte for byte. Raises RepositoryUnusable
    (`not_a_repository`, `empty`), GitFailed.
    """
    state = await checkout_state(git, checkout)
    if state.head is None:
        raise unusable("empty", f"{state.top} has no commit yet.", "Make a first commit, then try again.")
    new = NewGitDir(
        head=state.head,
        config={"core": {"hooksPath": "/dev/null"}, "gc": {"auto": "0"}},
        bare=False,
        hash_length=len(state.head),
        alternates=(state.common_dir / "objects",),
        exclude=_excluded(state.common_dir),
    )
    write_git_dir(git_dir, new)
    user = git.as_user()
    index = git_dir / INDEX
    place = Place(git_dir=git_dir, work_tree=state.top, index=index)
    try:
        staged = await _stage(user, place, state, state.head)
    finally:
        drop_index(index)
    commit = state.head
    if staged.changed:
        made = await user.read(
            place,
            "commit-tree",
            staged.tree,
            "-p",
            state.head,
            stdin=leftovers.message.encode("utf-8", "replace"),
            env=signed(leftovers.author, leftovers.at),
        )
        commit = parse_commit(made.decode().strip())
    unsaved = tuple(path.decode("utf-8", "backslashreplace") for path in staged.unsaved)
    return Snapshot(commit=commit, base=state.head, git_dir=git_dir, unsaved=unsaved)


async def _stage(git: Git, place: Place, state: CheckoutState, head: Commit) -> Staged:
    theirs, index = state.git_dir / "index", place.git_dir / INDEX
    if theirs.exists():
        await asyncio.to_thread(shutil.copyfile, theirs, index)
        try:
            return await stage(git, place, head)
        except GitFailed:
            # A split index is only half of itself without its other file: do without.
            drop_index(index)
    return await stage(git, place, head)


def _excluded(common_dir: Path) -> tuple[str, ...]:
    path = common_dir / "info/exclude"
    return tuple(path.read_text("utf-8", "replace").splitlines()) if path.is_file() else ()
