"""How long the worker waits between two looks, and the alarm that a follower waits beside."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path

import pytest

from podium.process.base import Watch
from podium.process.watch import DirectoryWatch
from podium.worker.limits import Alarm
from podium.worker.watching import MAX_PAUSE_S, Watching

pytestmark = pytest.mark.anyio
LIMIT_S = 10.0


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture
async def watch() -> Watch:
    return DirectoryWatch()


@pytest.fixture
def watching(watch: Watch) -> Iterator[Watching]:
    made = Watching(watch)
    yield made
    made.close()


def steady(watching: Watching, changes_per_s: float, seconds: float = 5.0) -> float:
    """The pause after so much of one rate."""
    now, pause = 0.0, 0.0
    while now < seconds:
        step = max(pause, 0.0005)
        now += step
        pause = watching._pause_s(round(changes_per_s * now) - round(changes_per_s * (now - step)), now)
    return pause


async def test_a_few_agents_are_never_waited_for(watching: Watching) -> None:
    assert steady(watching, 100) < 0.000_1


async def test_the_pause_grows_faster_than_what_happens_and_has_an_end(watching: Watching) -> None:
    some, more = steady(watching, 2_000), steady(watching, 4_000)
    assert 0.0005 < some < 0.002
    assert more > 3 * some
    assert steady(watching, 50_000) == MAX_PAUSE_S


async def test_silence_brings_the_pause_back(watching: Watching) -> None:
    assert steady(watching, 50_000) == MAX_PAUSE_S
    assert watching._pause_s(1, 60.0) < 0.000_1


async def test_what_changes_during_a_pause_is_told_after_it(watching: Watching, tmp_path: Path) -> None:
    news = asyncio.Event()
    with watching.watched(tmp_path, news):
        running = asyncio.create_task(watching.run())
        for number in range(20):
            (tmp_path / str(number)).touch()
            async with asyncio.timeout(LIMIT_S):
                await news.wait()
            news.clear()
        running.cancel()


async def test_an_alarm_rings_once_and_can_then_be_set_anew() -> None:
    news = asyncio.Event()
    with Alarm(news) as alarm:
        alarm.ring_after(0.001)
        assert alarm.is_set
        async with asyncio.timeout(LIMIT_S):
            await news.wait()
        assert not alarm.is_set
        alarm.ring_after(3_600)
        left = alarm._timer
    assert left is not None
    assert left.cancelled()
