"""The files of a working tree as a tree object, through an index and a git directory of ours.

Nothing here reads `.git` of the working tree: its configuration, hooks, filters, ignore list and index do
not exist for these commands. `.gitignore` files and the built-in conversions of `.gitattributes` (line
endings, encodings) apply; filter programs do not, since none is configured on our side.

Nested repositories become ordinary files (git would store a hash of a commit that nobody else has).
"""

from __future__ import annotations

import asyncio
import os
import re
import shutil
import stat
from collections.abc import Callable, Iterable
from pathlib import Path

from msgspec import Struct

from podium.git.base import MAX_LEFTOVER_FILE_BYTES, Commit
from podium.git.command import Git, Place
from podium.git.threads import together
from podium.kernel.errors import GitFailed

MAX_NESTED_DEPTH = 8
"""Repositories within repositories; deeper ones are reported, not saved."""

_STATUS = (
    "status",
    "--porcelain=v2",
    "-z",
    "--untracked-files=all",
    "--ignore-submodules=all",
    "--no-renames",
)
_RAW_ATTRIBUTES = "* -text !eol !filter !ident !working-tree-encoding\n"
_SUBMODULE_MODE = "160000"


class Staged(Struct, frozen=True, kw_only=True):
    """A working tree that now has a tree object."""

    tree: str
    changed: bool
    """Whether the tree differs from what the index started as."""
    unsaved: tuple[bytes, ...]
    """Paths that could not be put in: too large, unreadable, no file, or refused by git as dangerous."""
    nested: bool
    """Whether a repository made by the agent was saved as files."""


class _Entries(Struct, frozen=True, kw_only=True):
    """What `git status` sees in the working tree."""

    changed: tuple[bytes, ...]
    nested: tuple[bytes, ...]
    """Untracked directories that are repositories, without the slash."""


async def stage(
    git: Git,
    place: Place,
    start: Commit,
    *,
    embedded: tuple[bytes, ...] = (),
    leave_out: Callable[[bytes], bool] | None = None,
    index_at: Commit | None = None,
) -> Staged:
    """Bring `place.index` (anything, or absent) to the content of the place's work tree and write its tree.

    `embedded`: paths where `start` has only the hash of a nested repository; its files replace the hash.
    `leave_out`: changed paths that stay as `start` has them, and are `unsaved`. `index_at`: the commit that
    the index is known to hold already.
    The index keeps what it knows of unchanged files, so one that is close to the tree makes this cheap.
    Files that change meanwhile are taken as they are found. Raises GitFailed.
    """
    if index_at != start or place.index is None or not place.index.exists():
        # -i: the files are the truth here; without it git refuses to move the index past a changed file.
        await git.run(place, "read-tree", "-i", "-m", start)
    entries = await _look(git, place)
    repositories = (*entries.nested, *(path for path in embedded if _is_directory(place, path)))
    if not entries.changed and not repositories:
        return Staged(tree=f"{start}^{{tree}}", changed=False, unsaved=(), nested=False)
    paths = [*entries.changed]
    too_deep: list[bytes] = []
    for repository in repositories:
        inner, beyond = await _nested_files(git, place, repository, 1)
        paths += inner
        too_deep += beyond
    nested = len(paths) > len(entries.changed)
    if leave_out is not None:
        paths = [path for path in paths if not leave_out(path)]
    _, before = await together(
        lambda: _add(git, place, paths),
        lambda: git.read(place, "rev-parse", "--verify", f"{start}^{{tree}}"),
    )
    # Asked again: what git still calls changed is, by that, not in the index. Looking takes no lock, and
    # writing the tree replaces the index by rename: neither disturbs the other.
    rest, tree = await together(lambda: _look(git, place), lambda: git.read(place, "write-tree"))
    unsaved = {*rest.changed, *too_deep, *await _missing(git, place, paths, repositories)}
    return Staged(
        tree=tree.decode().strip(), changed=tree != before, unsaved=tuple(sorted(unsaved)), nested=nested
    )


def _is_directory(place: Place, path: bytes) -> bool:
    full = os.path.join(os.fsencode(place.tree), path)
    return os.path.isdir(full) and not os.path.islink(full)


async def _look(git: Git, place: Place) -> _Entries:
    listing = await git.read(place, *_STATUS)
    changed: list[bytes] = []
    nested: list[bytes] = []
    for record in listing.split(b"\0"):
        kind, _, rest = record.partition(b" ")
        if kind == b"?" and rest.endswith(b"/"):
            nested.append(rest[:-1])
        elif kind == b"?":
            changed.append(rest)
        elif kind == b"1" and rest[1:2] != b".":
            changed.append(rest.split(b" ", 7)[7])
    return _Entries(changed=tuple(changed), nested=tuple(nested))


