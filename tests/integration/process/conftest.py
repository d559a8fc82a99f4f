from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from podium.process.launcher import Launcher
from podium.process.sweep import sweep_marker
from tests.integration.process.runs import Runs


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture
async def launcher() -> AsyncIterator[Launcher]:
    async with Launcher() as started:
        yield started


@pytest.fixture
async def runs(tmp_path: Path, launcher: Launcher) -> AsyncIterator[Runs]:
    house = Runs(tmp_path, launcher)
    yield house
    await house.clean_up()
    sweep_marker(f"PODIUM_RUN={house.marker}".encode())
