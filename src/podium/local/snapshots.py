"""`podium run --include-dirty`: a checkout's uncommitted work, as an artifact that a task starts from."""

from __future__ import annotations

import tempfile
import time
from pathlib import Path

import anyio
from msgspec import Struct

from podium.client.api import Client
from podium.git import bundle
from podium.git.base import Commit, Identity
from podium.git.capture import Leftovers
from podium.git.checkout import CheckoutState, checkout_state, user_identity
from podium.git.names import SNAPSHOT
from podium.git.snapshot import Snapshot, shared_with, snapshot
from podium.git.urls import parse_url
from podium.kernel.errors import InvalidRequest, RepositoryUnusable
from podium.kernel.ids import ArtifactId
from podium.local.checkouts import local_git

PODIUM = Identity(name="Podium", email="podium@localhost")
"""Whom a snapshot is by, when the user's git has no identity."""
MAX_NAMED = 5


class Taken(Struct, frozen=True, kw_only=True):
    """What the task starts from."""

    repository: str
    base: Commit
    artifact: ArtifactId | None
    """None when nothing is uncommitted: the base alone says it all."""
    notes: tuple[str, ...]


def take(client: Client, repo: str | None) -> Taken:
    """Snapshot the checkout that `--repo` names, or the one around the working directory, and upload it.

    With an address as `--repo` the task's source is that, and the snapshot carries what it does not have.
    The checkout is not changed in any way. Raises InvalidRequest where there is no checkout, TooLarge.
    """
    is_here = repo is None or Path(repo).is_dir()
    where = Path(repo) if repo is not None and is_here else Path()
    try:
        state = anyio.run(checkout_state, local_git(), where.absolute())
    except RepositoryUnusable as error:
        raise InvalidRequest(
            "there is no checkout here whose uncommitted changes could be included",
            hint="go to one, or name it with --repo",
        ) from error
    source = str(state.top) if repo is None or is_here else repo
    with tempfile.TemporaryDirectory(prefix="podium-snapshot-") as folder:
        out = Path(folder) / "snapshot.bundle"
        made = anyio.run(_make, state, None if is_here else source, Path(folder) / "git", out)
        if made.commit == made.base:
            notes = (f"Nothing in {state.top} is uncommitted.", *_told(made))
            return Taken(repository=source, base=made.base, artifact=None, notes=notes)
        artifact = client.put_artifact(out, name="snapshot.bundle", media_type="application/x-git-bundle")
        size = f"{-(-out.stat().st_size // 1024):,} KiB"
    note = (
        f"{state.uncommitted} uncommitted file(s) in {state.top} are included ({made.commit[:12]}, {size})."
    )
    return Taken(repository=source, base=made.base, artifact=artifact, notes=(note, *_told(made)))


async def _make(state: CheckoutState, address: str | None, git_dir: Path, out: Path) -> Snapshot:
    git = local_git()
    leftovers = Leftovers(
        message=f"Uncommitted work in {state.top.name}",
        author=await user_identity(git, state, PODIUM),
        at=int(time.time()),
    )
    made = await snapshot(git, state.top, git_dir, leftovers)
    if made.commit != made.base:
        known = made.base if address is None else await _known_there(state, made, address)
        await bundle.make(git, made.git_dir, known, made.commit, SNAPSHOT, out)
    return made


async def _known_there(state: CheckoutState, made: Snapshot, address: str) -> Commit | None:
    """The newest commit below the snapshot that the source is known to have; None sends the whole history."""
    try:
        url = parse_url(address)
    except InvalidRequest:
        return None  # `owner/name`: only the server knows where that is
    return await shared_with(local_git(), state, url, made.base)


def _told(made: Snapshot) -> tuple[str, ...]:
    notes = []
    if made.unsaved:
        notes.append(f"Not included, since unreadable or no files: {_named(made.unsaved)}.")
    if made.submodules:
        notes.append(
            f"Submodules are as the last commit has them, without the work in {_named(made.submodules)}."
        )
    return tuple(notes)


def _named(paths: tuple[str, ...]) -> str:
    more = len(paths) - MAX_NAMED
    return ", ".join(paths[:MAX_NAMED]) + (f" and {more} more" if more > 0 else "")
