"""A project's bare mirror on this node, and what can be asked of its source.

The mirror only ever gains objects: no gc, no repack, because workspaces borrow from it. It has one refspec
and is not a `--mirror`: a branch that somebody else deletes or rewrites never touches `refs/podium/*`.
"""

from __future__ import annotations

import os
import re
from pathlib import Path

from podium.git.base import Commit, Mirror, ProbeResult, Reason, RefName, unusable
from podium.git.checkout import git_dirs
from podium.git.command import (
    NETWORK,
    NETWORK_TIMEOUT_S,
    PROBE_TIMEOUT_S,
    Bounds,
    Git,
    Place,
    receive_pack,
    upload_pack,
)
from podium.git.layout import NewGitDir, has_config, write_git_dir
from podium.git.locks import past_stale_locks
from podium.git.names import name_problem, parse_commit, parse_ref
from podium.git.turn import turn
from podium.git.urls import RepositoryUrl, parse_url
from podium.kernel.errors import GitFailed, RepositoryUnusable

HEADS = "refs/remotes/origin/"
SOURCE_HEAD = "refs/podium/source/head"
SOURCE = "refs/podium/source/"
MAX_PROBE_BYTES = 32 * 1024 * 1024

_PROBE = Bounds(timeout_s=PROBE_TIMEOUT_S, limit_bytes=MAX_PROBE_BYTES)
_FETCH = ("fetch", "--quiet", "--no-tags", "--no-write-fetch-head", "--no-auto-maintenance")


def git_dir_config(url: str) -> dict[str, dict[str, str]]:
    """The configuration of a mirror. What `receive-pack` reads stands here: `-c` does not reach it."""
    return {
        "core": {"hooksPath": "/dev/null", "logAllRefUpdates": "false"},
        "gc": {"auto": "0"},
        "maintenance": {"auto": "false"},
        "receive": {"fsckObjects": "true", "autogc": "false"},
        "transfer": {"fsckObjects": "true"},
        "remote origin": {"url": url, "fetch": f"+refs/heads/*:{HEADS}*"},
    }


async def probe(git: Git, url: RepositoryUrl) -> ProbeResult:
    """Ask a source for its branches, within 15 s. Raises RepositoryUnusable: `not_found`,
    `not_a_repository`, `unreachable` or `shallow`; an empty repository is an answer, not an error."""
    if url.kind == "local":
        _check_local(url.path)
    try:
        listing = await git.read(
            None,
            "ls-remote",
            "--quiet",
            "--symref",
            *_other_side(url),
            "--",
            url.text,
            "HEAD",
            "refs/heads/*",
            bounds=_PROBE,
            env=git.remote_environment(url),
        )
    except GitFailed as failure:
        raise _unreachable(url, failure) from failure
    return _parse_listing(listing)


def _parse_listing(listing: bytes) -> ProbeResult:
    default: str | None = None
    head: Commit | None = None
    heads = 0
    for line in listing.decode("utf-8", "surrogateescape").splitlines():
        value, _, name = line.partition("\t")
        if name == "HEAD" and value.startswith("ref: "):
            default = value.removeprefix("ref: refs/heads/")
        elif name == "HEAD":
            head = parse_commit(value)
        elif name.startswith("refs/heads/"):
            heads += 1
    return ProbeResult(default_branch=default, head=head, heads=heads, empty=heads == 0 and head is None)


async def ensure(git: Git, path: Path, url: RepositoryUrl) -> Mirror:
    """The mirror of a source at `path`, made when it is not there. Repeatable; a source that moved is
    followed. Making one probes first, so an unusable source leaves nothing behind."""
    if not (path / "HEAD").exists():
        answer = await probe(git, url)
        new = NewGitDir(
            head="ref: refs/heads/podium-unborn",
            config=git_dir_config(url.text),
            bare=True,
            hash_length=len(answer.head) if answer.head else 40,
        )
        write_git_dir(path, new)
    if has_config(path, git_dir_config(url.text)):
        return Mirror(path=path, url=url.text)
    place = Place(git_dir=path)
    known = await git.run(place, "config", "--get", "remote.origin.url", ok=(0, 1))
    if known.stdout.decode().removesuffix("\n") != url.text:
        await git.run(place, "config", "remote.origin.url", url.text)
    return Mirror(path=path, url=url.text)


