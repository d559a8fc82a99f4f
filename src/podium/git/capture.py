"""The end of a Run: whatever the agent left becomes commits under a ref of ours, and then is described.

The workspace's `.git` is opened by one program, the upload-pack of a fetch; everything after that works on
our git directory for the Run. An agent that damaged its repository loses its history, never its files:
they are committed on top of the base.
"""

from __future__ import annotations

import asyncio
import os
import shutil
from collections.abc import Callable
from pathlib import Path

from msgspec import Struct

from podium.git import bundle as bundles
from podium.git.base import (
    MAX_NAMED_PATHS,
    Captured,
    Commit,
    Drift,
    Identity,
    RefName,
    SideBranch,
    Workspace,
)
from podium.git.changes import new_gitlinks, shown
from podium.git.command import Bounds, Git, Place, signed, upload_pack
from podium.git.layout import read_small_file, real_directory
from podium.git.mirror import import_commits
from podium.git.names import parse_commit, parse_ref, run_ref
from podium.git.pack import make_pack, receive
from podium.git.staging import Staged, drop_index, populated_submodules, scratch_index, special_to_git, stage
from podium.git.threads import in_thread, together
from podium.git.untouched import untouched
from podium.kernel.errors import GitFailed

FETCH_TIMEOUT_S = 300.0
MAX_SIDE_BRANCHES = 100

_THEIRS = "refs/podium/theirs"
_HEAD = f"{_THEIRS}/head"
_HEADS = f"{_THEIRS}/heads/"
_REFSPECS = (f"+refs/heads/*:{_HEADS}*", f"+refs/stas*:{_THEIRS}/stas*")
_FETCH = (
    "fetch",
    "--quiet",
    "--no-tags",
    "--no-write-fetch-head",
    "--no-auto-maintenance",
    "--no-recurse-submodules",
)
_UNFINISHED = ("MERGE_HEAD", "CHERRY_PICK_HEAD", "REVERT_HEAD", "rebase-merge", "rebase-apply")


class Leftovers(Struct, frozen=True, kw_only=True):
    """The commit that holds what the agent did not commit. The same values give the same hash."""

    message: str
    author: Identity
    at: int
    """Seconds since the epoch; a repeated capture of one Run gives the same."""


class _History(Struct, frozen=True, kw_only=True):
    """What was found in the agent's repository, as far as it could be read."""

    head: Commit | None
    branches: dict[str, Commit]
    """Ref below refs/podium/theirs → commit: its branches and stash, and its HEAD."""
    drift: tuple[Drift, ...]


async def capture(
    git: Git, workspace: Workspace, leftovers: Leftovers, *, bundle: Path | None = None
) -> Captured:
    """Save the work of a Run whose agent is gone under `refs/podium/runs/<run>` of the mirror.

    Repeatable: the same tip when nothing changed; a result that a later capture does not contain is kept
    under a rescue ref. `bundle`: where what the base has not is left as a bundle, too, when it is small;
    otherwise nothing is there afterwards. Raises WorkspaceGone when there is no directory to save, GitFailed
    when git fails on our own side (a full disk).
    """
    await asyncio.to_thread(real_directory, workspace.path)
    if bundle is not None:
        await asyncio.to_thread(bundle.unlink, missing_ok=True)
    history = await _read_history(git, workspace)
    try:
        saved = await _save(git, workspace, history, leftovers, None)
    except GitFailed:
        # The checks of the import refuse a poisoned .gitmodules (and its kin) that was never committed by
        # the agent: everything else is saved without it.
        saved = await _save(git, workspace, history, leftovers, special_to_git)
    if bundle is not None and saved.pack:
        ref = run_ref(workspace.run)
        await in_thread(bundles.write, bundle, workspace.base, saved.tip, ref, saved.pack)
    return _described(workspace, history, saved)


class _Saved(Struct, frozen=True, kw_only=True):
    """What is in the mirror now."""

    tip: Commit
    staged: Staged
    submodules: bool
    side: tuple[SideBranch, ...]
    distance: tuple[int, int]
    """How many commits the tip has over the base, and the base over the tip."""
    pack: bytes
    """The tip's commits over the base, when that is all there is and small."""


