"""Workspaces: made for a Run, shown while it works, removed once its work is elsewhere.

A workspace is a clone made by hand: `.git` borrows the mirror's objects, and the files are checked out
through our own git directory for the Run, whose index then knows every file (so that a later capture reads
only what changed). `<git_dir>/workspace.json` is written last: with it the workspace is complete and an
agent may have worked in it; without it nobody ever did, and making it starts over.
"""

from __future__ import annotations

import os
import shutil
from contextlib import suppress
from pathlib import Path

import msgspec

from podium.git.base import Commit, Diff, Identity, WorkAtRisk, Workspace
from podium.git.changes import tree_diff
from podium.git.command import Git, Place, upload_pack
from podium.git.layout import NewGitDir, discard, inside, real_directory, write_git_dir
from podium.git.names import parse_commit, run_ref
from podium.git.staging import drop_index, scratch_index, stage
from podium.git.threads import in_thread
from podium.git.untouched import remember
from podium.kernel.errors import Conflict, GitFailed

MARKER = "workspace.json"
LIVE_DIFF_ATTEMPTS = 3
NO_PUSH = "/dev/null/podium-lands-changes-itself"
"""Where an agent's `git push` goes: nowhere, with a path that says why."""


async def create(git: Git, workspace: Workspace, root: Path, *, author: Identity) -> None:
    """Make a workspace below `root`; a second call, also after a kill at any point, ends in the same state.

    `author` is whom the agent's own commits are by. The mirror must have `base` and `start`. The remote
    `origin` fetches from the mirror and pushes nowhere. Raises WorkspaceGone when a complete workspace has
    lost its tree since, Conflict when the directory belongs to another Run, GitFailed.
    """
    inside(workspace.path, root)
    inside(workspace.git_dir, root)
    known = read_marker(workspace.git_dir)
    if known is not None:
        if known != workspace:
            raise Conflict("Another workspace lives in this directory.", path=str(workspace.path))
        real_directory(workspace.path)
        return
    await in_thread(_clear, workspace, root)
    write_git_dir(workspace.git_dir, _our_side(workspace))
    workspace.path.mkdir(mode=0o700, parents=True)
    place = Place(git_dir=workspace.git_dir, work_tree=workspace.path)
    await git.run(place, "read-tree", "-m", "-u", workspace.start)
    await in_thread(_finish, workspace, author)


def _clear(workspace: Workspace, root: Path) -> None:
    discard(workspace.path, root)
    discard(workspace.git_dir, root)


def _finish(workspace: Workspace, author: Identity) -> None:
    write_git_dir(workspace.path / ".git", _agents_side(workspace, author))
    shutil.copyfile(workspace.git_dir / "index", workspace.path / ".git/index")
    remember(workspace)
    aside = workspace.git_dir / f"{MARKER}.new"
    aside.write_bytes(msgspec.json.encode(workspace, enc_hook=str))
    aside.rename(workspace.git_dir / MARKER)


def _our_side(workspace: Workspace) -> NewGitDir:
    return NewGitDir(
        head=workspace.start,
        config={"core": {"hooksPath": "/dev/null", "logAllRefUpdates": "false"}, "gc": {"auto": "0"}},
        bare=False,
        hash_length=len(workspace.base),
        alternates=(workspace.mirror / "objects",),
    )


def _agents_side(workspace: Workspace, author: Identity) -> NewGitDir:
    remote = {
        "url": str(workspace.mirror),
        "pushurl": NO_PUSH,
        "fetch": "+refs/remotes/origin/*:refs/remotes/origin/*",
    }
    return NewGitDir(
        head=f"ref: refs/heads/{workspace.branch}",
        config={
            "core": {"logAllRefUpdates": "true"},
            "user": {"name": author.name, "email": author.email},
            "commit": {"gpgSign": "false"},
            "gc": {"auto": "0"},
            "maintenance": {"auto": "false"},
            "remote origin": remote,
        },
        bare=False,
        hash_length=len(workspace.base),
        alternates=(workspace.mirror / "objects",),
        refs={f"refs/heads/{workspace.branch}": workspace.start},
    )


def read_marker(git_dir: Path) -> Workspace | None:
    """The workspace that a git directory of ours was completed for."""
    try:
        content = (git_dir / MARKER).read_bytes()
    except FileNotFoundError:
        return None
    return msgspec.json.decode(content, type=Workspace, dec_hook=lambda kind, value: kind(value))


