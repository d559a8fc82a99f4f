"""What one measurement says: a value beside its floor and its budget."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from msgspec import Struct


class Figure(Struct, frozen=True, kw_only=True):
    """`floor`: what no implementation could beat, measured in the same run where that is possible.
    `at_least`: a rate, where more is better; otherwise the value must not exceed the budget."""

    name: str
    value: float
    unit: str
    floor: float
    budget: float
    at_least: bool = False

    def plain(self) -> dict[str, Any]:
        """As printed and saved; a saved run is read again by later ones."""
        met = self.value >= self.budget if self.at_least else self.value <= self.budget
        return {
            "name": self.name,
            "value": round(self.value, 3),
            "unit": self.unit,
            "floor": round(self.floor, 3),
            "ratio": round(self.value / self.floor, 3) if self.floor else 0.0,
            "budget": round(self.budget, 3),
            "at_least": self.at_least,
            "met": met,
        }


def middle(taken: Sequence[Figure]) -> Figure:
    """Of one figure taken several times: the one whose distance from its own floor is the median. Value,
    floor and budget stay those of one moment on the machine."""
    ordered = sorted(taken, key=lambda one: one.value / one.floor if one.floor else one.value)
    return ordered[(len(ordered) - 1) // 2]


class Measurement(Struct, frozen=True, kw_only=True):
    """Figures that come from one set-up; `names` are known before it is made."""

    names: tuple[str, ...]
    take: Callable[[], Iterator[Figure]]
    full: bool = False
    """Only with --full: it takes long or much memory."""


def percentile(values: Sequence[float], share: float) -> float:
    """Nearest rank; raises ValueError for no values, which no figure can be made of."""
    if not values:
        raise ValueError("nothing was measured")
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(len(ordered) * share))]


def median(values: Sequence[float]) -> float:
    return statistics.median(values)
