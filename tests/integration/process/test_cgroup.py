"""The cgroup v2 leaf of a run, where this machine lets us have one; and that nothing is missed where not."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from podium import process
from podium.process import cgroup, feed, layout
from podium.process.base import Exited, Vanished
from podium.process.identity import identify, is_alive, signal_process, wait_gone
from podium.process.launcher import Launcher
from podium.process.probe import probe
from podium.process.sweep import kill_tree
from tests.integration.process.runs import LIMIT_S, Runs, python, until
from tests.support import eventually_in_loop

pytestmark = pytest.mark.anyio
MAIN = Path(process.__file__).with_name("__main__.py")
ASK = [sys.executable, "-I", "-S", str(MAIN), "cgroup"]
PARENT = subprocess.run(ASK, capture_output=True, text=True, timeout=30).stdout
needs_leaf = pytest.mark.skipif(not PARENT, reason="no cgroup v2 leaf can be made on this machine")

# As far away as a program can get: forked twice, a session of its own, no environment, no descriptors.
ESCAPED = """
import os, signal
if not os.fork():
    os.setsid()
    if os.fork():
        os._exit(0)
    with open("pid.new", "w") as file:
        file.write(str(os.getpid()))
    os.rename("pid.new", "pid")
    os.closerange(0, 100)
    os.execve("/bin/sleep", ["sleep", "1000"], {})
os.wait()
signal.pause()
"""


def leaf_of(run: Path) -> str:
    return (run / layout.CGROUP).read_text()


@needs_leaf
async def test_what_cleared_its_environment_does_not_outlive_a_killed_holder_and_agent(runs: Runs) -> None:
    run = await runs.launch(*python(ESCAPED))
    await until(runs.cwd, lambda: (runs.cwd / "pid").exists())
    escaped = identify(int((runs.cwd / "pid").read_text()))
    assert escaped
    for victim in runs.held(run):
        signal_process(victim, signal.SIGKILL)
        assert await wait_gone(victim, LIMIT_S)
    assert is_alive(escaped)
    assert probe(run) == Vanished()

    assert kill_tree(run) == 1
    assert not is_alive(escaped)
    assert not os.path.exists(leaf_of(run))
    assert kill_tree(run) == 0


@needs_leaf
async def test_the_leaf_holds_the_agents_tree_without_its_holder_and_is_removed_at_the_end(
    runs: Runs,
) -> None:
    run = await runs.launch(*python(ESCAPED))
    await until(runs.cwd, lambda: (runs.cwd / "pid").exists())
    _, agent = runs.held(run)
    leaf = leaf_of(run)
    assert sorted(cgroup.members(leaf)) == sorted([agent.pid, int((runs.cwd / "pid").read_text())])
    feed.order_kill(run)
    assert (await runs.ended(run)).survivors == 0
    assert not os.path.exists(leaf)


@needs_leaf
async def test_groups_that_an_agent_made_below_its_leaf_end_with_it(runs: Runs) -> None:
    code = """
