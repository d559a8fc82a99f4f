"""The workspace of a run: made before its agent starts, captured when it is gone, removed when it is safe."""

from __future__ import annotations

import contextlib
from pathlib import Path

import anyio
from msgspec.structs import replace

from podium.bus.messages import RunOrder
from podium.git import capture, mirror, workspace
from podium.git.base import Captured, Commit, Diff, Identity, Mirror, Workspace, WorkspaceGone
from podium.git.command import Place
from podium.git.names import parse_branch, parse_commit, parse_ref
from podium.git.urls import parse_url
from podium.kernel.errors import NotFound
from podium.kernel.ids import time_of
from podium.worker import attachments, snapshots
from podium.worker.context import WorkerContext

PODIUM = Identity(name="Podium", email="podium@localhost")


class RunPlace:
    """Where one run works on this node. Its facts are read from disk each time: nothing to keep in step."""

    def __init__(self, context: WorkerContext, order: RunOrder) -> None:
        self._context = context
        self._git = context.git
        self._root = context.home.workspaces
        self._home = context.home
        self._order = order
        self.tree = context.home.workspace(order.workspace_of)
        self._git_dir = context.home.workspace_git(order.workspace_of)

    def known(self) -> Workspace | None:
        """The complete workspace, as this run sees it; None before it is complete or without a repository."""
        found = workspace.read_marker(self._git_dir)
        return None if found is None else replace(found, run=self._order.run_id)

    def base(self) -> str | None:
        found = self.known()
        return None if found is None else found.base

    async def prepare(self) -> None:
        """An isolated clone on its own branch, or an empty directory. Repeatable after a kill at any point.

        Raises RepositoryUnusable when the source or the base cannot be had.
        """
        order = self._order
        if order.repository is None:
            await anyio.Path(self.tree).mkdir(parents=True, exist_ok=True, mode=0o700)
            return
        home = self._home.mirror(order.repository)
        source = await mirror.ensure(self._git, home, parse_url(order.repository))
        found = workspace.read_marker(self._git_dir)
        if found is not None and not self.tree.is_dir():
            # A run before us lost its tree; what it had committed is under its ref. Begin from the base.
            await workspace.destroy(found, self._root)
        if found is None:
            commit = await self._base_commit(source)
            found = Workspace(
                run=order.workspace_of,
                path=self.tree,
                git_dir=self._git_dir,
                mirror=home,
                base=commit,
                branch=parse_branch(order.branch),
                start=await self._start_commit(source) or commit,
            )
        author = Identity(name=f"{order.agent.name} (Podium)", email="agent@localhost")
        await workspace.create(self._git, found, self._root, author=author)

    async def _start_commit(self, source: Mirror) -> Commit | None:
        """Where an earlier run of the same conversation left the work; its ref keeps the commit here."""
        start = self._order.start
        return None if start is None else await mirror.resolve(self._git, source, start)

    async def _base_commit(self, source: Mirror) -> Commit:
        order = self._order
        if order.snapshot is None:
            return await mirror.resolve(self._git, source, order.base or "HEAD")
        return await snapshots.commit_of(
            self._context, source, order.snapshot, order.task_id, aside=self._home.run(order.run_id).path
        )

    async def capture(self, bundle: Path | None = None) -> Captured | None:
        """Save everything under `refs/podium/runs/<run>` of the node's mirror; None when nothing is there.

        `bundle`: where a small result is left as one.
        """
        found = self.known()
        if found is None:
            return None
        leftovers = capture.Leftovers(
            message=f"Work left uncommitted by {self._order.agent.name}",
            author=PODIUM,
            at=time_of(self._order.run_id),
        )
        try:
            return await capture.capture(self._git, found, leftovers, bundle=bundle)
        except WorkspaceGone:
            return None

    def is_gone(self) -> bool:
        """Whether the run was given a repository and the directory made of it is not there any more."""
        if self._order.repository is None:
            return False
        found = self.known()
        return found is None or not found.path.is_dir() or found.path.is_symlink()

    async def capture_as_lost(self) -> None:
        """The work of a run that is not ours any more: also under `refs/podium/lost/<run>`."""
        captured, found = await self.capture(), self.known()
        if captured is not None and found is not None:
            ref = parse_ref(f"refs/podium/lost/{self._order.run_id}")
            await self._git.run(Place(git_dir=found.mirror), "update-ref", ref, parse_commit(captured.tip))

    async def remove(self) -> None:
        """Remove the workspace once its work is proved to be in a ref. Raises WorkAtRisk, then all stays."""
        attachments.remove(self._context, self._order.workspace_of)
        found = self.known()
        if found is not None:
            await workspace.remove(self._git, found, self._root)
            with contextlib.suppress(OSError):  # what somebody put beside it is the janitor's
                (self._root / self._order.workspace_of).rmdir()

    async def live_diff(self, limit_bytes: int) -> Diff:
        """Raises NotFound when the run has no workspace here (any more)."""
        found = self.known()
        if found is None:
            raise NotFound("this run has no workspace here")
        return await workspace.live_diff(self._git, found, limit_bytes=limit_bytes)