async def fetch(git: Git, mirror: Mirror, *, want: Commit | None = None) -> None:
    """Bring the source's branches and HEAD up to date; nothing at all when `want` is already here.

    One fetch at a time per mirror, across processes; callers that wait meanwhile share the next one.
    Raises RepositoryUnusable.
    """
    if want is not None and await has(git, mirror.path, want):
        return
    async with turn(mirror.path, timeout_s=NETWORK_TIMEOUT_S) as mine:
        if mine.already_done:
            return
        number = mine.begin()
        await _fetch_branches(git, mirror)
        mine.finish(number)


async def _fetch_branches(git: Git, mirror: Mirror) -> None:
    heads = f"+refs/heads/*:{HEADS}*"
    url = parse_url(mirror.url)
    if url.kind == "local":
        # First, because git fetches from a shallow clone with success and without its branches.
        _check_local(url.path)
    try:
        await _fetch_refs(git, mirror, f"+HEAD:{SOURCE_HEAD}", heads, "--prune")
    except GitFailed:
        # Its HEAD may point to a branch that does not exist; whatever else is wrong the probe names.
        if (await probe(git, url)).head is not None:
            raise
        await _fetch_refs(git, mirror, heads, "--prune")
        # What HEAD was at an earlier fetch is not what it is now.
        await git.run(Place(git_dir=mirror.path), "update-ref", "-d", SOURCE_HEAD)


async def _fetch_refs(git: Git, mirror: Mirror, *words: str) -> None:
    url = parse_url(mirror.url)
    argv = (
        *_FETCH,
        *(word for word in words if word.startswith("--")),
        *_other_side(url),
        "--",
        url.text,
        *(word for word in words if not word.startswith("--")),
    )
    place, env = Place(git_dir=mirror.path), git.remote_environment(url)
    await past_stale_locks(mirror.path, lambda: git.run(place, *argv, bounds=NETWORK, env=env))


async def has(git: Git, git_dir: Path, commit: Commit) -> bool:
    """Whether a commit is present."""
    found = await _look_up(git, git_dir, [f"{commit}^{{commit}}"])
    return found is not None


async def resolve(git: Git, mirror: Mirror, name: str) -> Commit:
    """The commit that a person's word means: `HEAD`, a branch of the source, a tag, a full hash, or an
    abbreviated one (7 digits or more, of a commit already here).

    A full hash that is present costs no fetch; everything else is looked up after one, since branches move.
    Raises RepositoryUnusable with `empty` or `unknown_base` beside the reasons of `probe`.
    """
    if re.fullmatch(r"[0-9a-f]{40}|[0-9a-f]{64}", name):
        return await _resolve_hash(git, mirror, parse_commit(name))
    if name != "HEAD" and name_problem(name):
        raise _unknown(name, mirror)
    await fetch(git, mirror)
    short = name.removeprefix("refs/heads/").removeprefix("refs/tags/")
    candidates = [SOURCE_HEAD] if name == "HEAD" else [f"{HEADS}{short}", f"refs/tags/{short}"]
    if re.fullmatch(r"[0-9a-f]{7,64}", name):
        candidates.append(name)
    found = await _look_up(git, mirror.path, [f"{candidate}^{{commit}}" for candidate in candidates])
    if found is None and name != "HEAD":
        found = await _fetch_tag(git, mirror, short)
    if found is not None:
        return found
    if (await probe(git, parse_url(mirror.url))).empty:
        raise unusable(
            "empty", f"The repository {mirror.url} has no commit yet.", "Make a first commit, then try again."
        )
    raise _unknown(name, mirror)


async def _resolve_hash(git: Git, mirror: Mirror, commit: Commit) -> Commit:
    await fetch(git, mirror, want=commit)
    if not await has(git, mirror.path, commit):
        # On no branch (a detached HEAD, somebody's remote branch): ask for exactly this commit.
        try:
            async with turn(mirror.path, timeout_s=NETWORK_TIMEOUT_S):
                await _fetch_refs(git, mirror, f"+{commit}:{SOURCE}{commit}")
        except GitFailed as failure:
            raise _unknown(commit, mirror) from failure
    return commit


