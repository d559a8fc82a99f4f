"""The user's uncommitted work as a commit, without touching their checkout: `--include-dirty`.

Index, objects and refs are ours; what is read of the checkout is its files, its HEAD, its ignore lists and
a copy of its index (for the times of files, so that only changed ones are read). The user's configuration
applies, since line endings and LFS filters decide what a file's content is.
"""

from __future__ import annotations

import asyncio
import os
import shutil
import stat
from pathlib import Path

from msgspec import Struct

from podium.git.base import MAX_LEFTOVER_FILE_BYTES, Commit, unusable
from podium.git.capture import Leftovers
from podium.git.changes import shown
from podium.git.checkout import CheckoutState, checkout_state
from podium.git.command import PROBE_TIMEOUT_S, Bounds, Git, Place, signed
from podium.git.layout import NewGitDir, write_git_dir
from podium.git.names import parse_commit
from podium.git.staging import Staged, drop_index, stage
from podium.git.urls import RepositoryUrl
from podium.kernel.errors import GitFailed, TooLarge

INDEX = "snapshot.index"
MAX_SNAPSHOT_BYTES = 512 * 1024 * 1024
"""Of uncommitted files, together. A checkout with more has a build directory that `.gitignore` forgot."""
MAX_TIPS = 500
"""Branches of a source that are looked at for a common commit."""
MAX_LISTING_BYTES = 256 * 1024 * 1024


class Snapshot(Struct, frozen=True, kw_only=True):
    """A checkout's content. `git_dir` has its commits, ready for `bundle.make`."""

    commit: Commit
    """The base itself when there was nothing uncommitted."""
    base: Commit
    """The checkout's HEAD."""
    git_dir: Path
    unsaved: tuple[str, ...]
    """Files that are unreadable, or no files."""
    submodules: tuple[str, ...]
    """Submodules with work of their own, which is not in the snapshot: the last commit's hash is."""


async def snapshot(
    git: Git,
    checkout: Path,
    git_dir: Path,
    leftovers: Leftovers,
    *,
    limit_bytes: int = MAX_SNAPSHOT_BYTES,
) -> Snapshot:
    """Commit the tracked and untracked (not ignored) files of a checkout into `git_dir`, which is made new.

    The checkout's index, refs, stash and files stay as they are, byte for byte. Raises RepositoryUnusable
    (`not_a_repository`, `empty`), TooLarge when the uncommitted files have more than `limit_bytes` or one of
    them more than MAX_LEFTOVER_FILE_BYTES, GitFailed.
    """
    state = await checkout_state(git, checkout)
    if state.head is None:
        raise unusable("empty", f"{state.top} has no commit yet.", "Make a first commit, then try again.")
    changed, submodules = await _uncommitted(git, state)
    await asyncio.to_thread(_refuse_too_much, state.top, changed, limit_bytes)
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
    return Snapshot(commit=commit, base=state.head, git_dir=git_dir, unsaved=unsaved, submodules=submodules)


async def _uncommitted(git: Git, state: CheckoutState) -> tuple[list[bytes], tuple[str, ...]]:
    """Files that differ from HEAD or are new, and submodules that have work of their own."""
    words = ("status", "--porcelain=v2", "-z", "--untracked-files=all", "--no-renames")
    listing = await git.as_user().read(state.place, *words, bounds=Bounds(limit_bytes=MAX_LISTING_BYTES))
    changed: list[bytes] = []
    submodules: list[str] = []
    for record in listing.split(b"\0"):
        kind = record[:1]
        if kind == b"?":
            changed.append(record[2:])
        elif kind in {b"1", b"u"}:
            path = record.split(b" ", 8 if kind == b"1" else 10)[-1]
            if record.split(b" ", 3)[2].startswith(b"S"):
                submodules.append(shown(path))
            else:
                changed.append(path)
    return changed, tuple(submodules)


def _refuse_too_much(top: Path, changed: list[bytes], limit_bytes: int) -> None:
    root, total = os.fsencode(top), 0
    for path in changed:
        try:
            found = os.lstat(os.path.join(root, path))
        except OSError:
            continue
        size = found.st_size if stat.S_ISREG(found.st_mode) else 0
        total += size
        if size > MAX_LEFTOVER_FILE_BYTES:
            raise TooLarge(
                f"{shown(path)} has {size:,} bytes; a snapshot's file may have {MAX_LEFTOVER_FILE_BYTES:,}",
                hint="name it in .gitignore, or commit it",
            )
    if total > limit_bytes:
        raise TooLarge(
            f"{len(changed)} uncommitted files have {total:,} bytes; a snapshot may have {limit_bytes:,}",
            hint="name what is made by programs in .gitignore, or commit",
        )


async def shared_with(git: Git, state: CheckoutState, url: RepositoryUrl, head: Commit) -> Commit | None:
    """The newest commit of `head`'s history that a branch of the source contains, as far as can be told from
    here: the source is asked for its branches. None when it cannot be reached or shares nothing."""
    side = ("ls-remote", "--quiet", "--heads", "--", url.text)
    user, env = git.as_user(), git.remote_environment(url)
    try:
        listing = await user.read(None, *side, bounds=Bounds(timeout_s=PROBE_TIMEOUT_S), env=env)
    except GitFailed:
        return None
    tips = {line.partition("\t")[0] for line in listing.decode("utf-8", "replace").splitlines()}
    here = await _present(git, state.common_dir, sorted(tips))
    if not here:
        return None
    words = ("merge-base", head, *here[:MAX_TIPS])
    found = await git.run(Place(git_dir=state.common_dir), *words, ok=(0, 1))
    return parse_commit(found.stdout.decode().strip()) if found.code == 0 else None


async def _present(git: Git, git_dir: Path, commits: list[str]) -> list[str]:
    """Those of the commits that are here."""
    asked = "\n".join(f"{commit}^{{commit}}" for commit in commits).encode()
    listing = await git.read(Place(git_dir=git_dir), "cat-file", "--batch-check=%(objectname)", stdin=asked)
    answers = zip(commits, listing.decode().splitlines(), strict=True)
    return [commit for commit, answer in answers if " " not in answer]


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
