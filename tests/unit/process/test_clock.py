from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta

from podium.kernel.clock import Clock
from podium.process.clock import SystemClock


def test_the_clock_tells_the_time_in_utc() -> None:
    clock: Clock = SystemClock()
    before = datetime.now(UTC)
    now = clock.now()
    assert now.utcoffset() == timedelta(0)
    assert before <= now <= datetime.now(UTC)


def test_a_skewed_clock_is_off_by_its_offset_and_runs_as_steadily() -> None:
    clock = SystemClock(offset_s=-300)
    assert abs(clock.now() - (datetime.now(UTC) - timedelta(seconds=300))) < timedelta(seconds=5)
    before = time.monotonic()
    assert before <= clock.monotonic() <= time.monotonic()
