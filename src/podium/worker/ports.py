"""What a worker is given from outside: what differs between a daemon, a separate worker and a test."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Literal, Protocol

from msgspec import Struct

from podium.kernel.ids import ArtifactId, RunId, TaskId, WorkerId


class OutputOf(Struct, frozen=True, kw_only=True):
    """Which raw output an artifact is: of a run that has ended."""

    run_id: RunId
    stream: Literal["out", "err"]
    size: int
    """Bytes, unpacked."""


class Upload(Protocol):
    async def __call__(
        self, path: Path, *, media_type: str, name: str, task_id: TaskId, output: OutputOf | None
    ) -> ArtifactId:
        """Store a file's bytes as an artifact on the server; again with the same bytes is no change.
        Raises Unavailable while the server is down, StorageFull, TooLarge."""


class Download(Protocol):
    async def __call__(self, artifact_id: ArtifactId, path: Path) -> None:
        """Fetch the snapshot of an open task into a file, whole or not at all, its bytes proved.
        Raises Unavailable while the server is down, NotFound."""


class WorkerSettings(Struct, frozen=True, kw_only=True):
    worker_id: WorkerId
    node: str
    capacity: int
    version: str
    environ: Mapping[str, str]
    harnesses: Mapping[str, str] = {}
    """Of the configuration, beside ours: short name → dotted path."""
    keys: Path = Path("/nonexistent")
    """Directory of the files that hold keys, by name."""
    finish_turn_s: float = 60.0
    """How long an agent whose holder died may take to end by itself."""
    keep_workspaces: bool = False
