"""Short programs: output, limits, deadlines, and nothing left behind. `execute` against its contract."""

from __future__ import annotations

import os
import signal
import sys
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import anyio
import pytest

from podium.kernel.errors import SpawnFailed
from podium.kernel.execution import Completed, Execute
from podium.process.command import execute
from podium.process.identity import identify, wait_gone
from tests.integration.process.runs import LIMIT_S, until

pytestmark = pytest.mark.anyio
Run = Callable[..., Awaitable[Completed]]
ENV = {"PATH": os.environ["PATH"]}


@pytest.fixture
def run(tmp_path: Path) -> Run:
    contract: Execute = execute

    async def in_directory(*argv: str, **options: Any) -> Completed:
        return await contract(argv, **{"cwd": tmp_path, "env": ENV, **options})

    return in_directory


async def test_code_and_both_streams_come_back(run: Run) -> None:
    done = await run("sh", "-c", "echo out; echo err >&2; exit 3")
    assert (done.code, done.stdout, done.stderr) == (3, b"out\n", b"err\n")
    assert (done.timed_out, done.truncated) == (False, False)


async def test_a_signal_is_a_negative_code(run: Run) -> None:
    assert (await run("sh", "-c", "kill -9 $$")).code == -signal.SIGKILL


async def test_it_runs_where_and_with_what_it_was_told(run: Run, tmp_path: Path) -> None:
    done = await run("sh", "-c", "pwd; echo $A; ls /proc/self/fd | wc -l", env={**ENV, "A": "given"})
    assert done.stdout.split() == [os.fsencode(tmp_path.resolve()), b"given", b"4"]


async def test_input_larger_than_any_pipe_is_fed_while_output_is_read(run: Run) -> None:
    data = os.urandom(3_000_000)
    assert (await run("cat", stdin=data)).stdout == data


async def test_a_program_need_not_read_its_input(run: Run) -> None:
    assert (await run("true", stdin=b"x" * 1_000_000)).code == 0


async def test_without_input_stdin_is_at_its_end(run: Run) -> None:
    assert (await run("cat", timeout_s=LIMIT_S)).stdout == b""


async def test_output_beyond_the_limit_is_dropped_and_the_program_goes_on(run: Run) -> None:
    code = "import sys; sys.stdout.write('a' * 10_000_000); sys.stderr.write('end')"
    done = await run(sys.executable, "-c", code, limit_bytes=1000)
    assert (done.code, done.stdout, done.stderr, done.truncated) == (0, b"a" * 1000, b"end", True)


async def test_output_of_exactly_the_limit_is_not_truncated(run: Run) -> None:
    done = await run("printf", "1234", limit_bytes=4)
    assert (done.stdout, done.truncated) == (b"1234", False)


async def test_stdout_can_go_to_a_file_without_limit(run: Run, tmp_path: Path) -> None:
    target = tmp_path / "out"
    target.write_bytes(b"older and longer than what comes")
    done = await run("head", "-c", "100000", "/dev/zero", stdout_path=target, limit_bytes=10)
    assert (done.code, done.stdout, done.truncated) == (0, b"", False)
    assert target.read_bytes() == b"\0" * 100_000


@pytest.mark.parametrize(
    ("argv", "options"),
    [
        (("no-such-program",), {}),
        (("/",), {}),
        ((), {}),
        (("cat", "a\0b"), {}),
        (("cat",), {"cwd": Path("/no/such/place")}),
        (("cat",), {"stdout_path": Path("/no/such/place/out")}),
    ],
)
async def test_what_cannot_be_started_is_a_typed_error(
    run: Run, argv: tuple[str, ...], options: dict[str, Any]
) -> None:
    with pytest.raises(SpawnFailed):
        await run(*argv, **options)


TREE = """
(sleep 1000) & echo $! > child.new
setsid sleep 1000 & echo $! > own-session.new
(setsid sh -c 'sleep 1000 & echo $! > orphan.new; mv orphan.new orphan') &
mv child.new child; mv own-session.new own-session
while :; do sleep 1000; done
"""
MEMBERS = ("child", "own-session", "orphan")