import os
own = [line[3:].strip() for line in open("/proc/self/cgroup") if line.startswith("0::")][0]
mount = [line.split()[4] for line in open("/proc/self/mountinfo") if " - cgroup2 " in line][0]
os.makedirs(mount + own + "/mine/deeper")
open(mount + own + "/mine/deeper/cgroup.procs", "w").write("0")
os.write(1, b"up\\n")
os.read(0, 1)
"""
    run = await runs.launch(*python(code))
    await runs.said(run, b"up")
    leaf = leaf_of(run)
    assert cgroup.members(leaf) == [runs.held(run)[1].pid]
    feed.order_kill(run)
    assert isinstance(await runs.ended(run), Exited)
    assert not os.path.exists(leaf)


@needs_leaf
async def test_a_run_whose_leaf_is_said_to_be_anothers_kills_nobody_there(runs: Runs) -> None:
    mine = await runs.launch("sleep", "1000", name="mine")
    other = await runs.launch("sleep", "1000", name="other", env={layout.MARKER_VARIABLE: "another"})
    (mine / layout.CGROUP).write_text(leaf_of(other))
    for victim in runs.held(mine):
        signal_process(victim, signal.SIGKILL)
        assert await wait_gone(victim, LIMIT_S)
    assert kill_tree(mine) == 0
    assert is_alive(runs.held(other)[1])


@needs_leaf
async def test_leaves_of_killed_holders_are_removed_by_the_next_template_and_others_are_kept(
    runs: Runs,
) -> None:
    run = await runs.launch("sleep", "1000")
    lost = await runs.launch("sleep", "1000", name="lost")
    abandoned = leaf_of(lost)
    assert os.path.exists(abandoned)
    # From here on the next template may also be one of a test beside us.
    for victim in runs.held(lost):
        signal_process(victim, signal.SIGKILL)
        assert await wait_gone(victim, LIMIT_S)
    async with Launcher() as another:
        await another.launch(runs.spec("true", name="after"))
    await eventually_in_loop(lambda: not os.path.exists(abandoned))
    assert cgroup.members(leaf_of(run)) == [runs.held(run)[1].pid]


@needs_leaf
async def test_a_template_that_ends_leaves_no_group_behind(tmp_path: Path) -> None:
    before = set(os.listdir(PARENT))
    async with Launcher() as started:
        await started.launch(Runs(tmp_path, started).spec("true"))
    await eventually_in_loop(lambda: not _of_dead_holders(set(os.listdir(PARENT)) - before))


def _of_dead_holders(names: set[str]) -> set[str]:
    """Other tests have leaves too, at the same time; theirs belong to living holders."""
    pids = {name: name.split("-")[2] for name in names if name.startswith(cgroup.PREFIX)}
    return {name for name, pid in pids.items() if not (pid.isdigit() and identify(int(pid)))}


AS_NOBODY = """
import os
from podium.process import cgroup
os.setgroups([]); os.setgid(65534); os.setuid(65534)
print(repr(cgroup.find_parent()))
"""


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root to become another user")
def test_who_may_not_make_a_group_has_none_and_hears_of_no_error() -> None:
    done = subprocess.run([sys.executable, "-c", AS_NOBODY], capture_output=True, text=True, timeout=30)
    assert (done.returncode, done.stdout, done.stderr) == (0, "''\n", "")


LAUNCH = """
import sys, anyio
from pathlib import Path
from podium.process.base import LaunchSpec
from podium.process.launcher import Launcher
from podium.process.probe import probe
from tests.support import eventually_in_loop
async def main():
    run = Path(sys.argv[1]) / "run"
    async with Launcher() as launcher:
        argv = ("sh", "-c", "setsid sleep 1000 & echo up")
        await launcher.launch(LaunchSpec(run_dir=run, cwd=run.parent, argv=argv, env={"PATH": sys.argv[2]}))
        await eventually_in_loop((run / "exit").exists)
    print((run / "cgroup").exists(), probe(run).left, probe(run).survivors)
anyio.run(main)
"""


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root for a machine without cgroups")
def test_where_no_group_can_be_had_a_run_ends_with_its_tree_all_the_same(tmp_path: Path) -> None:
    hidden = 'mount -t tmpfs none /sys/fs/cgroup && exec "$@"'
    command = ["unshare", "-m", "sh", "-c", hidden, "sh", sys.executable, "-c", LAUNCH]
    done = subprocess.run(
        [*command, str(tmp_path), os.environ["PATH"]],
        capture_output=True, text=True, timeout=60, cwd=Path(__file__).parents[3],
    )  # fmt: skip
    assert done.stdout.split() == ["False", "1", "0"], done.stderr


@needs_leaf
async def test_an_agent_whose_leaf_was_taken_away_starts_all_the_same_and_ends_with_its_tree(
    runs: Runs,
) -> None:
    def waiting_leaf() -> str:
        """Of the holder that this launcher's template keeps ahead."""
        for name in os.listdir(PARENT):
            words = name.split("-")
            ours = name.startswith(cgroup.PREFIX) and len(words) == 4
            if ours and _same_socket(int(words[2]), runs.launcher.template_pid or 0):
                return name
        return ""

    name = await eventually_in_loop(waiting_leaf)
    os.rmdir(f"{PARENT}/{name}")
    run = await runs.launch(*python(ESCAPED))
    await until(runs.cwd, lambda: (runs.cwd / "pid").exists())
    assert cgroup.members(leaf_of(run)) == []
    feed.order_kill(run)
    assert (await runs.ended(run)).survivors == 0
    assert identify(int((runs.cwd / "pid").read_text())) is None


def _same_socket(pid: int, template: int) -> bool:
    def sockets(of: int) -> set[str]:
        try:
            found = {os.readlink(entry) for entry in Path(f"/proc/{of}/fd").iterdir()}
        except OSError:
            return set()
        return {name for name in found if name.startswith("socket:")}

    return bool(sockets(pid) & sockets(template))
