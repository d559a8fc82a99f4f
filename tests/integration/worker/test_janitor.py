"""What lies about for a week goes, when its work is safe; the rest stays."""

from __future__ import annotations

import os
import time

import pytest

from podium.testing.rig import Rig
from podium.worker.janitor import KEEP_S
from tests.support import eventually_in_loop


@pytest.mark.anyio
@pytest.mark.parametrize("anyio_backend", ["asyncio"])
async def test_old_scratch_directories_go_and_young_ones_stay(tmp_path, anyio_backend):
    rig = Rig(tmp_path / "home")
    rig.worker_home.open()
    old, young = (rig.worker_home.workspaces / f"run_{name}" for name in ("old", "young"))
    for folder in (old, young):
        (folder / "tree").mkdir(parents=True)
        (folder / "tree" / "file").write_text("x")
    past = time.time() - KEEP_S - 60
    os.utime(old, (past, past))
    async with rig.running():
        await eventually_in_loop(lambda: not old.exists())
    assert (young / "tree" / "file").exists()
