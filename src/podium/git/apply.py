"""`podium apply`: a Change into the user's own checkout. The one place where we write there.

Everything that can fail is done elsewhere first: the bundle comes in through its quarantine, and when the
checkout has moved on, the commits are replayed in a scratch repository of ours. A Change that was made on a
snapshot of uncommitted work is always replayed, without that snapshot: what its user had not committed they
commit themselves, or not. What the checkout itself
sees is one fast-forward, which git does whole or refuses; so a conflict, or a kill at any moment, leaves it
as it was. The fast-forward runs with the user's configuration (line endings, LFS), without hooks.
"""

from __future__ import annotations

import asyncio
import tempfile
from pathlib import Path
from typing import Literal

from msgspec import Struct

from podium.git.base import (
    ApplyConflict,
    BranchName,
    CheckoutBusy,
    Commit,
    Identity,
    MissingPrerequisite,
    OtherRepository,
    RefName,
)
from podium.git.bundle import import_into
from podium.git.changes import shown
from podium.git.checkout import CheckoutState, checkout_state, user_identity
from podium.git.command import Git, Place
from podium.git.layout import NewGitDir, remove_tree, write_git_dir
from podium.git.mirror import has, import_commits
from podium.git.names import SNAPSHOT, parse_commit, parse_ref, snapshot_ref
from podium.kernel.errors import Conflict, GitFailed

MAX_CONFLICTS = 100
FALLBACK = Identity(name="Podium", email="podium@podium.invalid")
"""Whom replayed commits are committed by, when the user's git has no identity. Authors stay as they are."""


class Incoming(Struct, frozen=True, kw_only=True):
    """The Change to apply."""

    change: str
    """Its id; names the refs it gets in the checkout."""
    bundle: Path
    ref: RefName
    """What the bundle calls its tip."""
    base: Commit
    tip: Commit
    snapshot: Path | None = None
    """The bundle that has `base`, when that is a snapshot of uncommitted work; it is let in as well."""


class Applied(Struct, frozen=True, kw_only=True):
    """What became of it."""

    how: Literal["already_there", "fast_forward", "replayed", "merged", "branch"]
    head: Commit
    """The commit of the branch that now has the Change."""
    branch: str | None


async def apply_change(git: Git, checkout: Path, incoming: Incoming) -> Applied:
    """Bring the current branch to contain the Change: by fast-forward, else its commits replayed on top
    (merged, when they contain merges and no snapshot is below them).

    Repeatable: what is there already is said to be. Raises CheckoutBusy on uncommitted changes to tracked
    files or an unfinished operation, OtherRepository when the base is unknown here, ApplyConflict with
    `files`, and what `bundle.import_into` raises. After an error the checkout is
    as it was (git may have written ORIG_HEAD).
    """
    state = await checkout_state(git, checkout)
    if state.busy:
        raise CheckoutBusy(operation=state.operation, files=list(state.changed[:20]))
    head = await _take_in(git, state, incoming)
    if await _is_there(git, state, incoming, head):
        return Applied(how="already_there", head=head, branch=state.branch)
    on_its_base = incoming.snapshot is None or await _contains(git, state, incoming.base, head)
    if on_its_base and await _contains(git, state, head, incoming.tip):
        await _fast_forward(git, state, incoming.tip)
        return Applied(how="fast_forward", head=incoming.tip, branch=state.branch)
    how, result = await _replay(git, state, incoming, head)
    await _fast_forward(git, state, result)
    return Applied(how=how, head=result, branch=state.branch)


async def apply_as_branch(git: Git, checkout: Path, incoming: Incoming, branch: BranchName) -> Applied:
    """Make a branch of the Change and touch no file; also in a busy checkout.

    Raises Conflict when the branch exists with other content, else as `apply_change`.
    """
    state = await checkout_state(git, checkout)
    await _take_in(git, state, incoming)
    place = Place(git_dir=state.common_dir)
    ref = parse_ref(f"refs/heads/{branch}")
    try:
        await git.run(place, "update-ref", ref, incoming.tip, "0" * len(incoming.tip))
    except GitFailed as failure:
        found = await git.run(place, "rev-parse", "--verify", "--quiet", ref, ok=(0, 1))
        if found.stdout.decode().strip() != incoming.tip:
            raise Conflict(f"The branch {branch} exists; choose another name.") from failure
    return Applied(how="branch", head=incoming.tip, branch=branch)


async def _take_in(git: Git, state: CheckoutState, incoming: Incoming) -> Commit:
    """The Change's commits, in the checkout's repository under a ref of ours; gives the checkout's HEAD."""
    if state.head is None:
        raise OtherRepository(base=incoming.base, checkout=str(state.top))
    if not await has(git, state.common_dir, incoming.base):
        await _take_in_snapshot(git, state, incoming)
    kept = parse_ref(f"refs/podium/changes/{incoming.change}")
    tip = await import_into(git, state.common_dir, incoming.bundle, expect_ref=incoming.ref, to_ref=kept)
    if tip != incoming.tip:
        raise Conflict("The bundle holds another commit than the change.", bundle=tip, change=incoming.tip)
    return state.head