async def _save(
    git: Git,
    workspace: Workspace,
    history: _History,
    leftovers: Leftovers,
    leave_out: Callable[[bytes], bool] | None,
) -> _Saved:
    index = scratch_index(workspace.git_dir, "capture")
    place = Place(git_dir=workspace.git_dir, work_tree=workspace.path, index=index)
    head = history.head or workspace.start
    try:
        embedded = await new_gitlinks(git, place, workspace.base, head) if head != workspace.start else ()
        staged = await stage(
            git, place, head, embedded=embedded, leave_out=leave_out, index_at=workspace.start
        )
        submodules = (workspace.path / ".gitmodules").exists() and await populated_submodules(git, place)
    finally:
        drop_index(index)
    tip = _forgotten_branch(workspace, history, staged) or head
    if staged.changed:
        tip = await _commit(git, place, staged, head, leftovers)
    side = await _side_branches(git, workspace, history, tip)
    only_leftovers = staged.changed and head == workspace.base
    distance, pack = await together(
        lambda: _distance(git, place, workspace.base, tip, one=only_leftovers),
        lambda: _into_mirror(git, workspace, tip, side),
    )
    return _Saved(tip=tip, staged=staged, submodules=submodules, side=side, distance=distance, pack=pack)


async def _into_mirror(git: Git, workspace: Workspace, tip: Commit, side: tuple[SideBranch, ...]) -> bytes:
    """Put the tip and the side branches under their refs; returns the pack when it went as one."""
    own = run_ref(workspace.run)
    if not side and tip == workspace.base:
        # Nothing to carry: the workspace borrows the base from there. New only, or push has to look.
        words = ("update-ref", own, tip, "0" * len(tip))
        if (await git.run(Place(git_dir=workspace.mirror), *words, ok=(0, 128))).code == 0:
            return b""
    elif not side:
        pack = await make_pack(git, Place(git_dir=workspace.git_dir), workspace.base, tip)
        if pack and await receive(git, workspace.mirror, pack, {own: tip}):
            return pack
    # Much, more than one ref, captured before, or refused: push finds out which, and rescues.
    refs: dict[RefName, Commit] = {own: tip}
    refs.update({parse_ref(branch.ref): branch.tip for branch in side})
    await import_commits(git, workspace.git_dir, workspace.mirror, refs)
    return b""


def _described(workspace: Workspace, history: _History, saved: _Saved) -> Captured:
    commits, behind = saved.distance
    found: dict[Drift, bool] = {
        "history_rewritten": behind > 0,
        "nested_repository": saved.staged.nested,
        "populated_submodule": saved.submodules,
        "files_unsaved": bool(saved.staged.unsaved),
    }
    return Captured(
        tip=saved.tip,
        ref=run_ref(workspace.run),
        commits=commits,
        leftover=saved.staged.changed,
        drift=(*history.drift, *(word for word, is_so in found.items() if is_so)),
        side=saved.side,
        unsaved=tuple(shown(path) for path in saved.staged.unsaved[:MAX_NAMED_PATHS]),
    )


async def _read_history(git: Git, workspace: Workspace) -> _History:
    theirs = workspace.path / ".git"
    # What an earlier capture fetched must not stand in for what this one cannot fetch.
    await asyncio.to_thread(shutil.rmtree, workspace.git_dir / _THEIRS, ignore_errors=True)
    if damage := _damage(theirs):
        return _History(head=None, branches={}, drift=(damage,))
    drift = _head_drift(theirs, workspace)
    if await asyncio.to_thread(untouched, workspace):
        # What a fetch would find, without one: it takes 15 ms, and most agents leave the commit to us.
        start, own = workspace.start, f"{_HEADS}{workspace.branch}"
        return _History(head=start, branches={_HEAD: start, own: start}, drift=drift)
    try:
        branches = await _fetch(git, workspace, f"+HEAD:{_HEAD}", *_REFSPECS)
        if _HEAD not in branches:
            # A repository made shallow by the agent: git fetches its objects with success and leaves the
            # refs out. With the objects here, and their parents in the mirror, a second try takes them too.
            branches = await _fetch(git, workspace, f"+HEAD:{_HEAD}", *_REFSPECS)
    except GitFailed as failure:
        if failure.details.get("timed_out"):
            # A FIFO among its refs or objects; a second try would wait as long.
            return _History(head=None, branches={}, drift=(*drift, "git_unreadable"))
        return await _read_what_is_left(git, workspace, drift)
    if _HEAD not in branches:
        return _History(head=None, branches=branches, drift=(*drift, "history_refused"))
    if f"{_HEADS}{workspace.branch}" not in branches:
        drift = (*drift, "branch_deleted")
    return _History(head=branches[_HEAD], branches=branches, drift=drift)


