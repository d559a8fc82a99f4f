"""What a task starts from, as the user's checkouts say, and taking a change back into one."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

import anyio
from msgspec import Struct

from podium.client.api import Client
from podium.client.home import podium_home
from podium.git.apply import Applied, Incoming, apply_as_branch, apply_change
from podium.git.base import ApplyConflict, CheckoutBusy, OtherRepository
from podium.git.checkout import CheckoutState, checkout_state
from podium.git.command import Git
from podium.git.names import parse_branch, parse_commit, run_ref
from podium.kernel.errors import RepositoryUnusable
from podium.kernel.nouns import Change
from podium.process.command import execute


def local_git() -> Git:
    return Git(execute, podium_home() / "client" / "git-home", os.environ)


class Located(Struct, frozen=True, kw_only=True):
    """What a task starts from."""

    repository: str | None
    base: str | None
    notes: tuple[str, ...] = ()
    """What to tell the user."""


def locate(repo: str | None, base: str | None) -> Located:
    """`--repo` as it is unless it is a directory of this machine; without it the checkout around the working
    directory; no repository where there is none: an empty workspace.

    In a checkout the base is its HEAD as it is now, so that a commit made meanwhile changes nothing.
    Raises RepositoryUnusable for a path where nothing is.
    """
    if repo is not None and not Path(repo).is_dir():
        if repo.startswith(("/", "./", "~")):
            raise RepositoryUnusable(
                f"{repo[:200]} is no directory of this machine",
                hint="give the top directory of a checkout, or an address such as https://host/owner/name",
            )
        return Located(repository=repo, base=base)
    try:
        state = anyio.run(checkout_state, local_git(), Path(repo or ".").absolute())
    except RepositoryUnusable:
        if repo is not None:
            return Located(repository=str(Path(repo).absolute()), base=base)
        note = "No checkout here: the agent starts in an empty directory."
        return Located(repository=None, base=base, notes=(note,))
    notes: tuple[str, ...] = ()
    if state.uncommitted:
        note = f"{state.uncommitted} uncommitted file(s) in {state.top} are not included"
        notes = (f"{note}; commit them, or give --include-dirty.",)
    return Located(repository=str(state.top), base=base or state.head, notes=notes)


def apply(client: Client, change: Change, checkout: Path, branch: str | None = None) -> Applied:
    """Bring the checkout's branch to contain the change; with `branch`, make that branch and touch no file.

    Raises CheckoutBusy, OtherRepository, ApplyConflict; the checkout is then as it was.
    """
    name = parse_branch(branch) if branch is not None else None
    with tempfile.TemporaryDirectory(prefix="podium-apply-") as folder:
        bundle = _saved(client.bundle(change.id), Path(folder) / "change.bundle")
        snapshot = None
        if change.snapshot is not None:
            snapshot = _saved(client.artifact(change.snapshot), Path(folder) / "snapshot.bundle")
        incoming = Incoming(
            change=change.id,
            bundle=bundle,
            ref=run_ref(change.run_id),
            base=parse_commit(change.base),
            tip=parse_commit(change.tip),
            snapshot=snapshot,
        )
        try:
            if name is not None:
                return anyio.run(apply_as_branch, local_git(), checkout, incoming, name)
            return anyio.run(apply_change, local_git(), checkout, incoming)
        except ApplyConflict as error:
            if files := error.details.get("files"):
                error.message = f"{error.message} In conflict: {', '.join(files[:10])}"
                by_hand = (
                    f"make a branch of it and merge by hand: podium apply {change.task_id} --branch NAME"
                )
                own = (
                    "if they are yours and not committed, commit them and apply again; or "
                    if change.snapshot
                    else ""
                )
                error.hint = own + by_hand
            raise
        except CheckoutBusy as error:
            error.hint = error.hint or _how_to_go_on(change)
            raise
        except OtherRepository as error:
            error.hint = (
                error.hint or "go to the repository that the task was opened for, or name it with --repo"
            )
            raise


def _saved(pieces: Iterator[bytes], path: Path) -> Path:
    with path.open("wb") as file:
        for piece in pieces:
            file.write(piece)
    return path


def _how_to_go_on(change: Change) -> str:
    if change.snapshot is None:
        return "commit or stash them (git stash), then apply again"
    return (
        "the agent worked on top of them: commit them, then apply again; "
        f"or make a branch that has both: podium apply {change.task_id} --branch NAME"
    )


def state_of(checkout: Path) -> CheckoutState:
    return anyio.run(checkout_state, local_git(), checkout)
