"""One run beside an earlier one: how much dearer each figure became, each measured by its own run's floor.

A slower or busier machine makes floor and value worse together, so what is compared is how far a value lies
from its floor.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from msgspec import Struct

WORSE = 1.25
"""From here on a figure is marked. Two runs of the same code on a shared machine differ by less, mostly."""


class Compared(Struct, frozen=True, kw_only=True):
    """`change` 1.0: as before, 2.0: twice as far from its floor, None: it has no counterpart."""

    name: str
    change: float | None
    worse: bool = False

    def words(self) -> str:
        if self.change is None:
            return "new"
        return f"x{self.change:.2f}" + (" WORSE" if self.worse else "")


def dearness(figure: Mapping[str, Any]) -> float:
    """How many times its floor a figure costs; of a rate, how many times slower than its floor it is.

    Raises ValueError for a figure that measured nothing.
    """
    value, floor = float(figure["value"]), float(figure["floor"])
    if value <= 0 or floor <= 0:
        raise ValueError(f"{figure['name']} measured nothing")
    return floor / value if figure.get("at_least") else value / floor


def compare(
    now: Sequence[Mapping[str, Any]], then: Sequence[Mapping[str, Any]], *, worse: float = WORSE
) -> list[Compared]:
    """One for each figure of `now`, in its order."""
    before = {figure["name"]: figure for figure in then}
    return [_one(figure, before.get(figure["name"]), worse) for figure in now]


def _one(now: Mapping[str, Any], then: Mapping[str, Any] | None, worse: float) -> Compared:
    name = str(now["name"])
    if then is None or then["unit"] != now["unit"]:
        return Compared(name=name, change=None)
    change = dearness(now) / dearness(then)
    return Compared(name=name, change=change, worse=change > worse)


def over(compared: Sequence[Compared], limit: float) -> list[str]:
    """The names of figures that became dearer than `limit` times."""
    return [one.name for one in compared if one.change is not None and one.change > limit]
