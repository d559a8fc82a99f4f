"""One suite for every bus: requests, answers, absence, replacement."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import NamedTuple

import anyio
import pytest

from podium.bus import messages as m
from podium.bus.base import ServerBus, WorkerBus
from podium.bus.inprocess import InProcessBus
from podium.bus.joined import JoinedServer
from podium.bus.unix import UnixServer, UnixWorker
from podium.kernel.errors import Conflict, Timeout, Unavailable, WorkerUnreachable
from podium.kernel.ids import RunId, WorkerId

pytestmark = pytest.mark.anyio
WORKER = WorkerId("worker_1")
HELLO = m.Hello(worker_id=WORKER, node="n", capacity=1, version="t", isolation="bare", free_memory_bytes=0)
ASK = m.AskProcess(run_id=RunId("run_1"))


class Ends(NamedTuple):
    server: ServerBus
    worker: Callable[[], WorkerBus]


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture(params=["inprocess", "unix", "joined"])
def ends(request, tmp_path: Path) -> Ends:
    if request.param == "inprocess":
        bus = InProcessBus()
        return Ends(bus.server_end(), bus.worker_end)
    path = tmp_path / "bus.sock"
    server: ServerBus = UnixServer(path)
    if request.param == "joined":
        server = JoinedServer([InProcessBus().server_end(), server])
    return Ends(server, lambda: UnixWorker(path))


async def welcome(message: m.ToServer) -> m.Answer:
    if isinstance(message, m.Renew):
        raise Conflict("not you")
    return m.Welcome(lease_ttl_s=1, renew_every_s=1)


async def accept(message: m.ToWorker) -> m.Answer:
    return m.OutputIs(data=b"\x00\xff raw", offset=3, size=9)


@asynccontextmanager
async def talking(
    ends: Ends, on_server=welcome, on_worker=accept
) -> AsyncIterator[tuple[WorkerBus, list[WorkerId]]]:
    gone: list[WorkerId] = []
    hello = anyio.Event()
    worker = ends.worker()

    async def introduce() -> None:
        assert isinstance(await worker.ask(HELLO), m.Welcome)
        hello.set()

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(ends.server.serve, on_server, gone.append)
        tasks.start_soon(worker.run, on_worker, introduce)
        with anyio.fail_after(5):
            await hello.wait()
        yield worker, gone
        tasks.cancel_scope.cancel()


async def test_a_worker_is_connected_once_it_said_hello_and_can_be_asked(ends):
    async with talking(ends):
        assert ends.server.connected() == {WORKER}
        assert await ends.server.ask(WORKER, ASK) == m.OutputIs(data=b"\x00\xff raw", offset=3, size=9)


async def test_what_a_handler_refuses_arrives_as_a_failure_with_its_code(ends):
    async with talking(ends) as (worker, _):
        answer = await worker.ask(m.Renew(worker_id=WORKER))
        assert answer == m.Failure(code="conflict", message="not you", retry=False)


async def test_a_bug_in_a_handler_is_a_failure_and_the_connection_lives(ends):
    async def broken(message: m.ToWorker) -> m.Answer:
        raise ZeroDivisionError

    async with talking(ends, on_worker=broken):
        for _ in range(2):
            answer = await ends.server.ask(WORKER, ASK)
            assert isinstance(answer, m.Failure)
            assert answer.code == "internal"


async def test_asking_a_worker_that_is_not_there_says_so_at_once(ends):
    async with talking(ends):
        with pytest.raises(WorkerUnreachable):
            await ends.server.ask(WorkerId("worker_2"), ASK)


async def test_a_worker_that_does_not_answer_is_unreachable_after_the_deadline(ends):
    async def mute(message: m.ToWorker) -> m.Answer:
        await anyio.sleep_forever()
        raise AssertionError

    async with talking(ends, on_worker=mute):
        with pytest.raises(WorkerUnreachable):
            await ends.server.ask(WORKER, ASK, timeout_s=0.05)


async def test_a_server_that_does_not_answer_is_a_timeout(ends):
    async def slow(message: m.ToServer) -> m.Answer:
        if isinstance(message, m.Hello):
            return await welcome(message)
        await anyio.sleep_forever()
        raise AssertionError

    async with talking(ends, on_server=slow) as (worker, _):
        with pytest.raises(Timeout):
            await worker.ask(m.Renew(worker_id=WORKER), timeout_s=0.05)


async def test_requests_in_both_directions_do_not_wait_for_each_other(ends):
    async def ask_back(message: m.ToServer) -> m.Answer:
        if isinstance(message, m.Renew):
            await ends.server.ask(WORKER, ASK)
        return await welcome(m.Hello(**{f: getattr(HELLO, f) for f in HELLO.__struct_fields__}))

    async with talking(ends, on_server=ask_back) as (worker, _):
        answers = await asyncio.gather(*[worker.ask(m.Renew(worker_id=WORKER)) for _ in range(50)])
        assert all(isinstance(answer, m.Welcome) for answer in answers)


async def test_a_departed_worker_is_told_once_and_no_longer_connected(ends):
    left: list[WorkerId] = []
    worker = ends.worker()
    hello = anyio.Event()

    async def introduce() -> None:
        await worker.ask(HELLO)
        hello.set()

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(ends.server.serve, welcome, left.append)
        async with anyio.create_task_group() as working:
            working.start_soon(worker.run, accept, introduce)
            with anyio.fail_after(5):
                await hello.wait()
            working.cancel_scope.cancel()
        with anyio.fail_after(5):
            while not left:
                await anyio.lowlevel.checkpoint()
        assert left == [WORKER]
        assert ends.server.connected() == frozenset()
        tasks.cancel_scope.cancel()


async def test_without_a_server_a_worker_is_told_unavailable(ends):
    with pytest.raises(Unavailable):
        await ends.worker().ask(HELLO)


async def test_a_worker_comes_back_by_itself_when_the_server_does(tmp_path):
    path = tmp_path / "bus.sock"
    worker, hellos = UnixWorker(path), 0

    async def introduce() -> None:
        nonlocal hellos
        await worker.ask(HELLO)
        hellos += 1

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(worker.run, accept, introduce)
        for expected in (1, 2):
            async with anyio.create_task_group() as serving:
                serving.start_soon(UnixServer(path).serve, welcome, lambda _: None)
                with anyio.fail_after(10):
                    while hellos < expected:
                        await anyio.lowlevel.checkpoint()
                serving.cancel_scope.cancel()
        tasks.cancel_scope.cancel()
