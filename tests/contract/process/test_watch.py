"""One suite for every `Watch`: told of changes, of the right directories, without losing any."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import anyio
import pytest

from podium.process.base import Watch
from podium.process.poll_watch import PollWatch
from podium.process.watch import DirectoryWatch, directory_watch

pytestmark = pytest.mark.anyio
LIMIT_S = 10.0
QUIET_S = 0.1


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture(params=["inotify", "poll"])
async def watch(request: pytest.FixtureRequest) -> AsyncIterator[Watch]:
    made: Watch = DirectoryWatch() if request.param == "inotify" else PollWatch(poll_s=0.01)
    yield made
    made.close()


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    made = tmp_path / "watched"
    made.mkdir()
    (made / "out").write_bytes(b"")
    return made


async def next_change(watch: Watch) -> frozenset[Path]:
    with anyio.fail_after(LIMIT_S):
        return await watch.changed()


async def is_quiet(watch: Watch) -> bool:
    with anyio.move_on_after(QUIET_S):
        await watch.changed()
        return False
    return True


def append(directory: Path) -> None:
    with (directory / "out").open("ab") as file:
        file.write(b"line\n")


def create(directory: Path) -> None:
    (directory / "new").write_bytes(b"")


def rename_in(directory: Path) -> None:
    elsewhere = directory.parent / "exit.new"
    elsewhere.write_bytes(b"{}")
    elsewhere.rename(directory / "exit")


@pytest.mark.parametrize("change", [append, create, rename_in])
async def test_a_change_of_any_kind_is_told(
    watch: Watch, directory: Path, change: Callable[[Path], None]
) -> None:
    watch.add(directory)
    change(directory)
    assert await next_change(watch) == {directory}


async def test_a_change_wakes_who_is_already_waiting(watch: Watch, directory: Path) -> None:
    watch.add(directory)
    seen: list[frozenset[Path]] = []

    async def wait() -> None:
        seen.append(await next_change(watch))

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(wait)
        await anyio.wait_all_tasks_blocked()
        append(directory)
    assert seen == [{directory}]


async def test_only_the_directories_that_changed_are_named(watch: Watch, tmp_path: Path) -> None:
    several = [tmp_path / f"run-{number}" for number in range(5)]
    for each in several:
        each.mkdir()
        (each / "out").write_bytes(b"")
        watch.add(each)
    append(several[1])
    append(several[3])
    told: set[Path] = set()
    while len(told) < 2:
        told |= await next_change(watch)
    assert told == {several[1], several[3]}


async def test_what_happened_before_is_not_told_and_adding_twice_changes_nothing(
    watch: Watch, directory: Path
) -> None:
    append(directory)
    watch.add(directory)
    watch.add(directory)
    assert await is_quiet(watch)
    append(directory)
    assert await next_change(watch) == {directory}


async def test_a_removed_directory_is_not_told_any_more(watch: Watch, directory: Path) -> None:
    watch.add(directory)
    append(directory)
    watch.remove(directory)
    watch.remove(directory)
    append(directory)
    assert await is_quiet(watch)
    watch.add(directory)
    append(directory)
    assert await next_change(watch) == {directory}


async def test_a_cancelled_wait_loses_nothing(watch: Watch, directory: Path) -> None:
    watch.add(directory)
    assert await is_quiet(watch)
    append(directory)
    assert await next_change(watch) == {directory}


async def test_a_deleted_directory_drops_out_by_itself(watch: Watch, directory: Path) -> None:
    watch.add(directory)
    for file in directory.iterdir():
        file.unlink()
    directory.rmdir()
    assert await next_change(watch) == {directory}
    directory.mkdir()
    (directory / "out").write_bytes(b"")
    assert await is_quiet(watch)
    watch.add(directory)
    append(directory)
    assert await next_change(watch) == {directory}


async def test_what_is_no_directory_is_refused(watch: Watch, directory: Path) -> None:
    with pytest.raises(NotADirectoryError):
        watch.add(directory / "out")
    with pytest.raises(FileNotFoundError):
        watch.add(directory / "missing")


async def test_when_the_kernel_lost_events_everybody_is_told_to_look(tmp_path: Path) -> None:
    watch = DirectoryWatch()
    several = [tmp_path / f"run-{number}" for number in range(3)]
    for each in several:
        each.mkdir()
        (each / "out").write_bytes(b"")
        watch.add(each)
    # Without a turn of the loop nobody reads the queue; alternating names keep events from being merged.
    limit = int(Path("/proc/sys/fs/inotify/max_queued_events").read_text())
    one, other = (os.open(several[0] / name, os.O_WRONLY | os.O_CREAT) for name in ("a", "b"))
    try:
        for _ in range(limit // 2 + 100):
            os.write(one, b"x")
            os.write(other, b"x")
    finally:
        os.close(one)
        os.close(other)
    told: set[Path] = set()
    while told != set(several):
        told |= await next_change(watch)
    watch.close()
    watch.close()


async def test_the_platform_gets_its_best_watch() -> None:
    watch = directory_watch()
    assert isinstance(watch, DirectoryWatch)
    watch.close()
