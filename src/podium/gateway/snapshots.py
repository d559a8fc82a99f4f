"""The last live diff of each run that was asked for: what is shown while its worker cannot be reached."""

from __future__ import annotations

from collections import OrderedDict
from typing import NamedTuple

from podium.kernel.clock import Clock

MAX_SNAPSHOTS = 16
MAX_SNAPSHOT_BYTES = 1024 * 1024


class Snapshot(NamedTuple):
    patch: bytes
    truncated: bool
    at: float


class Snapshots:
    """In memory only, the newest few: a comfort, not a fact."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._kept: OrderedDict[str, Snapshot] = OrderedDict()

    def keep(self, run_id: str, patch: bytes, truncated: bool) -> None:
        self._kept.pop(run_id, None)
        if len(patch) <= MAX_SNAPSHOT_BYTES:
            self._kept[run_id] = Snapshot(patch, truncated, self._clock.monotonic())
        while len(self._kept) > MAX_SNAPSHOTS:
            self._kept.popitem(last=False)

    def last(self, run_id: str) -> tuple[str, float] | None:
        """(patch as text, its age in seconds)."""
        found = self._kept.get(run_id)
        if found is None:
            return None
        return found.patch.decode("utf-8", "replace"), self._clock.monotonic() - found.at
