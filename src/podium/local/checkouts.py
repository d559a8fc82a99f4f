"""What a task starts from, as the user's checkouts say, and taking a change back into one."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

import anyio

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


def locate(repo: str | None, base: str | None) -> tuple[str | None, str | None, tuple[str, ...]]:
    """(repository, base, what to tell): `--repo` as it is unless it is a directory of this machine; without
    it the checkout around the working directory; None where there is none: an empty workspace.

    In a checkout the base is its HEAD as it is now, so that a commit made meanwhile changes nothing.
    Raises RepositoryUnusable for a path where nothing is.
    """
    if repo is not None and not Path(repo).is_dir():
        if repo.startswith(("/", "./", "~")):
            raise RepositoryUnusable(
                f"{repo[:200]} is no directory of this machine",
                hint="give the top directory of a checkout, or an address such as https://host/owner/name",
            )
        return repo, base, ()
    try:
        state = anyio.run(checkout_state, local_git(), Path(repo or ".").absolute())
    except RepositoryUnusable:
        if repo is not None:
            return str(Path(repo).absolute()), base, ()
        return None, base, ("No checkout here: the agent starts in an empty directory.",)
    notes = []
    if state.changed or state.untracked:
        count = len(state.changed) + state.untracked
        notes.append(
            f"{count} uncommitted file(s) in {state.top} are not included; commit them to include them."
        )
    return str(state.top), base or state.head, tuple(notes)


def apply(client: Client, change: Change, checkout: Path, branch: str | None = None) -> Applied:
    """Bring the checkout's branch to contain the change; with `branch`, make that branch and touch no file.

    Raises CheckoutBusy, OtherRepository, ApplyConflict; the checkout is then as it was.
    """
    name = parse_branch(branch) if branch is not None else None
    with tempfile.TemporaryDirectory(prefix="podium-apply-") as folder:
        bundle = Path(folder) / "change.bundle"
        with bundle.open("wb") as file:
            for piece in client.bundle(change.id):
                file.write(piece)
        incoming = Incoming(
            change=change.id,
            bundle=bundle,
            ref=run_ref(change.run_id),
            base=parse_commit(change.base),
            tip=parse_commit(change.tip),
        )
        try:
            if name is not None:
                return anyio.run(apply_as_branch, local_git(), checkout, incoming, name)
            return anyio.run(apply_change, local_git(), checkout, incoming)
        except ApplyConflict as error:
            if files := error.details.get("files"):
                error.message = f"{error.message} In conflict: {', '.join(files[:10])}"
                error.hint = (
                    f"make a branch of it and merge by hand: podium apply {change.task_id} --branch NAME"
                )
            raise
        except CheckoutBusy as error:
            error.hint = error.hint or "commit or stash them (git stash), then apply again"
            raise
        except OtherRepository as error:
            error.hint = (
                error.hint or "go to the repository that the task was opened for, or name it with --repo"
            )
            raise


def state_of(checkout: Path) -> CheckoutState:
    return anyio.run(checkout_state, local_git(), checkout)
