"""The live diff of a run's workspace, made with our own git directory and a private index."""

from __future__ import annotations

from podium.bus import messages as m
from podium.git import workspace
from podium.kernel.errors import NotFound
from podium.worker.context import WorkerContext
from podium.worker.home import RunHome


async def answer_diff(context: WorkerContext, home: RunHome, ask: m.AskDiff) -> m.Answer:
    """Raises NotFound when the run has no workspace here (any more)."""
    order, base = home.order(), home.base()
    if order is None or order.repository is None or base is None:
        raise NotFound("this run has no workspace here")
    diff = await workspace.live_diff(
        context.git,
        context.home.workspace(order.workspace_of),
        mirror=context.home.mirror(order.repository),
        git_dir=home.git,
        base=base,
        limit_bytes=ask.limit_bytes,
    )
    return m.DiffIs(patch=diff.patch, truncated=diff.truncated)
