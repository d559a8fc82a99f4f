"""Named fault points: no-op hooks at the moments where a crash would hurt most.

Product code calls `reach("name")`; it costs one global read. Only a process whose environment says
`PODIUM_FAULT=name:count` arms one (the composition root does, through `arm`): at its count-th passing
the process kills itself with SIGKILL, so tests and `podium bench faults` die exactly there.
"""

from __future__ import annotations

from collections.abc import Callable

POINTS: frozenset[str] = frozenset(
    {
        "command.before_commit",
        "command.after_commit",
        "dispatch.leased",
        "dispatch.before_send",
        "worker.order_received",
        "worker.order_stored",
        "workspace.cloned",
        "launch.before_spawn",
        "launch.after_spawn",
        "spool.decoded",
        "spool.reported",
        "ingest.before_commit",
        "ingest.after_commit",
        "finish.captured",
        "finish.bundled",
        "finish.uploaded",
        "finish.checked",
        "finish.reported",
        "finish.imported",
        "finish.committed",
        "worker.forgotten",
    }
)
"""Every point that exists. A test asserts that each is reached by code and killed by the bench."""

_hook: Callable[[str], None] | None = None


def arm(hook: Callable[[str], None] | None) -> None:
    """Install the hook called at every point; None disarms. One per process."""
    global _hook
    _hook = hook


def reach(point: str) -> None:
    """Pass a named point. Does nothing unless armed."""
    if _hook is not None:
        _hook(point)
