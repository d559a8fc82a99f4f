from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import pytest

from podium.engine.engine import EngineSettings
from tests.databases import on_each_database  # noqa: F401 (every test here runs on each database)
from tests.integration.gateway.serving import WORKER, Serving, serving


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture
async def rig(tmp_path: Path) -> AsyncIterator[Serving]:
    home = tmp_path / "home"
    home.mkdir()
    async with serving(home, engine=EngineSettings(lease_ttl_s=600.0)) as running:
        running.engine.roster.hello(WORKER, 0)  # heard, and dispatch gives it nothing
        yield running


@pytest.fixture
async def http(rig: Serving) -> AsyncIterator[httpx.AsyncClient]:
    async with rig.client() as client:
        yield client
