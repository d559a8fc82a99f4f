"""The README's tour is tried as it is written: every `./podium` line of it, in order."""

from __future__ import annotations

import json
import os
import re
import shlex
import signal
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from podium.testing.fleet import Fleet

from .conftest import git

README = Path(__file__).resolve().parents[2] / "README.md"
ELSEWHERE = ("demo", "test")
"""Tried by tests of their own."""
NEEDS_A_LOGIN = 'run "fix the failing test"'
FOLLOWS = "logs -f"


def tour() -> list[str]:
    """What the README says to type, without its explanations."""
    lines = re.findall(r"^\./podium (.+)$", README.read_text(), re.MULTILINE)
    typed = [re.split(r"\s{3,}", line)[0].strip() for line in lines]
    return [line for line in typed if line.split()[0] not in ELSEWHERE]


@pytest.fixture
def home(tmp_path: Path) -> Iterator[Fleet]:
    """Nothing started: the tour does that itself, and ends it."""
    programs = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    made = Fleet(tmp_path / "home", separate=False, environ={"PATH": programs})
    yield made
    if (made.home / "server.json").exists():
        made.cli("down", "--stop-agents")


def test_the_tour_of_the_readme_works_line_by_line(home, repository):
    (repository / "x.py").write_text("import os\nimport sys\n\nprint(sys.argv)\n")
    git(repository, "add", ".")
    git(repository, "commit", "-q", "-m", "untidy")
    task = ""
    for line in tour():
        if NEEDS_A_LOGIN in line:
            continue
        words = shlex.split(line.replace("PATH", str(repository)).replace("TASK", task))
        done = home.cli(*words)
        assert done.returncode == 0, f"{line}\n{done.stdout}\n{done.stderr}"
        if words[0] == "run":
            newest = json.loads(home.cli("tasks", "list", "--json").stdout)["items"][0]
            assert newest["status"]["word"] == "review", newest
            task = newest["id"]
        if words[0] == "diff":
            assert "-import os" in done.stdout
    assert "import os" not in (repository / "x.py").read_text(), "applied"
    assert not (home.home / "server.json").exists(), "down"


def test_the_tour_says_what_it_must():
    verbs = [line.split()[0] for line in tour()]
    assert verbs == [
        "up",
        "status",
        "run",
        "agents",
        "run",
        "ps",
        "logs",
        "diagnose",
        "diff",
        "apply",
        "down",
    ]


def test_a_server_killed_in_the_tour_comes_back_with_the_same_agent(home, repository, tmp_path):
    gate = tmp_path / "gate"
    assert home.cli("up", "--detach").returncode == 0
    script = f"while ! test -e {gate}; do sleep 0.05; done; echo new > new.txt"
    assert home.cli("agents", "add", "slow", "--harness", "command", "--", "sh", "-c", script).returncode == 0
    opened = home.cli("run", "slow", "--repo", str(repository), "--agent", "slow", "--detach")
    task = opened.stdout.split()[0]
    os.kill(_pid(home), signal.SIGKILL)
    gate.touch()
    assert home.cli("up", "--detach").returncode == 0
    assert home.cli("wait", task).returncode == 0
    assert "+new" in home.cli("diff", task).stdout


def _pid(home: Fleet) -> int:
    return int(json.loads((home.home / "server.json").read_text())["pid"])


def test_what_the_demo_suggests_can_be_typed_anywhere(tmp_path):
    """`apply` without `--repo` was refused in the clone, where the demo is started."""
    fleet = Fleet(tmp_path / "home", separate=False)
    told = fleet.cli("demo", "--once", timeout_s=120)
    assert told.returncode == 0, told.stderr
    apply = next(line for line in told.stdout.splitlines() if "./podium apply " in line)
    words = shlex.split(apply.split("./podium ")[1])
    assert fleet.cli("up", "--detach").returncode == 0
    try:
        done = fleet.cli(*words, cwd=tmp_path)
        assert done.returncode == 0, done.stderr
    finally:
        assert fleet.cli("down", "--stop-agents").returncode == 0
