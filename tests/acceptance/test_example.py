"""The script that a stranger writes with the API's document alone, while the server is killed under it."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

from podium.testing.fleet import Fleet
from tests.support import eventually, script

ROOT = Path(__file__).resolve().parents[2]
COUNT = 50


def test_fifty_tasks_are_opened_followed_and_fetched_once_each_across_a_killed_server(
    fleet: Fleet, repository: Path, tmp_path: Path
) -> None:
    steps = ({"do": "edit", "path": "b.txt", "write": "b\n"}, {"do": "commit", "message": "b"})
    words = [ROOT / "docs/examples/fifty_tasks.py", repository, "scripted", script(*steps), str(COUNT)]
    out = tmp_path / "out"
    with out.open("wb") as file:
        running = subprocess.Popen(
            [sys.executable, *words], env=fleet.environ, stdout=file, stderr=subprocess.STDOUT
        )
        try:
            for lines in (1, 10):  # while it opens tasks or begins to follow, and while it follows
                eventually(lambda lines=lines: out.read_text().count("lines of diff") >= lines, 120)
                fleet.kill("server")
                eventually(lambda: "connection lost" in out.read_text(), 30)
                fleet.start_all()
            assert running.wait(300) == 0, out.read_text()
        finally:
            running.kill()
            running.wait()
    told = re.findall(r"^ *\d+ (task\.\w+) +(task_\w+) (\d+) lines of diff$", out.read_text(), re.MULTILINE)
    assert len(told) == len({task for _, task, _ in told}) == COUNT
    assert {(kind, lines) for kind, _, lines in told} == {("task.done", "7")}
    assert len(fleet.events(type="task.opened")) == COUNT, "none was opened twice"
