"""Time is an argument. Only `process.clock` reads the machine's clock; everything else is given one."""

from __future__ import annotations

from datetime import datetime
from typing import Protocol


class Clock(Protocol):
    def now(self) -> datetime:
        """The wall clock, UTC and aware. May jump; never used to decide that something expired."""

    def monotonic(self) -> float:
        """Seconds that never go backwards. Leases and time-outs are measured with it."""


class Entropy(Protocol):
    def __call__(self, count: int, /) -> bytes:
        """`count` random bytes."""
