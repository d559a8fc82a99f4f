"""Starting agents: once per run directory, whatever dies, and independent of who started them."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import anyio
import pytest

from podium.kernel.errors import InvalidRequest, NotFound, SpawnFailed, TooLarge
from podium.process import feed, layout, procfs
from podium.process.base import Alive, Exited, LaunchSpec
from podium.process.identity import identify, signal_process, wait_gone
from podium.process.launcher import Launcher
from podium.process.probe import probe
from tests.integration.process.runs import LIMIT_S, Runs, until
from tests.support import eventually_in_loop

pytestmark = pytest.mark.anyio

# Every start leaves a line in its working directory.
COUNTED = ("sh", "-c", "echo started >> starts; cat")

# A worker in another process: launches one agent and then stands still until it is killed.
WORKER = """
import sys, pathlib
sys.path.append({src!r})
import anyio, os
from podium.process.base import LaunchSpec
from podium.process.launcher import Launcher

async def main():
    async with Launcher() as launcher:
        run = pathlib.Path({run!r})
        await launcher.launch(LaunchSpec(
            run_dir=run, cwd=run.parent, argv=("cat",), env=dict(os.environ), initial_input=b"before\\n"))
        print(launcher.template_pid, flush=True)
        await anyio.sleep_forever()

anyio.run(main)
"""


def starts(runs: Runs) -> int:
    return (runs.cwd / "starts").read_text().count("started")


async def test_launching_a_running_run_again_starts_nothing(runs: Runs) -> None:
    run = await runs.launch(*COUNTED, initial_input=b"one\n")
    held = runs.held(run)
    await runs.launch(*COUNTED, initial_input=b"two\n")
    assert runs.held(run) == held
    feed.close_stdin(run)
    await runs.ended(run)
    assert (starts(runs), runs.output(run)) == (1, b"one\n")


async def test_launching_a_finished_run_again_starts_nothing(runs: Runs) -> None:
    run = await runs.launch(*COUNTED, close_stdin=True)
    end = await runs.ended(run)
    await runs.launch(*COUNTED, close_stdin=True)
    assert (probe(run), starts(runs)) == (end, 1)


async def test_launching_one_run_from_ten_sides_at_once_starts_it_once(runs: Runs) -> None:
    async with Launcher() as other, anyio.create_task_group() as together:
        spec = runs.spec(*COUNTED, initial_input=b"x\n", close_stdin=True)
        for number in range(10):
            together.start_soon((runs.launcher, other)[number % 2].launch, spec)
    await runs.ended(spec.run_dir)
    assert (starts(runs), runs.output(spec.run_dir)) == (1, b"x\n")


async def test_a_launch_cut_short_is_simply_done_again(runs: Runs) -> None:
    # What a worker leaves that was killed before its template heard of the run.
    run = runs.base / "run"
    run.mkdir()
    (run / layout.INPUT).write_bytes(b"an older prom")
    (run / layout.LAUNCH).write_bytes(b"\0torn")
    run_again = await runs.launch("cat", initial_input=b"prompt\n", close_stdin=True)
    await runs.ended(run_again)
    assert runs.output(run) == b"prompt\n"


async def test_after_the_template_was_killed_the_next_launch_works(runs: Runs) -> None:
    await runs.launch("cat", name="first")
    template = identify(runs.launcher.template_pid or 0)
    assert template
    signal_process(template, signal.SIGKILL)
    assert await wait_gone(template, LIMIT_S)
    second = await runs.launch("cat", name="second", initial_input=b"x\n", close_stdin=True)
    assert (await runs.ended(second)).code == 0
    assert isinstance(probe(runs.base / "first"), Alive)


async def test_when_the_waiting_holder_was_killed_the_next_launch_works(runs: Runs) -> None:
    await runs.launch("true", name="first")
    for _ in range(2):
        waiting = waiting_holder(runs.launcher)
        os.kill(waiting, signal.SIGKILL)
        run = await runs.launch("true", name=f"after-{waiting}")
        assert (await runs.ended(run)).code == 0


def waiting_holder(launcher: Launcher) -> int:
    """The process that shares the template's socket; it is forked right after each launch."""
    template = launcher.template_pid
    assert template
    for _ in range(10_000):
        sockets = {name for name in descriptors(template).values() if name.startswith("socket:")}
        for pid in procfs.all_pids():
            alone = pid != template and procfs.session_of(pid) == pid
            if alone and is_python_of(template, pid) and sockets & set(descriptors(pid).values()):
                return pid
    raise AssertionError("no holder is waiting")


