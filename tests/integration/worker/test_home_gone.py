"""What a worker does when its disk is taken away under a run. Once: its directories were made anew in a home
that was gone, and its agent was nearly launched again."""

from __future__ import annotations

import json
import shutil
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from podium.engine.commands import OpenTask
from podium.kernel.ids import ArtifactId
from podium.kernel.nouns import Agent
from podium.testing.rig import Rig
from podium.worker import worker
from tests.support import eventually_in_loop

SCRIPT = json.dumps({"steps": [{"id": "say", "do": "say", "text": "x"}]})


class Disturbed(Rig):
    """Something happens to the disk at the first upload, which then fails."""

    happens: Callable[[], object]
    uploads = 0

    async def upload(self, path: Path, **fields: Any) -> ArtifactId:
        self.uploads += 1
        if self.uploads == 1:
            self.happens()
            raise FileNotFoundError(path)
        return await super().upload(path, **fields)


@pytest.fixture
def rig(tmp_path, monkeypatch) -> Disturbed:
    monkeypatch.setattr(worker, "RETRY_S", 0.01)
    return Disturbed(tmp_path / "home")


async def ended_once(rig: Disturbed) -> None:
    await rig.define(Agent(name="scripted", harness="scripted"))
    task = await rig.open(OpenTask(prompt=SCRIPT, agent="scripted"))
    assert (await rig.ended(task.id)).state.word == "done"
    await eventually_in_loop(lambda: rig.uploads)


@pytest.mark.anyio
@pytest.mark.parametrize("anyio_backend", ["asyncio"])
async def test_a_run_whose_files_are_removed_at_its_end_is_not_begun_again(rig, anyio_backend):
    rig.happens = lambda: [shutil.rmtree(run) for run in rig.worker_home.runs.iterdir()]
    async with rig.running():
        await ended_once(rig)
        await eventually_in_loop(lambda: not rig.worker._attempts)
        assert list(rig.worker_home.runs.iterdir()) == []


@pytest.mark.anyio
@pytest.mark.parametrize("anyio_backend", ["asyncio"])
async def test_a_home_that_is_away_at_the_end_of_a_run_is_not_made_anew_and_the_run_is_put_away_later(
    rig, anyio_backend, tmp_path
):
    home, elsewhere = rig.worker_home.path, tmp_path / "elsewhere"
    rig.happens = lambda: home.rename(elsewhere)
    async with rig.running():
        await ended_once(rig)
        begun = time.monotonic()
        await eventually_in_loop(lambda: time.monotonic() - begun > 0.3)  # many looks
        assert not home.exists()
        elsewhere.rename(home)
        await eventually_in_loop(lambda: not rig.worker._attempts)
        assert list(rig.worker_home.runs.iterdir()) == []
