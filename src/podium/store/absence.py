"""What the Writer remembers while its database is away: why, since when, and who does not know yet."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from podium.kernel import events as e
from podium.kernel.errors import PodiumError, Unavailable
from podium.store.meta import set_meta
from podium.store.unit import Batch, Unit

if TYPE_CHECKING:
    from podium.store.writer import Call

FIRST_PAUSE_S = 0.02
MAX_PAUSE_S = 1.0
"""Between two attempts to connect again."""
IN_DOUBT_S = 20.0
"""How long a caller waits to learn whether its command was committed, before it is told that nobody knows."""


class Absence:
    """`for_good`: somebody else writes now, and only an end of this server helps."""

    def __init__(self, told: PodiumError, *, for_good: bool) -> None:
        self.told = told
        self.for_good = for_good
        self.began = time.monotonic()
        self.calls: list[Call[Any]] = []
        """Whose commit was not answered."""
        self.batch: Batch | None = None

    def refusal(self) -> PodiumError:
        """For one caller: an error must not be raised twice."""
        return type(self.told)(self.told.message, hint=self.told.hint)

    def doubt(self, calls: list[Call[Any]], batch: Batch | None) -> None:
        self.calls, self.batch = calls, batch

    def lasts_s(self) -> float:
        return time.monotonic() - self.began

    def take_doubted(self) -> list[Call[Any]]:
        """Those who wait for the truth, once."""
        calls, self.calls = self.calls, []
        return calls


def not_known() -> Unavailable:
    return Unavailable(
        "the database went away at the commit: it is not known whether this was done",
        hint="ask again with the same Idempotency-Key, or look",
        in_doubt=True,
    )


def not_done() -> Unavailable:
    return Unavailable("the database went away before the commit: this was not done", hint="try again")


def note_return(unit: Unit, *, away_s: float, lost_events: int, era: str) -> None:
    """The first thing written after an absence."""
    set_meta(unit, "boot_id", era)
    returned = e.DatabaseReturned(away_s=round(away_s, 3), lost_events=lost_events)
    unit.append(returned, by="server")