async def _read_what_is_left(git: Git, workspace: Workspace, drift: tuple[Drift, ...]) -> _History:
    """HEAD names nothing, or the objects are refused, or it is no repository any more: told by trying."""
    try:
        branches = await _fetch(git, workspace, *_REFSPECS)
    except GitFailed:
        side = f"--upload-pack={upload_pack(workspace.path)}"
        seen = await git.run(None, "ls-remote", "--quiet", side, "--", workspace.path, ok=(0, 128))
        word: Drift = "history_refused" if seen.code == 0 else "git_unreadable"
        return _History(head=None, branches={}, drift=(*drift, word))
    if f"{_HEADS}{workspace.branch}" not in branches:
        drift = (*drift, "branch_deleted")
    return _History(head=None, branches=branches, drift=drift)


async def _fetch(git: Git, workspace: Workspace, *specs: str) -> dict[str, Commit]:
    """Fetch from the agent's repository; what we then have of it."""
    side = f"--upload-pack={upload_pack(workspace.path)}"
    place = Place(git_dir=workspace.git_dir)
    await git.run(
        place, *_FETCH, side, "--", workspace.path, *specs, bounds=Bounds(timeout_s=FETCH_TIMEOUT_S)
    )

    listing = await git.read(place, "for-each-ref", "--format=%(objectname) %(refname)", f"{_THEIRS}/")
    lines = (line.partition(" ") for line in listing.decode("utf-8", "backslashreplace").splitlines())
    return {name: parse_commit(value) for value, _, name in lines}


def _damage(theirs: Path) -> Drift | None:
    """Why git should not even try to read this directory."""
    if not os.path.lexists(theirs):
        return "git_removed"
    if theirs.is_symlink() or not theirs.is_dir():
        return "git_replaced"
    # git would wait on a FIFO in the place of one of the files that it opens first.
    plain = read_small_file(theirs / "HEAD") is not None and all(
        not os.path.lexists(theirs / name) or read_small_file(theirs / name) is not None
        for name in ("config", "packed-refs", "shallow", "objects/info/alternates", "info/grafts")
    )
    return None if plain else "git_unreadable"


def _head_drift(theirs: Path, workspace: Workspace) -> tuple[Drift, ...]:
    drift: list[Drift] = []
    head = (read_small_file(theirs / "HEAD") or b"").decode("utf-8", "replace").strip()
    own = f"refs/heads/{workspace.branch}"
    if not head.startswith("ref: "):
        drift.append("head_detached")
    elif head.removeprefix("ref:").strip() != own:
        drift.append("branch_switched")
    if any(os.path.lexists(theirs / name) for name in _UNFINISHED):
        drift.append("operation_in_progress")
    return tuple(drift)


def _forgotten_branch(workspace: Workspace, history: _History, staged: Staged) -> Commit | None:
    """The Run's own branch, when it has work and the agent ended on the untouched start instead."""
    own = history.branches.get(f"{_HEADS}{workspace.branch}")
    ended_at_start = history.head in {None, workspace.start} and not staged.changed
    return own if ended_at_start else None


async def _commit(git: Git, place: Place, staged: Staged, parent: Commit, leftovers: Leftovers) -> Commit:
    made = await git.read(
        place,
        "commit-tree",
        staged.tree,
        "-p",
        parent,
        stdin=leftovers.message.encode("utf-8", "replace"),
        env=signed(leftovers.author, leftovers.at),
    )
    return parse_commit(made.decode().strip())


async def _side_branches(
    git: Git, workspace: Workspace, history: _History, tip: Commit
) -> tuple[SideBranch, ...]:
    """What the agent committed or stashed elsewhere, by hash: its names are its own and prove nothing."""
    others = {commit for commit in history.branches.values() if commit not in {tip, workspace.start}}
    if not others or others == {history.head}:
        return ()
    place = Place(git_dir=workspace.git_dir)
    listing = await git.read(
        place, "for-each-ref", f"--no-merged={tip}", "--format=%(objectname)", f"{_THEIRS}/"
    )
    commits = sorted(set(listing.decode().split()))[:MAX_SIDE_BRANCHES]
    return tuple(
        SideBranch(ref=f"refs/podium/side/{workspace.run}/{commit}", tip=parse_commit(commit))
        for commit in commits
    )


async def _distance(git: Git, place: Place, base: Commit, tip: Commit, *, one: bool) -> tuple[int, int]:
    """How many commits the tip has over the base, and the base over the tip. `one`: known to be one."""
    if base == tip or one:
        return int(base != tip), 0
    counted = await git.read(place, "rev-list", "--count", "--left-right", f"{base}...{tip}", "--")
    behind, ahead = counted.split()
    return int(ahead), int(behind)
