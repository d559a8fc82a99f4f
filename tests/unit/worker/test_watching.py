"""How long the worker waits between two looks, and the alarm that a follower waits beside."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

from podium.bus.messages import Receipt, RunReport
from podium.kernel.ids import RunId
from podium.process.base import Watch
from podium.process.watch import DirectoryWatch
from podium.worker.limits import Alarm
from podium.worker.report import MESSAGE_BYTES
from podium.worker.watching import MAX_PAUSE_S, Watching

pytestmark = pytest.mark.anyio
LIMIT_S = 10.0


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture
async def watch() -> Watch:
    return DirectoryWatch()


@pytest.fixture
def watching(watch: Watch) -> Iterator[Watching]:
    made = Watching(watch)
    yield made
    made.close()


def steady(watching: Watching, changes_per_s: float, seconds: float = 5.0) -> float:
    """The pause after so much of one rate."""
    now, pause = 0.0, 0.0
    while now < seconds:
        step = max(pause, 0.0005)
        now += step
        pause = watching._pause_s(round(changes_per_s * now) - round(changes_per_s * (now - step)), now)
    return pause


async def test_a_few_agents_are_never_waited_for(watching: Watching) -> None:
    assert steady(watching, 100) < 0.000_1


async def test_the_pause_grows_faster_than_what_happens_and_has_an_end(watching: Watching) -> None:
    some, more = steady(watching, 2_000), steady(watching, 4_000)
    assert 0.0005 < some < 0.002
    assert more > 3 * some
    assert steady(watching, 50_000) == MAX_PAUSE_S


async def test_silence_brings_the_pause_back(watching: Watching) -> None:
    assert steady(watching, 50_000) == MAX_PAUSE_S
    assert watching._pause_s(1, 60.0) < 0.000_1


class Run:
    """Reports `size` bytes at every look."""

    def __init__(self, size: int = 1) -> None:
        self.size = size
        self.offset = 0
        self.news = asyncio.Event()
        self.receipts: list[Receipt] = []

    def look(self) -> RunReport | None:
        self.news.set()
        if not self.size:
            return None
        return RunReport(
            run_id=run_id(self), fence=1, from_offset=self.offset, offset=self.offset + self.size
        )

    def reported(self, receipt: Receipt) -> None:
        self.offset = receipt.offset
        self.receipts.append(receipt)


def run_id(run: Run) -> RunId:
    return RunId(f"run_{id(run)}")


class Server:
    def __init__(self) -> None:
        self.messages: list[Sequence[RunReport]] = []

    async def take(self, reports: Sequence[RunReport]) -> tuple[Receipt, ...]:
        self.messages.append(reports)
        return tuple(Receipt(run_id=one.run_id, verdict="taken", offset=one.offset) for one in reports)


@contextmanager
def watched(watching: Watching, folder: Path, runs: Sequence[Run]) -> Iterator[list[Path]]:
    folders = [folder / str(number) for number in range(len(runs))]
    with ExitStack() as stack:
        for directory, run in zip(folders, runs, strict=True):
            directory.mkdir()
            stack.enter_context(watching.watched(directory, run))
        yield folders


async def one_round(watching: Watching, runs: Sequence[Run], folders: Sequence[Path]) -> Server:
    server = Server()
    for directory in folders:
        (directory / "out").touch()
    running = asyncio.create_task(watching.run(server.take))
    async with asyncio.timeout(LIMIT_S):
        for run in runs:
            await run.news.wait()
        while sum(len(message) for message in server.messages) < sum(run.size > 0 for run in runs):
            await asyncio.sleep(0)
    running.cancel()
    return server


async def test_what_changes_during_a_pause_is_told_after_it(watching: Watching, tmp_path: Path) -> None:
    run = Run()
    with watching.watched(tmp_path, run):
        running = asyncio.create_task(watching.run(Server().take))
        for number in range(20):
            (tmp_path / str(number)).touch()
            async with asyncio.timeout(LIMIT_S):
                await run.news.wait()
            run.news.clear()
        running.cancel()


async def test_the_lines_of_a_round_are_one_message_and_each_run_gets_its_receipt(
    watching: Watching, tmp_path: Path
) -> None:
    runs = [Run(10), Run(0), Run(20)]
    with watched(watching, tmp_path, runs) as folders:
        server = await one_round(watching, runs, folders)
    assert sorted(one.offset for message in server.messages for one in message) == [10, 20]
    assert len(server.messages) == 1
    assert [[one.run_id for one in run.receipts] for run in runs] == [
        [run_id(runs[0])],
        [],
        [run_id(runs[2])],
    ]
    assert [run.offset for run in runs] == [10, 0, 20]


async def test_much_output_is_more_than_one_message(watching: Watching, tmp_path: Path) -> None:
    runs = [Run(MESSAGE_BYTES), Run(MESSAGE_BYTES)]
    with watched(watching, tmp_path, runs) as folders:
        server = await one_round(watching, runs, folders)
    assert [len(message) for message in server.messages] == [1, 1]


async def test_an_alarm_rings_once_and_can_then_be_set_anew() -> None:
    news = asyncio.Event()
    with Alarm(news.set) as alarm:
        alarm.ring_after(0.001)
        assert alarm.is_set
        async with asyncio.timeout(LIMIT_S):
            await news.wait()
        assert not alarm.is_set
        alarm.ring_after(3_600)
        left = alarm._timer
    assert left is not None
    assert left.cancelled()
