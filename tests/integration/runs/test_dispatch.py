"""Who is given a slot, and who is not held up by whom."""

from __future__ import annotations

import pytest

from podium.engine.commands import AddProject, OpenTask, add_project, open_task
from podium.engine.dispatch import LOOK_AHEAD
from podium.kernel.states import TaskState
from podium.store.unit import Unit
from podium.testing.rig import Rig

from .conftest import script
from .test_way_of_one_run import scripted

pytestmark = pytest.mark.anyio


@pytest.mark.parametrize("projects", [1, 2])
async def test_thousands_queued_in_full_projects_hold_up_nobody_behind_them(tmp_path, projects):
    async with Rig(tmp_path / "home", capacity=4).running() as rig:
        await scripted(rig)
        gate = tmp_path / "gate"
        wait = OpenTask(prompt=script({"id": "w", "do": "wait", "file": str(gate)}), agent="scripted")

        def fill(unit: Unit) -> None:
            for number in range(projects):
                ask = AddProject(name=f"full-{number}", max_running=1)
                add_project(unit, ask, by="test", ids=rig.ids)
            for number in range(projects * LOOK_AHEAD + 100):
                ask_task = OpenTask(prompt=wait.prompt, agent="scripted", project=f"full-{number % projects}")
                open_task(unit, ask_task, by="test", ids=rig.ids)

        await rig.store.writer.run(fill)
        rig.engine.wake()
        say = script({"id": "s", "do": "say", "text": "x"})
        behind = await rig.open(OpenTask(prompt=say, agent="scripted"))
        assert (await rig.ended(behind.id)).state.word is TaskState.DONE
        gate.touch()
