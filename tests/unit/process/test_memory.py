"""How the process keeps house with memory."""

from __future__ import annotations

import gc
from collections.abc import Iterator

import pytest

from podium.process.memory import collect_less


@pytest.fixture(autouse=True)
def as_before() -> Iterator[None]:
    threshold = gc.get_threshold()
    yield
    gc.set_threshold(*threshold)
    gc.unfreeze()


class Knot:
    """Holds itself: only the collector frees it."""

    freed = 0

    def __init__(self) -> None:
        self.me = self

    def __del__(self) -> None:
        Knot.freed += 1


def test_what_lived_before_is_not_looked_through_and_new_cycles_are_still_freed() -> None:
    lived: list[object] = []
    collect_less()
    assert not any(one is lived for one in gc.get_objects())
    Knot()
    gc.collect()
    assert Knot.freed == 1
    assert gc.get_threshold()[0] > 700