def is_python_of(template: int, pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes() == Path(f"/proc/{template}/cmdline").read_bytes()
    except OSError:
        return False


def descriptors(pid: int) -> dict[int, str]:
    found = {}
    try:
        for entry in Path(f"/proc/{pid}/fd").iterdir():
            found[int(entry.name)] = os.readlink(entry)
    except OSError:
        pass
    return found


async def test_a_holder_has_no_descriptor_of_worker_or_template(runs: Runs) -> None:
    run = await runs.launch("sleep", "1000")
    holder, agent = runs.held(run)
    await until(run, lambda: not (run / layout.LAUNCH).exists())
    template = runs.launcher.template_pid or 0
    for pid in (holder.pid, agent.pid):
        # It hangs up right after its answer, by which the launch has ended.
        await eventually_in_loop(
            lambda pid=pid: (
                not {*descriptors(pid).values()}
                & ({*descriptors(template).values(), *descriptors(os.getpid()).values()} - {os.devnull})
            )
        )
    own = {name for name in descriptors(holder.pid).values() if not name.startswith("pipe:")}
    assert own == {os.devnull, str(run / "lock"), str(run / "bell"), str(run / "in")}


async def test_an_agent_outlives_its_worker_and_is_adopted_by_another(runs: Runs) -> None:
    run = runs.base / "adopted"
    src = str(Path(layout.__file__).parents[2])
    code = WORKER.format(src=src, run=str(run))
    worker = subprocess.Popen(
        [sys.executable, "-c", code],
        stdout=subprocess.PIPE,
        env={"PATH": os.environ["PATH"], layout.MARKER_VARIABLE: runs.marker},
    )
    with worker:
        assert worker.stdout
        template = identify(int(worker.stdout.readline()))
        worker.kill()
    assert template is None or await wait_gone(template, LIMIT_S), "the template ends with its worker"

    runs.held(run)
    feed.ring(run)
    assert [line for _, line in feed.sent_lines(run)] == [b"before"]
    feed.append_input(run, b"after")
    feed.close_stdin(run)
    assert (await runs.ended(run)).code == 0
    assert runs.output(run) == b"before\nafter\n"


async def test_closing_a_launcher_ends_its_template_and_no_agent(runs: Runs) -> None:
    async with Launcher() as launcher:
        spec = runs.spec("cat")
        await launcher.launch(spec)
        template = identify(launcher.template_pid or 0)
        assert template
    assert identify(template.pid) != template
    assert isinstance(probe(spec.run_dir), Alive)
    with pytest.raises(SpawnFailed, match="closed"):
        await launcher.launch(runs.spec("cat", name="late"))


async def test_forty_launches_at_once_all_come_up(runs: Runs) -> None:
    async with anyio.create_task_group() as together:
        for number in range(40):
            spec = runs.spec("cat", name=f"run-{number}", initial_input=b"x\n", close_stdin=True)
            together.start_soon(runs.launcher.launch, spec)
    for number in range(40):
        run = runs.base / f"run-{number}"
        assert (await runs.ended(run)).code == 0
        assert runs.output(run) == b"x\n"


@pytest.mark.parametrize(
    "fields",
    [
        {"argv": ()},
        {"argv": ("echo", "a\0b")},
        {"env": {"A=B": "c"}},
        {"env": {"": "c"}},
        {"env": {"A": "\0"}},
        {"initial_input": b"half a line"},
    ],
)
async def test_what_no_process_can_have_is_refused_before_anything_exists(
    runs: Runs, fields: dict[str, object]
) -> None:
    spec = LaunchSpec(
        **{"run_dir": runs.base / "refused", "cwd": runs.cwd, "argv": ("cat",), "env": {}, **fields}  # type: ignore[arg-type]
    )
    with pytest.raises(InvalidRequest):
        await runs.launcher.launch(spec)
    assert not spec.run_dir.exists()


async def test_a_holder_that_cannot_start_says_why_and_may_be_tried_again(runs: Runs) -> None:
    run = runs.base / "run"
    run.mkdir()
    (run / layout.BELL).mkdir()
    with pytest.raises(SpawnFailed, match="directory"):
        await runs.launch("cat", close_stdin=True)
    (run / layout.BELL).rmdir()
    await runs.launch("cat", close_stdin=True)
    assert isinstance(await runs.ended(run), Exited)


async def test_a_run_that_was_never_launched_takes_no_input(tmp_path: Path) -> None:
    with pytest.raises(NotFound):
        feed.append_input(tmp_path, b"x")
    feed.ring(tmp_path)
    assert list(feed.sent_lines(tmp_path)) == []


@pytest.mark.parametrize("line", [b"two\nlines", b"\x04", b"\x07", b"\x05" + b"9", b"ends in\x18"])
async def test_only_one_line_of_data_can_be_appended(runs: Runs, line: bytes) -> None:
    run = await runs.launch("cat")
    with pytest.raises(InvalidRequest):
        feed.append_input(run, line)
    assert (run / layout.INPUT).read_bytes() == b""


async def test_a_line_beyond_the_limit_is_refused(runs: Runs, monkeypatch: pytest.MonkeyPatch) -> None:
    run = await runs.launch("cat")
    monkeypatch.setattr(feed, "MAX_INPUT_LINE", 10)
    with pytest.raises(TooLarge):
        feed.append_input(run, b"x" * 11)
    feed.append_input(run, b"x" * 10)


async def test_lines_appended_from_many_processes_never_mix(runs: Runs) -> None:
    run = await runs.launch("cat")
    writer = "import sys, pathlib; sys.path.append({!r}); from podium.process import feed\n"
    code = writer.format(str(Path(layout.__file__).parents[2])) + (
        "for n in range(50): feed.append_input(pathlib.Path(sys.argv[1]), sys.argv[2].encode() * 5000)"
    )
    writers = [subprocess.Popen([sys.executable, "-c", code, str(run), letter]) for letter in "abcd"]
    for process in writers:
        assert process.wait(LIMIT_S) == 0
    feed.close_stdin(run)
    await runs.ended(run)
    lines = runs.output(run).splitlines()
    assert sorted(lines) == sorted([letter * 5000 for letter in (b"a", b"b", b"c", b"d")] * 50)
