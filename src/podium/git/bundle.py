"""A Change as one file: how it is written on one machine and let in on another.

Letting in trusts nothing of the file. Its header is read here, its objects go through the quarantine of
git's receive-pack: fsck (which refuses `.GIT`, `git~1`, zero-width look-alikes, a symbolic link as
.gitmodules and their kin) and connectivity. On refusal the mirror has gained nothing. An ordinary small
bundle is handed to receive-pack at once; any other goes into a throw-away git directory first, which is
where it turns out what it needs.
"""

from __future__ import annotations

import asyncio
import os
import tempfile
from pathlib import Path

from msgspec import Struct

from podium.git.base import BundleRefused, Commit, MissingPrerequisite, NothingToBundle, RefName
from podium.git.command import NETWORK, Git, Place
from podium.git.layout import NewGitDir, remove_tree, write_git_dir
from podium.git.locks import past_stale_locks
from podium.git.mirror import import_commits
from podium.git.names import parse_commit, parse_ref
from podium.git.pack import MAX_PACK_BYTES, receive
from podium.kernel.errors import GitFailed, InvalidRequest

MAX_HEADER_BYTES = 1024 * 1024

_SIGNATURES = (b"# v2 git bundle", b"# v3 git bundle")
_QUARANTINE = "podium-import-"


class BundleHeader(Struct, frozen=True, kw_only=True):
    """What a bundle says of itself."""

    prerequisites: tuple[Commit, ...]
    refs: dict[str, Commit]


async def make(git: Git, git_dir: Path, base: Commit | None, tip: Commit, ref: RefName, out: Path) -> None:
    """Write the commits that `tip` has and `base` has not to `out` (by rename), under the name `ref`.

    Without a base: the whole history. Raises NothingToBundle when there are none.
    """
    place = Place(git_dir=git_dir)
    if base is not None:
        count = await git.read(place, "rev-list", "--count", "--max-count=1", tip, f"^{base}", "--")
        if count.strip() == b"0":
            raise NothingToBundle()
    await past_stale_locks(git_dir, lambda: git.run(place, "update-ref", ref, tip))
    span = [ref] if base is None else [ref, f"^{base}"]
    await git.run(place, "bundle", "create", "--quiet", str(out), *span, bounds=NETWORK)


def write(path: Path, base: Commit, tip: Commit, ref: RefName, pack: bytes) -> None:
    """Write a pack of what `tip` has and `base` has not as a bundle (by rename). Blocks."""
    first = "# v2 git bundle" if len(tip) == 40 else "# v3 git bundle\n@object-format=sha256"
    part = path.with_name(path.name + ".part")
    part.write_bytes(f"{first}\n-{base}\n{tip} {ref}\n\n".encode() + pack)
    part.rename(path)


def read_header(path: Path) -> BundleHeader:
    """The header of a bundle; BundleRefused when the file is none."""
    with path.open("rb") as file:
        return _parse_header(file.read(MAX_HEADER_BYTES))[0]


def _read(path: Path) -> tuple[BundleHeader, bytes]:
    """The header, and the pack behind it when it is a small one (else nothing)."""
    with path.open("rb") as file:
        head = file.read(MAX_HEADER_BYTES)
        header, start = _parse_header(head)
        if os.fstat(file.fileno()).st_size - start > MAX_PACK_BYTES:
            return header, b""
        return header, head[start:] + file.read()


def _parse_header(head: bytes) -> tuple[BundleHeader, int]:
    """(what it says, where the pack begins)."""
    text, end, _ = head.partition(b"\n\n")
    lines = text.split(b"\n")
    if not end or lines[0] not in _SIGNATURES:
        raise BundleRefused("This file is not a git bundle.")
    prerequisites: list[Commit] = []
    refs: dict[str, Commit] = {}
    try:
        for line in lines[1:]:
            if line.startswith(b"@"):
                continue
            commit, _, name = line.removeprefix(b"-").decode("utf-8").partition(" ")
            if line.startswith(b"-"):
                prerequisites.append(parse_commit(commit))
            else:
                refs[name] = parse_commit(commit)
    except (InvalidRequest, UnicodeDecodeError) as error:
        raise BundleRefused("The bundle's header is damaged.") from error
    return BundleHeader(prerequisites=tuple(prerequisites), refs=refs), len(text) + len(end)


async def import_into(
    git: Git, git_dir: Path, bundle: Path, *, expect_ref: RefName, to_ref: RefName
) -> Commit:
    """Let the commit that the bundle calls `expect_ref` into a git directory as `to_ref`; gives the commit.

    Repeatable. A `to_ref` that would lose commits is rescued first (see `mirror.import_commits`). Raises
    MissingPrerequisite (ask for a full bundle) and BundleRefused.
    """
    header, pack = await asyncio.to_thread(_read, bundle)
    tip = header.refs.get(expect_ref)
    if tip is None:
        raise BundleRefused(f"The bundle has no {expect_ref}.", refs=sorted(header.refs)[:20])
    if await receive(git, git_dir, pack, {parse_ref(to_ref): tip}):
        return tip
    # Known already, incomplete, refused, or too large: the long way finds out which.
    missing = await _absent(git, git_dir, header.prerequisites)
    if missing:
        raise MissingPrerequisite(missing)
    aside = Path(await asyncio.to_thread(tempfile.mkdtemp, prefix=_QUARANTINE, dir=git_dir))
    try:
        return await _through_quarantine(git, git_dir, bundle, aside / "in.git", header, tip, to_ref)
    finally:
        # Not awaited: a cancelled import must not leave its quarantine, and this is a handful of files.
        remove_tree(aside)


async def _through_quarantine(
    git: Git, git_dir: Path, bundle: Path, aside: Path, header: BundleHeader, tip: Commit, to_ref: RefName
) -> Commit:
    new = NewGitDir(
        head="ref: refs/heads/podium-unborn",
        config={"core": {"hooksPath": "/dev/null"}, "gc": {"auto": "0"}},
        bare=True,
        hash_length=len(tip),
        alternates=(git_dir / "objects",),
        # git wants prerequisites to be reachable from a ref of the repository that it unpacks into.
        refs={f"refs/podium/have/{commit}": commit for commit in header.prerequisites},
    )
    write_git_dir(aside, new)
    try:
        await git.run(Place(git_dir=aside), "bundle", "unbundle", str(bundle), bounds=NETWORK)
        await import_commits(git, aside, git_dir, {parse_ref(to_ref): tip})
    except GitFailed as failure:
        if failure.details.get("timed_out") or failure.details.get("locked") or failure.details["code"] < 0:
            raise  # not the bundle's fault: the same may work later
        raise BundleRefused(stderr=failure.details.get("stderr", "")) from failure
    return tip


async def _absent(git: Git, git_dir: Path, commits: tuple[Commit, ...]) -> tuple[Commit, ...]:
    if not commits:
        return ()
    asked = "\n".join(f"{commit}^{{commit}}" for commit in commits).encode()
    listing = await git.read(Place(git_dir=git_dir), "cat-file", "--batch-check=%(objectname)", stdin=asked)
    answers = listing.decode().splitlines()
    return tuple(commit for commit, answer in zip(commits, answers, strict=True) if " " in answer)
