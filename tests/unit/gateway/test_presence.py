"""Which workers a gateway that follows takes for heard: as it was told last; nobody while it is not told."""

from __future__ import annotations

import pytest

from podium.bus.messages import HeardWorker, MainIs
from podium.gateway.presence import AskedPresence
from podium.kernel.errors import Unavailable
from podium.kernel.ids import WorkerId
from podium.testing.clock import FakeClock

pytestmark = pytest.mark.anyio
HERE, GONE = WorkerId("worker_" + "0" * 26), WorkerId("worker_" + "1" * 26)


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


class Main:
    away = False

    async def ask(self) -> MainIs:
        if self.away:
            raise Unavailable
        workers = (
            HeardWorker(worker_id=HERE, capacity=4, connected=True, silent_s=0.5),
            HeardWorker(worker_id=GONE, capacity=2, connected=False, silent_s=9.0),
        )
        return MainIs(version="1", epoch="e", workers=workers)


async def test_before_it_was_told_anything_it_knows_nobody() -> None:
    presence = AskedPresence(FakeClock(), Main().ask)
    assert not presence.is_connected(HERE)
    assert presence.silence_s(HERE) is None
    assert presence.capacities() == {}


async def test_it_knows_what_the_server_knows_and_silence_goes_on_from_there() -> None:
    clock = FakeClock()
    presence = AskedPresence(clock, Main().ask)
    await presence.refresh()
    clock.advance(2.0)
    assert (presence.is_connected(HERE), presence.is_connected(GONE), presence.is_connected(None)) == (
        True,
        False,
        False,
    )
    assert (presence.silence_s(HERE), presence.silence_s(GONE)) == (2.5, 11.0)
    assert presence.capacities() == {HERE: 4}


async def test_while_the_server_is_away_nobody_is_connected_and_silence_grows() -> None:
    clock, main = FakeClock(), Main()
    presence = AskedPresence(clock, main.ask)
    await presence.refresh()
    main.away = True
    clock.advance(5.0)
    await presence.refresh()
    assert not presence.answers
    assert not presence.is_connected(HERE)
    assert presence.silence_s(HERE) == 5.5
    assert presence.capacities() == {}
    main.away = False
    await presence.refresh()
    assert presence.is_connected(HERE)
