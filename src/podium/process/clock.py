"""The real clock."""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta


class SystemClock:
    """Wall clock in UTC, shifted by `offset_s` seconds (fault tests skew nodes), and the real steady one."""

    def __init__(self, offset_s: float = 0.0) -> None:
        self._offset = timedelta(seconds=offset_s)

    def now(self) -> datetime:
        """Aware, UTC. May jump; never subtract two of them to measure."""
        return datetime.now(UTC) + self._offset

    def monotonic(self) -> float:
        """Seconds from an arbitrary point; never jumps, never shifted."""
        return time.monotonic()