async def _fetch_tag(git: Git, mirror: Mirror, name: str) -> Commit | None:
    ref = f"refs/tags/{name}"
    try:
        async with turn(mirror.path, timeout_s=NETWORK_TIMEOUT_S):
            await _fetch_refs(git, mirror, f"+{ref}:{ref}")
    except GitFailed:
        return None
    return await _look_up(git, mirror.path, [f"{ref}^{{commit}}"])


async def _look_up(git: Git, git_dir: Path, expressions: list[str]) -> Commit | None:
    """The first expression that names a commit here."""
    listing = await git.read(
        Place(git_dir=git_dir),
        "cat-file",
        "--batch-check=%(objectname)",
        stdin="\n".join(expressions).encode(),
    )
    for line in listing.decode().splitlines():
        if " " not in line:
            return parse_commit(line)
    return None


async def default_branch(git: Git, mirror: Mirror) -> str | None:
    """The branch that the source's HEAD names now; None when it is detached."""
    return (await probe(git, parse_url(mirror.url))).default_branch


async def import_commits(git: Git, source: Path, mirror: Path, refs: dict[RefName, Commit]) -> None:
    """Copy commits from a git directory of ours into a mirror, under these refs, all or none.

    A push, because only `receive-pack` has a quarantine: objects are checked (fsck, connectivity) apart and
    become visible when they passed. A ref that would lose commits is first copied to
    `refs/podium/rescue/…`. Repeatable. Raises GitFailed when the objects are refused; with `locked` in its
    details when a lock stood in the way, and trying again later may do.
    """
    await past_stale_locks(mirror, lambda: _import_commits(git, source, mirror, refs))


async def _import_commits(git: Git, source: Path, mirror: Path, refs: dict[RefName, Commit]) -> None:
    specs = [f"{commit}:{ref}" for ref, commit in refs.items()]
    push = ("push", "--quiet", "--atomic", "--no-verify", f"--receive-pack={receive_pack(mirror)}", "--")
    place = Place(git_dir=source)
    done = await git.run(place, *push, str(mirror), *specs, bounds=NETWORK, ok=(0, 1, 128))
    if done.code == 0:
        return
    rescued = [
        f"{old}:{parse_ref(ref.replace('refs/podium/', 'refs/podium/rescue/', 1) + '/' + old[:12])}"
        for ref in refs
        if (old := await _look_up(git, mirror, [f"{ref}^{{commit}}"])) is not None and old != refs[ref]
    ]
    if rescued:
        await git.run(Place(git_dir=mirror), *push, str(mirror), *rescued, bounds=NETWORK)
    await git.run(place, *push, str(mirror), *(f"+{spec}" for spec in specs), bounds=NETWORK)


def _other_side(url: RepositoryUrl) -> list[str]:
    return [f"--upload-pack={upload_pack(url.path)}"] if url.kind == "local" else []


def _check_local(path: Path) -> None:
    """What a look at the directory can say; exit codes of git cannot tell these apart."""
    if not os.path.lexists(path):
        raise unusable("not_found", f"{path} does not exist.", "Check the path.")
    found = git_dirs(path)
    if found is None:
        raise unusable(
            "not_a_repository",
            f"{path} is not a git repository.",
            "Give the top directory of a checkout, or run `git init` and make a first commit.",
        )
    if (found[1] / "shallow").exists():
        raise unusable(
            "shallow",
            f"{path} is a shallow clone; its history is incomplete.",
            "Run `git fetch --unshallow` in it, then try again.",
        )


def _unreachable(url: RepositoryUrl, failure: GitFailed) -> RepositoryUnusable:
    reason: Reason = "not_a_repository" if url.kind == "local" else "unreachable"
    return unusable(
        reason,
        f"git cannot read {url.text}.",
        "Check the address, the network and your access (for ssh: that `ssh` logs in without a question).",
        stderr=failure.details.get("stderr", ""),
    )


def _unknown(name: str, mirror: Mirror) -> RepositoryUnusable:
    return unusable(
        "unknown_base",
        f"{name[:80]!a} is no branch, tag or commit of {mirror.url}.",
        "Push it there first, or choose another base.",
    )
