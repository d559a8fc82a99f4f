"""One at a time per directory, whatever happens to whoever had the turn."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import anyio
import pytest

from podium.git.turn import turn

pytestmark = pytest.mark.anyio
LIMIT_S = 20.0

KEEPS = """
import fcntl, os, sys
handle = os.open(sys.argv[1] + "/podium.lock", os.O_RDWR | os.O_CREAT)
fcntl.flock(handle, fcntl.LOCK_EX)
print("mine", flush=True)
sys.stdin.read()
"""


async def test_turns_of_one_directory_never_overlap_and_those_of_two_do(tmp_path: Path) -> None:
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
    inside = {"one": 0, "two": 0}
    together = anyio.Event()

    async def take(name: str) -> None:
        async with turn(tmp_path / name, timeout_s=LIMIT_S):
            inside[name] += 1
            assert inside[name] == 1
            if all(inside.values()):
                together.set()
            await together.wait()  # ends only when both directories have somebody inside at once
            inside[name] -= 1

    with anyio.fail_after(LIMIT_S):
        async with anyio.create_task_group() as tasks:
            for name in ("one", "two") * 5:
                tasks.start_soon(take, name)


async def test_a_cancelled_waiter_leaves_the_queue_as_if_it_had_never_stood_there(tmp_path: Path) -> None:
    async with turn(tmp_path, timeout_s=LIMIT_S):
        with anyio.move_on_after(0.05) as waited:
            async with turn(tmp_path, timeout_s=LIMIT_S):
                raise AssertionError("two had the turn")
        assert waited.cancelled_caught
    with anyio.fail_after(LIMIT_S):
        async with turn(tmp_path, timeout_s=LIMIT_S):
            pass


async def test_the_turn_of_a_killed_process_is_free_at_once(tmp_path: Path) -> None:
    command = [sys.executable, "-I", "-S", "-c", KEEPS, str(tmp_path)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as other:
        assert other.stdout
        assert other.stdout.readline() == b"mine\n"
        other.kill()
        other.wait()
        async with turn(tmp_path, timeout_s=LIMIT_S):
            pass


async def test_whoever_waited_is_served_by_work_that_ended_well_and_by_no_other(tmp_path: Path) -> None:
    asked, served = anyio.Event(), []

    async def wait_for_it() -> None:
        asked.set()
        async with turn(tmp_path, timeout_s=LIMIT_S) as mine:
            served.append(mine.already_done)

    for ends_well in (False, True):
        asked = anyio.Event()
        async with anyio.create_task_group() as tasks, turn(tmp_path, timeout_s=LIMIT_S) as first:
            tasks.start_soon(wait_for_it)
            await asked.wait()
            number = first.begin()
            if ends_well:
                first.finish(number)
    assert served == [False, True]
