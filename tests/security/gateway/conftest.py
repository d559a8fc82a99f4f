from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import pytest

from tests.databases import on_each_database  # noqa: F401 (every test here runs on each database)
from tests.integration.gateway.serving import Serving, serving


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture
async def rig(tmp_path: Path) -> AsyncIterator[Serving]:
    async with serving(tmp_path) as running:
        yield running


@pytest.fixture
async def http(rig: Serving) -> AsyncIterator[httpx.AsyncClient]:
    async with rig.client() as client:
        yield client