async def _take_in_snapshot(git: Git, state: CheckoutState, incoming: Incoming) -> None:
    if incoming.snapshot is None:
        raise OtherRepository(base=incoming.base, checkout=str(state.top))
    kept = snapshot_ref(incoming.change)
    try:
        await import_into(git, state.common_dir, incoming.snapshot, expect_ref=SNAPSHOT, to_ref=kept)
    except MissingPrerequisite as error:
        raise OtherRepository(base=incoming.base, checkout=str(state.top)) from error


async def _is_there(git: Git, state: CheckoutState, incoming: Incoming, head: Commit) -> bool:
    """Whether the branch has the Change, as it was made or as an earlier call replayed it."""
    replayed = await _replayed(git, state, incoming)
    if replayed is not None and await _contains(git, state, replayed, head):
        return True
    return await _contains(git, state, incoming.tip, head)


async def _replayed(git: Git, state: CheckoutState, incoming: Incoming) -> Commit | None:
    ref = f"refs/podium/applied/{incoming.change}^{{commit}}"
    place = Place(git_dir=state.common_dir)
    found = await git.run(place, "rev-parse", "--verify", "--quiet", ref, ok=(0, 1))
    return parse_commit(found.stdout.decode().strip()) if found.code == 0 else None


async def _contains(git: Git, state: CheckoutState, inner: Commit, outer: Commit) -> bool:
    place = Place(git_dir=state.common_dir)
    return (await git.run(place, "merge-base", "--is-ancestor", inner, outer, ok=(0, 1))).code == 0


async def _fast_forward(git: Git, state: CheckoutState, tip: Commit) -> None:
    try:
        await git.as_user().run(state.place, "merge", "--quiet", "--ff-only", "--no-stat", tip)
    except GitFailed as failure:
        raise ApplyConflict(
            "git would not update the files: untracked files are in the way, or the branch has moved.",
            hint="Move those files away, then apply again.",
            stderr=failure.details.get("stderr", ""),
        ) from failure


async def _replay(
    git: Git, state: CheckoutState, incoming: Incoming, head: Commit
) -> tuple[Literal["replayed", "merged"], Commit]:
    """The Change's commits on top of `head`, made in a scratch repository and kept under a ref of ours."""
    scratch = Path(await asyncio.to_thread(tempfile.mkdtemp, prefix="podium-apply-", dir=state.common_dir))
    try:
        tree = scratch / "tree"
        tree.mkdir()
        place = Place(git_dir=scratch / "git", work_tree=tree)
        new = NewGitDir(
            head=head,
            # Sparse with nothing in it: only files in conflict are ever written out.
            config={"core": {"hooksPath": "/dev/null", "sparseCheckout": "true"}, "gc": {"auto": "0"}},
            bare=False,
            hash_length=len(head),
            alternates=(state.common_dir / "objects",),
        )
        write_git_dir(place.git_dir, new)
        (place.git_dir / "info/sparse-checkout").write_text("/.podium-nothing\n")
        # In an index that is full of absent files git would see deletions; this one is told to expect them.
        await git.run(place, "read-tree", "-m", "-u", head)
        how = await _pick_or_merge(git, state, place, incoming)
        result = parse_commit((await git.read(place, "rev-parse", "--verify", "HEAD")).decode().strip())
        kept = parse_ref(f"refs/podium/applied/{incoming.change}")
        await import_commits(git, place.git_dir, state.common_dir, {kept: result})
        return how, result
    finally:
        remove_tree(scratch)


async def _pick_or_merge(
    git: Git, state: CheckoutState, place: Place, incoming: Incoming
) -> Literal["replayed", "merged"]:
    span = f"{incoming.base}..{incoming.tip}"
    committer = await user_identity(git, state, FALLBACK)
    env = {"GIT_COMMITTER_NAME": committer.name, "GIT_COMMITTER_EMAIL": committer.email}
    merges = await git.read(place, "rev-list", "--count", "--merges", span, "--")
    pick = ("cherry-pick", "--allow-empty", "--keep-redundant-commits")
    try:
        if merges.strip() == b"0":
            await git.run(place, *pick, span, env=env)
            return "replayed"
        if incoming.snapshot is not None:
            # A merge would bring the snapshot along: the first parents one by one, each with all it changed.
            line = await git.read(place, "rev-list", "--reverse", "--first-parent", span, "--")
            await git.run(place, *pick, "-m", "1", "--stdin", stdin=line, env=env)
            return "replayed"
        message = f"Merge change {incoming.change}"
        # A merge commit is the user's own; a replayed one keeps its author.
        env |= {name.replace("COMMITTER", "AUTHOR"): value for name, value in env.items()}
        await git.run(place, "merge", "--quiet", "--no-ff", "-m", message, incoming.tip, env=env)
    except GitFailed as failure:
        files = await _conflicts(git, place)
        if not files:
            raise
        raise ApplyConflict(files=files, hint="Apply it as a branch and merge by hand.") from failure
    return "merged"


async def _conflicts(git: Git, place: Place) -> list[str]:
    listing = await git.read(place, "diff", "--name-only", "-z", "--diff-filter=U", "--no-ext-diff")
    return [shown(path) for path in listing.split(b"\0") if path][:MAX_CONFLICTS]
