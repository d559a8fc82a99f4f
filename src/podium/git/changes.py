"""What a Change contains, read from a git directory of ours: patch, files, log. All bounded."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal

from podium.git.base import MAX_CHANGED_FILES, ChangedFile, ChangedFiles, Commit, Diff, LogEntry
from podium.git.command import Bounds, Git, Place
from podium.git.names import parse_commit

MAX_LOG_ENTRIES = 1_000
DIFF_TIMEOUT_S = 60.0

_GITLINK = b"160000"
_LOG_FORMAT = "%H%x00%P%x00%an%x00%ae%x00%at%x00%s%x00%x00"
_STATUS: dict[str, Literal["added", "modified", "deleted", "renamed", "copied", "retyped"]] = {
    "A": "added",
    "M": "modified",
    "D": "deleted",
    "R": "renamed",
    "C": "copied",
    "T": "retyped",
}


async def diff(git: Git, place: Place, base: Commit, tip: Commit, *, limit_bytes: int) -> Diff:
    """The patch from base to tip, at most `limit_bytes` of it."""
    return await tree_diff(git, place, base, tip, limit_bytes)


async def tree_diff(git: Git, place: Place, old: str, new: str, limit_bytes: int) -> Diff:
    """The patch between two trees or commits. External diff programs and textconv are off."""
    done = await git.run(
        place,
        "diff-tree",
        "-p",
        "-r",
        "-M",
        "--no-color",
        "--no-ext-diff",
        "--no-textconv",
        "--submodule=short",
        "--src-prefix=a/",
        "--dst-prefix=b/",
        old,
        new,
        "--",
        bounds=Bounds(timeout_s=DIFF_TIMEOUT_S, limit_bytes=limit_bytes),
    )
    if not done.truncated:
        return Diff(patch=done.stdout, truncated=False)
    return Diff(patch=done.stdout[: done.stdout.rfind(b"\n") + 1], truncated=True)


async def changed_files(git: Git, place: Place, base: Commit, tip: Commit) -> ChangedFiles:
    """The files that differ, in git's order, with their line counts."""
    if base == tip:
        return ChangedFiles(files=(), total=0)
    words = (
        "diff-tree",
        "-r",
        "-z",
        "-M",
        "--raw",
        "--numstat",
        "--no-ext-diff",
        "--no-textconv",
        base,
        tip,
        "--",
    )
    return _parse_files(await git.read(place, *words))


def _parse_files(listing: bytes) -> ChangedFiles:
    """`--raw -z` records come first, all of them, then the `--numstat -z` records in the same order."""
    fields = iter(listing.split(b"\0"))
    raw: list[tuple[str, bytes, bytes | None]] = []
    counts: dict[bytes, tuple[bytes, bytes]] = {}
    for field in fields:
        if field.startswith(b":"):
            letter = field.rsplit(b" ", 1)[1][:1].decode()
            first = next(fields)
            raw.append((letter, next(fields), first) if letter in "RC" else (letter, first, None))
        elif field:
            added, removed, path = field.split(b"\t", 2)
            if not path:
                next(fields)
                path = next(fields)
            counts[path] = (added, removed)
    files = tuple(_changed(*entry, counts) for entry in raw[:MAX_CHANGED_FILES])
    return ChangedFiles(files=files, total=len(raw))


def _changed(
    letter: str, path: bytes, old: bytes | None, counts: dict[bytes, tuple[bytes, bytes]]
) -> ChangedFile:
    added, removed = counts.get(path, (b"0", b"0"))
    binary = added == b"-"
    return ChangedFile(
        path=shown(path),
        status=_STATUS.get(letter, "modified"),
        additions=0 if binary else int(added),
        deletions=0 if binary else int(removed),
        binary=binary,
        old_path=shown(old) if old is not None else None,
    )


async def new_gitlinks(git: Git, place: Place, base: Commit, tip: Commit) -> tuple[bytes, ...]:
    """Paths where the tip has a repository's hash and the base did not: nobody else has its commits."""
    listing = await git.read(place, "diff-tree", "-r", "-z", "--no-renames", "--raw", base, tip, "--")
    return tuple(_new_gitlinks(listing))


def _new_gitlinks(listing: bytes) -> Iterator[bytes]:
    fields = iter(listing.split(b"\0"))
    for header in fields:
        if header:
            path = next(fields)
            old_mode, new_mode = header[1:].split(b" ", 2)[:2]
            if new_mode == _GITLINK and old_mode != _GITLINK:
                yield path


async def log(
    git: Git, place: Place, base: Commit | None, tip: Commit, *, limit: int
) -> tuple[LogEntry, ...]:
    """Commits of tip that base does not have, newest first, at most `limit` (MAX_LOG_ENTRIES)."""
    count = min(limit, MAX_LOG_ENTRIES)
    span = [tip] if base is None else [tip, f"^{base}"]
    words = ("log", "--no-mailmap", "--no-show-signature", f"--format={_LOG_FORMAT}", f"--max-count={count}")
    listing = await git.read(place, *words, *span, "--")
    records = listing.decode("utf-8", "backslashreplace").split("\0\0\n")
    return tuple(_entry(record) for record in records if record)


def _entry(record: str) -> LogEntry:
    commit, parents, author, email, at, subject = record.split("\0", 5)
    return LogEntry(
        commit=parse_commit(commit),
        parents=tuple(parents.split()),
        author=author,
        email=email,
        at=int(at),
        subject=subject,
    )


def shown(path: bytes) -> str:
    """A path as text: bytes that are not UTF-8 as `\\xNN`."""
    return path.decode("utf-8", "backslashreplace")
