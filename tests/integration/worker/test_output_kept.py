"""The raw output of a run whose worker dies between its recorded end and keeping that output."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import anyio
import pytest

from podium.engine.commands import OpenTask
from podium.kernel.ids import ArtifactId
from podium.kernel.nouns import Agent
from podium.testing.rig import Rig
from tests.support import eventually_in_loop

SCRIPT = json.dumps({"steps": [{"id": "say", "do": "say", "text": "x"}]})


class Stuck(Rig):
    """Its uploads never end."""

    began = False

    async def upload(self, path: Path, **fields: Any) -> ArtifactId:
        self.began = True
        await anyio.sleep_forever()
        raise AssertionError


@pytest.mark.anyio
@pytest.mark.parametrize("anyio_backend", ["asyncio"])
async def test_it_is_kept_by_the_worker_that_comes_after(tmp_path, anyio_backend):
    """Once: it was tidied away with the rest."""
    rig = Stuck(tmp_path / "home")
    async with rig.running():
        await rig.define(Agent(name="scripted", harness="scripted"))
        task = await rig.open(OpenTask(prompt=SCRIPT, agent="scripted"))
        await rig.ended(task.id)
        await eventually_in_loop(lambda: rig.began)
    rig = Rig(tmp_path / "home")
    async with rig.running():
        await eventually_in_loop(lambda: not list(rig.worker_home.runs.iterdir()))
        assert (await rig.run_of(task.id)).out is not None
