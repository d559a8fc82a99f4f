"""The user's own checkout: where its git directory is, and what state it is in. Reads only."""

from __future__ import annotations

import os
from pathlib import Path

from msgspec import Struct

from podium.git.base import MAX_NAMED_PATHS, Commit, Identity, unusable
from podium.git.command import Git, Place
from podium.git.names import parse_commit

_OPERATIONS = {
    "MERGE_HEAD": "merge",
    "CHERRY_PICK_HEAD": "cherry-pick",
    "REVERT_HEAD": "revert",
    "rebase-merge": "rebase",
    "rebase-apply": "rebase",
    "BISECT_LOG": "bisect",
}


class CheckoutState(Struct, frozen=True, kw_only=True):
    """What a checkout was when it was looked at."""

    top: Path
    git_dir: Path
    """Its own git directory; of a linked worktree the one below `worktrees/`."""
    common_dir: Path
    """The git directory with the objects and refs."""
    head: Commit | None
    """None before the first commit."""
    branch: str | None
    """None when HEAD is detached."""
    changed: tuple[str, ...]
    """Tracked files that differ from HEAD or are staged, at most MAX_NAMED_PATHS."""
    uncommitted: int
    """How many files are changed or untracked (and not ignored)."""
    operation: str | None
    """An unfinished merge, rebase, cherry-pick, revert or bisect."""

    @property
    def busy(self) -> bool:
        """Whether changing its files could mix with somebody's unfinished work."""
        return bool(self.changed) or self.operation is not None

    @property
    def place(self) -> Place:
        """Where git works on this checkout itself."""
        return Place(git_dir=self.git_dir, work_tree=self.top)


def git_dirs(top: Path) -> tuple[Path, Path] | None:
    """The git directory and the common one of a checkout, linked worktree or bare repository at `top`."""
    inner = top / ".git"
    if inner.is_file():
        target = inner.read_text(errors="replace").removeprefix("gitdir:").strip()
        inner = Path(os.path.normpath(top / target))
    git_dir = inner if inner.exists() else top
    common = git_dir
    if (git_dir / "commondir").is_file():
        common = Path(os.path.normpath(git_dir / (git_dir / "commondir").read_text().strip()))
    if not (git_dir / "HEAD").exists() or not (common / "objects").is_dir():
        return None
    return git_dir, common


def find_top(path: Path) -> Path | None:
    """The checkout that a directory belongs to."""
    for candidate in (path, *path.parents):
        if (candidate / ".git").exists():
            return candidate
    return None


async def checkout_state(git: Git, path: Path) -> CheckoutState:
    """Look at the checkout that `path` is in. Raises RepositoryUnusable (`not_a_repository`)."""
    top = find_top(path)
    found = git_dirs(top) if top is not None else None
    if top is None or found is None:
        raise unusable("not_a_repository", f"{path} is in no git checkout.", "Go to a checkout, or name one.")
    git_dir, common = found
    place = Place(git_dir=git_dir, work_tree=top)
    words = (
        "status",
        "--porcelain=v2",
        "--branch",
        "-z",
        "--untracked-files=all",
        "--ignore-submodules=dirty",
    )
    listing = await git.as_user().read(place, *words)
    head: Commit | None = None
    branch: str | None = None
    changed: list[str] = []
    untracked = 0
    records = iter(listing.decode("utf-8", "backslashreplace").split("\0"))
    for record in records:
        if record.startswith("# branch.oid ") and not record.endswith("(initial)"):
            head = parse_commit(record.removeprefix("# branch.oid "))
        elif record.startswith("# branch.head ") and not record.endswith("(detached)"):
            branch = record.removeprefix("# branch.head ")
        elif record.startswith("? "):
            untracked += 1
        elif record[:2] in {"1 ", "u "}:
            changed.append(record.split(" ", 8 if record[0] == "1" else 10)[-1])
        elif record.startswith("2 "):
            changed.append(record.split(" ", 9)[-1])
            next(records)
    operation = next((word for name, word in _OPERATIONS.items() if (git_dir / name).exists()), None)
    return CheckoutState(
        top=top,
        git_dir=git_dir,
        common_dir=common,
        head=head,
        branch=branch,
        changed=tuple(changed[:MAX_NAMED_PATHS]),
        uncommitted=len(changed) + untracked,
        operation=operation,
    )


async def user_identity(git: Git, state: CheckoutState, otherwise: Identity) -> Identity:
    """Whom the user's own commits are by, as their configuration says, part by part."""

    async def configured(key: str, fallback: str) -> str:
        found = await git.as_user().run(state.place, "config", "--get", key, ok=(0, 1))
        return found.stdout.decode("utf-8", "replace").strip() or fallback

    return Identity(
        name=await configured("user.name", otherwise.name),
        email=await configured("user.email", otherwise.email),
    )