async def live_diff(git: Git, workspace: Workspace, *, limit_bytes: int) -> Diff:
    """What the files differ from the base right now, new files included, while the agent writes.

    Leaves nothing behind: objects go to a directory that is removed. Raises WorkspaceGone, and GitFailed
    when the files change faster than three attempts.
    """
    real_directory(workspace.path)
    for _ in range(LIVE_DIFF_ATTEMPTS - 1):
        # A file that vanished or grew between being listed and being read fails the whole of it.
        with suppress(GitFailed):
            return await _live_diff(git, workspace, limit_bytes)
    return await _live_diff(git, workspace, limit_bytes)


async def _live_diff(git: Git, workspace: Workspace, limit_bytes: int) -> Diff:
    index = scratch_index(workspace.git_dir, "live")
    objects = index.with_suffix(".objects")
    objects.mkdir()
    place = Place(git_dir=workspace.git_dir, work_tree=workspace.path, index=index, objects=objects)
    try:
        staged = await stage(git, place, workspace.start, index_at=workspace.start)
        return await tree_diff(git, place, workspace.base, staged.tree, limit_bytes)
    finally:
        drop_index(index)
        shutil.rmtree(objects, ignore_errors=True)


async def remove(git: Git, workspace: Workspace, root: Path) -> None:
    """Remove a workspace whose work is under its refs in the mirror, proved now; else raise WorkAtRisk.

    Files that `.gitignore` excludes are no work. Repeatable; a workspace that never became complete, or
    whose tree is gone already, has nothing to prove.
    """
    if read_marker(workspace.git_dir) is not None and _there(workspace.path):
        await _prove_saved(git, workspace)
    await destroy(workspace, root)


def _there(path: Path) -> bool:
    return os.path.lexists(path) and real_directory(path) == path


async def destroy(workspace: Workspace, root: Path) -> None:
    """Remove a workspace without asking what is in it. Symlink-safe; only below `root`."""
    await in_thread(_clear, workspace, root)


async def _prove_saved(git: Git, workspace: Workspace) -> None:
    ref = f"{run_ref(workspace.run)}^{{commit}}"
    mirror = Place(git_dir=workspace.mirror)
    found = await git.run(mirror, "rev-parse", "--verify", "--quiet", ref, ok=(0, 1))
    if found.code != 0:
        raise WorkAtRisk(run=workspace.run)
    tip = parse_commit(found.stdout.decode().strip())
    index = scratch_index(workspace.git_dir, "prove")
    try:
        place = Place(git_dir=workspace.git_dir, work_tree=workspace.path, index=index)
        staged = await stage(git, place, tip, index_at=workspace.start)
    finally:
        drop_index(index)
    if staged.changed or staged.unsaved:
        named = [path.decode("utf-8", "backslashreplace") for path in staged.unsaved[:20]]
        raise WorkAtRisk(run=workspace.run, unsaved=named)
    if not await _reachable(git, workspace, await _tips(git, workspace)):
        raise WorkAtRisk(run=workspace.run)


async def _tips(git: Git, workspace: Workspace) -> list[Commit]:
    """Every commit that the agent's repository still names; none when it can no longer be read."""
    source = workspace.path
    if (source / ".git").is_symlink() or not (source / ".git").is_dir():
        return []
    try:
        listing = await git.read(
            None, "ls-remote", "--quiet", f"--upload-pack={upload_pack(source)}", "--", str(source)
        )
    except GitFailed:
        return []
    names = (line.partition("\t") for line in listing.decode("utf-8", "replace").splitlines())
    work = {
        value for value, _, name in names if name == "HEAD" or name.startswith(("refs/heads/", "refs/stash"))
    }
    return [parse_commit(value) for value in sorted(work)]


async def _reachable(git: Git, workspace: Workspace, commits: list[Commit]) -> bool:
    """Whether refs of the mirror contain every one of the commits: their objects then stay."""
    words = ("rev-list", "--max-count=1", "--stdin", "--not", "--all")
    try:
        beyond = await git.read(Place(git_dir=workspace.mirror), *words, stdin="\n".join(commits).encode())
    except GitFailed:
        # One of them is not even there.
        return False
    return not commits or not beyond.strip()