async def tree_is_gone(directory: Path) -> bool:
    for name in MEMBERS:
        identity = identify(int((directory / name).read_text()))
        if identity and not await wait_gone(identity, 0):
            return False
    return True


def tree_is_up(directory: Path) -> bool:
    return all((directory / name).exists() for name in MEMBERS)


async def test_a_timeout_is_reported_and_the_whole_tree_is_gone(run: Run, tmp_path: Path) -> None:
    done = await run("sh", "-c", f"echo begun; {TREE}", timeout_s=0.5)
    assert (done.timed_out, done.code, done.stdout) == (True, -signal.SIGKILL, b"begun\n")
    assert await tree_is_gone(tmp_path)


async def test_a_cancelled_caller_leaves_nothing_running(run: Run, tmp_path: Path) -> None:
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(run, "sh", "-c", TREE)
        await until(tmp_path, lambda: tree_is_up(tmp_path))
        tasks.cancel_scope.cancel()
    assert await tree_is_gone(tmp_path)


async def test_a_background_child_that_holds_the_output_ends_with_the_program(
    run: Run, tmp_path: Path
) -> None:
    begun = time.monotonic()
    done = await run("sh", "-c", "setsid sleep 1000 & echo $! > pid; echo done", timeout_s=LIMIT_S)
    assert (done.code, done.stdout, done.timed_out) == (0, b"done\n", False)
    assert time.monotonic() - begun < LIMIT_S
    sleeper = identify(int((tmp_path / "pid").read_text()))
    assert sleeper is None or await wait_gone(sleeper, LIMIT_S)


async def test_a_quiet_child_in_the_group_ends_with_the_program(run: Run, tmp_path: Path) -> None:
    done = await run("sh", "-c", "sleep 1000 >/dev/null 2>&1 & echo $! > pid")
    assert done.code == 0
    sleeper = identify(int((tmp_path / "pid").read_text()))
    assert sleeper is None or await wait_gone(sleeper, LIMIT_S)


async def test_a_child_that_showed_no_environment_at_the_first_look_ends_with_the_program_too(
    run: Run, tmp_path: Path
) -> None:
    late = 'echo $$ > pid.new; mv pid.new pid; sleep 0.4; exec env PODIUM_COMMAND="$0" sleep 1000'
    away = f"env -i setsid sh -c '{late}' $PODIUM_COMMAND & while ! test -e pid; do :; done"
    done = await run("sh", "-c", away, timeout_s=LIMIT_S)
    assert (done.code, done.timed_out) == (0, False)
    sleeper = identify(int((tmp_path / "pid").read_text()))
    assert sleeper is None or await wait_gone(sleeper, LIMIT_S)


async def test_the_loop_goes_on_while_a_program_runs(run: Run) -> None:
    turns = 0
    async with anyio.create_task_group() as tasks:

        async def count() -> None:
            nonlocal turns
            while True:
                await anyio.lowlevel.checkpoint()
                turns += 1

        tasks.start_soon(count)
        await run("sh", "-c", "sleep 0.05")
        tasks.cancel_scope.cancel()
    assert turns > 100


async def test_no_descriptor_is_left_behind(run: Run) -> None:
    await run("true")
    before = len(os.listdir("/proc/self/fd"))
    for _ in range(5):
        await run("cat", stdin=b"x")
        await run("sleep", "1000", timeout_s=0.01)
    assert len(os.listdir("/proc/self/fd")) == before


async def test_sixty_programs_at_once_all_end(run: Run) -> None:
    results: list[bytes] = []

    async def one(number: int) -> None:
        results.append((await run("echo", str(number))).stdout)

    async with anyio.create_task_group() as tasks:
        for number in range(60):
            tasks.start_soon(one, number)
    assert sorted(results) == sorted(b"%d\n" % number for number in range(60))
