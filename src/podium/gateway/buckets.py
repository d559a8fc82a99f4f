"""Token buckets: how often one principal or address may ask. Bounded in number, measured monotonically."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable

from podium.kernel.errors import RateLimited

MAX_BUCKETS = 10_000
BURST_S = 2.0
"""A bucket holds what comes in this time."""


class Buckets:
    def __init__(self, per_s: float, monotonic: Callable[[], float]) -> None:
        self._per_s = per_s
        self._size = max(1.0, per_s * BURST_S)
        self._monotonic = monotonic
        self._levels: OrderedDict[str, tuple[float, float]] = OrderedDict()

    def take(self, key: str) -> None:
        """One request by `key`. Raises RateLimited, saying when to come back."""
        level = self._level(key)
        if level < 1.0:
            raise RateLimited(retry_after_s=max(1, round((1.0 - level) / self._per_s)))
        self._levels[key] = (level - 1.0, self._monotonic())

    def check(self, key: str) -> None:
        """Raises RateLimited when `key` is used up; takes nothing."""
        if key in self._levels and self._level(key) < 1.0:
            raise RateLimited(retry_after_s=max(1, round(1.0 / self._per_s)))

    def _level(self, key: str) -> float:
        now = self._monotonic()
        level, at = self._levels.get(key, (self._size, now))
        if key in self._levels:
            self._levels.move_to_end(key)
        elif len(self._levels) >= MAX_BUCKETS:
            self._levels.popitem(last=False)
        return min(self._size, level + (now - at) * self._per_s)