async def _nested_files(
    git: Git, place: Place, repository: bytes, depth: int
) -> tuple[list[bytes], list[bytes]]:
    """The files of a nested repository that its own .gitignore lets through, and what lies too deep."""
    if depth > MAX_NESTED_DEPTH:
        return [], [repository]
    below = Path(os.fsdecode(os.path.join(os.fsencode(place.tree), repository)))
    empty_index = place.git_dir / f"nested-{os.urandom(8).hex()}.index"
    listing = await git.read(
        Place(git_dir=place.git_dir, work_tree=below, index=empty_index),
        "ls-files",
        "-z",
        "--others",
        "--exclude-standard",
    )
    files: list[bytes] = []
    beyond: list[bytes] = []
    for name in listing.split(b"\0"):
        if name.endswith(b"/"):
            inner, deeper = await _nested_files(git, place, repository + b"/" + name[:-1], depth + 1)
            files += inner
            beyond += deeper
        elif name:
            files.append(repository + b"/" + name)
    return files, beyond


async def _add(git: Git, place: Place, paths: Iterable[bytes]) -> None:
    take, drop = await asyncio.to_thread(_sort_out, place.tree, tuple(paths))
    command = ("update-index", "-z", "--add", "--remove", "--replace", "--stdin")
    if take:
        listing = b"\0".join(take) + b"\0"
        try:
            await git.run(place, *command, stdin=listing)
        except GitFailed:
            # One file that its declared encoding does not fit fails them all: take the bytes as they are.
            attributes = place.git_dir / "info/attributes"
            attributes.write_text(_RAW_ATTRIBUTES)
            try:
                await git.run(place, *command, stdin=listing)
            finally:
                attributes.unlink()
    if drop:
        await git.run(
            place, "update-index", "-z", "--force-remove", "--stdin", stdin=b"\0".join(drop) + b"\0"
        )


def _sort_out(work_tree: Path, paths: tuple[bytes, ...]) -> tuple[list[bytes], list[bytes]]:
    """Paths to put in, and tracked ones whose place is now taken by something that git cannot store."""
    root = os.fsencode(work_tree)
    take: list[bytes] = []
    drop: list[bytes] = []
    for path in paths:
        full = os.path.join(root, path)
        try:
            found = os.lstat(full)
        except OSError:
            take.append(path)
            continue
        if stat.S_ISREG(found.st_mode):
            if found.st_size <= MAX_LEFTOVER_FILE_BYTES and os.access(full, os.R_OK):
                take.append(path)
        elif stat.S_ISLNK(found.st_mode) or stat.S_ISDIR(found.st_mode):
            take.append(path)
        else:
            drop.append(path)
    return take, drop


async def _missing(
    git: Git, place: Place, wanted: list[bytes], repositories: tuple[bytes, ...]
) -> set[bytes]:
    """Files of nested repositories that the index refused; `status` does not look inside those."""
    if not repositories:
        return set()
    prefixes = tuple(repository + b"/" for repository in repositories)
    listing = await git.read(place, "ls-files", "-z", "--cached")
    return {path for path in wanted if path.startswith(prefixes)} - set(listing.split(b"\0"))


def special_to_git(path: bytes) -> bool:
    """Whether some file system could take the last name for one that git itself reads (`.gitmodules`)."""
    name = re.sub(rb"[^!-~]", b"", path.rsplit(b"/", 1)[-1]).lower()
    return name.startswith((b".git", b"git", b"gi7eba"))


async def populated_submodules(git: Git, place: Place) -> bool:
    """Whether a submodule of the index has files: work in there is in nobody's tree but its own."""
    listing = await git.read(place, "ls-files", "-z", "--stage")
    for record in listing.split(b"\0"):
        if record.startswith(_SUBMODULE_MODE.encode()):
            path = record.split(b"\t", 1)[1]
            if _is_directory(place, path) and os.listdir(os.path.join(os.fsencode(place.tree), path)):
                return True
    return False


def scratch_index(git_dir: Path, name: str) -> Path:
    """A copy of the index made at creation, so that no use of it spoils the next one's."""
    copy = git_dir / f"{name}-{os.urandom(6).hex()}.index"
    pristine = git_dir / "index"
    if pristine.exists():
        shutil.copyfile(pristine, copy)
    return copy


def drop_index(index: Path) -> None:
    """Remove a scratch index and its lock."""
    index.unlink(missing_ok=True)
    index.with_name(index.name + ".lock").unlink(missing_ok=True)
