from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from podium.store.store import Store
from podium.testing.clock import FakeClock
from podium.testing.databases import chosen
from tests.databases import on_each_database  # noqa: F401 (every test here runs on each database)


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
async def store(tmp_path: Path, clock: FakeClock) -> AsyncIterator[Store]:
    opened = Store(tmp_path, clock, boot_id="boot-1", database_url=chosen.url(tmp_path))
    await opened.open("test")
    yield opened
    await opened.close()
