"""A worker: takes orders, adopts what it finds on its disk, keeps its leases. `run()` until cancelled.

Being cancelled (or killed) ends nothing but this program: the agents go on under their holders and are
adopted by the next worker on the same home.
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable

import anyio
import anyio.abc
import anyio.to_thread

from podium.bus import messages as m
from podium.kernel.errors import NotFound, PodiumError
from podium.kernel.faultpoint import reach
from podium.kernel.ids import RunId
from podium.kernel.states import RUN_TERMINAL, RunState
from podium.process.base import NotStarted
from podium.process.probe import probe
from podium.worker.answers import answer_output, answer_process
from podium.worker.attempt import Attempt, Position, kill_everything
from podium.worker.context import WorkerContext
from podium.worker.finish import Finisher, tidy
from podium.worker.follow import Dropped
from podium.worker.home import RunHome
from podium.worker.janitor import finish_removals, keep_house
from podium.worker.place import RunPlace
from podium.worker.trouble import Trouble

log = logging.getLogger("podium.worker")
RETRY_S = 5.0


class Worker:
    def __init__(self, context: WorkerContext) -> None:
        self._context = context
        self._home = context.home
        self._attempts: dict[RunId, Attempt] = {}
        self._dropping: set[RunId] = set()
        self._renew_every_s = 5.0
        self._unwelcome, self._unreadable = Trouble(), Trouble()
        self._tasks: anyio.abc.TaskGroup | None = None

    async def run(self) -> None:
        """Connect, adopt, work. Raises only what is a bug or a broken machine."""
        await finish_removals(self._context)
        async with anyio.create_task_group() as tasks:
            self._tasks = tasks
            tasks.start_soon(self._context.watching.run, self._context.reporter.send)
            tasks.start_soon(self._context.reporter.run)
            tasks.start_soon(self._context.reporter.run_partials)
            tasks.start_soon(self._renew_forever)
            tasks.start_soon(keep_house, self._context)
            await self._context.bus.run(self._handle, self._introduce)

    async def stop_agents(self) -> None:
        """Stop every agent of this worker; their runs are resumed by the next start."""
        async with anyio.create_task_group() as tasks:
            for home, _order in self._home.held():
                if not isinstance(probe(home.process), NotStarted):
                    home.note_halted()
                    tasks.start_soon(kill_everything, home)

    # ---- connection ----------------------------------------------------------------------------------

    async def _introduce(self) -> None:
        held = self._home.held()
        settings = self._context.settings
        answer = await self._context.bus.ask(
            m.Hello(
                worker_id=settings.worker_id,
                node=settings.node,
                capacity=settings.capacity,
                version=settings.version,
                isolation="bare",
                free_memory_bytes=free_memory_bytes(),
                holding=tuple(m.Held(run_id=home.run_id, fence=order.fence) for home, order in held),
            )
        )
        if not isinstance(answer, m.Welcome):
            self._unwelcome.say(f"the server did not welcome us: {answer}")
            return
        self._unwelcome.over("the server welcomes us again")
        self._renew_every_s = answer.renew_every_s
        orders = {home.run_id: order for home, order in held}
        for resume in answer.resume:
            self._resume(orders[resume.run_id], resume)
        for run_id in answer.drop:
            self._drop(run_id)
        for order in answer.orders:
            self._accept(order)

    async def _renew_forever(self) -> None:
        while True:
            await anyio.sleep(self._renew_every_s)
            try:
                held = await anyio.to_thread.run_sync(self._home.held)
                holding = tuple(m.Held(run_id=home.run_id, fence=order.fence) for home, order in held)
                message = m.Renew(
                    worker_id=self._context.settings.worker_id,
                    holding=holding,
                    free_memory_bytes=free_memory_bytes(),
                )
                answer = await self._context.bus.ask(message, timeout_s=self._renew_every_s)
                if isinstance(answer, m.Failure):
                    await self._introduce()
            except PodiumError as error:
                log.debug("leases not renewed: %s", error.message)
                continue
            except OSError as error:
                # Moved away, unmounted: nothing is said, for "I hold none" would be a lie with consequences.
                self._unreadable.say(f"leases not renewed, the home cannot be read: {error}")
                continue
            self._unreadable.over("the home can be read again")
            if isinstance(answer, m.Renewed):
                for run_id in answer.refused:
                    self._drop(run_id)
                for run_id in answer.cancelled:
                    self._cancel(run_id)
                for pending in answer.pending:
                    self._deliver(pending)

    async def _handle(self, message: m.ToWorker) -> m.Answer:
        match message:
            case m.RunOrder():
                reach("worker.order_received")
                self._accept(message)
            case m.CancelRun():
                self._cancel(message.run_id)
            case m.Deliver():
                self._deliver(message.pending)
            case m.StopAgents():
                await self.stop_agents()
            case m.AskProcess():
                return answer_process(self._home.run(message.run_id), self._phase(message.run_id))
            case m.AskOutput():
                home = self._home.run(message.run_id)
                return await anyio.to_thread.run_sync(answer_output, home, message)
            case m.AskDiff():
                return await self._answer_diff(message)
        return m.Accepted()

    async def _answer_diff(self, ask: m.AskDiff) -> m.Answer:
        order = self._home.run(ask.run_id).order()
        if order is None:
            raise NotFound("this run is not on this node (any more)")
        diff = await RunPlace(self._context, order).live_diff(ask.limit_bytes)
        return m.DiffIs(patch=diff.patch, truncated=diff.truncated)

    # ---- runs ----------------------------------------------------------------------------------------

    def _accept(self, order: m.RunOrder) -> None:
        """Store the order, then begin. Again with the same fence is no change."""
        present = self._attempts.get(order.run_id)
        if order.run_id in self._dropping or (present is not None and present.order.fence >= order.fence):
            return
        self._home.run(order.run_id).store_order(order)
        self._begin(order, Position())

    def _resume(self, order: m.RunOrder, resume: m.Resume) -> None:
        if RunState(resume.phase) in RUN_TERMINAL:
            # We died between the recorded end and forgetting it.
            self._start(self._tidy, order)
            return
        if order.run_id not in self._attempts:
            self._begin(order, Position(offset=resume.offset, state=resume.state, phase=resume.phase))
        if resume.pending is not None:
            self._deliver(resume.pending)
        if resume.cancelled:
            self._cancel(order.run_id)

    async def _tidy(self, order: m.RunOrder) -> None:
        if order.run_id in self._attempts or order.run_id in self._dropping:
            return
        self._dropping.add(order.run_id)  # a second welcome meanwhile must not tidy beside us
        try:
            home = self._home.run(order.run_id)
            attempt = Attempt(self._context, home, order, Position(), settle_older=self._settle_older)
            await Finisher(attempt).keep_output()
            await tidy(self._context, home, attempt.place)
        finally:
            self._dropping.discard(order.run_id)

    def _begin(self, order: m.RunOrder, position: Position) -> None:
        home = self._home.run(order.run_id)
        attempt = Attempt(self._context, home, order, position, settle_older=self._settle_older)
        self._attempts[order.run_id] = attempt
        self._start(self._carry, attempt)

    async def _carry(self, attempt: Attempt) -> None:
        """Until the run is over. What goes wrong on our side (a full disk, a bug) is tried again: an agent's
        work waits on disk, and nobody is helped by a run that stands still."""
        run_id = attempt.order.run_id
        while True:
            try:
                await attempt.run()
            except Dropped:
                self._attempts.pop(run_id, None)
                self._drop(run_id)
                return
            except Exception:
                log.exception("%s could not go on; tried again in %g s", run_id, RETRY_S)
                if await self._is_still_held(attempt.home):
                    attempt = self._again(attempt)
                    continue
            self._attempts.pop(run_id, None)
            return

    async def _is_still_held(self, home: RunHome) -> bool:
        """After a pause, and once the place where runs are kept is there. A run without its order on the disk
        is not begun anew: its agent may have worked already, and a home that was removed stays removed."""
        await anyio.sleep(RETRY_S)
        while home.order() is None:
            if self._home.runs.is_dir():
                return False
            await anyio.sleep(RETRY_S)
        return True

    def _again(self, attempt: Attempt) -> Attempt:
        position = Position(phase=attempt.phase)
        fresh = Attempt(self._context, attempt.home, attempt.order, position, settle_older=self._settle_older)
        fresh.cancelled = attempt.cancelled
        self._attempts[attempt.order.run_id] = fresh
        return fresh

    def _deliver(self, pending: m.Pending) -> None:
        attempt = self._attempts.get(pending.run_id)
        if attempt is not None:
            attempt.deliver(pending)

    def _cancel(self, run_id: RunId) -> None:
        attempt = self._attempts.get(run_id)
        if attempt is not None and not attempt.cancelled:
            self._start(attempt.cancel)

    def _drop(self, run_id: RunId) -> None:
        if run_id not in self._dropping:
            self._dropping.add(run_id)
            self._start(self._drop_now, run_id)

    async def _drop_now(self, run_id: RunId) -> None:
        """Not ours any more: stop the agent, keep its work under refs/podium/lost, forget the run."""
        try:
            home = self._home.run(run_id)
            order = home.order()
            if order is None:
                return
            await self._put_away(home, order)
        except PodiumError as error:
            log.warning("%s could not be put away: %s", run_id, error.message)
        finally:
            self._dropping.discard(run_id)

    async def _put_away(self, home: RunHome, order: m.RunOrder) -> None:
        attempt = self._attempts.get(order.run_id)
        if attempt is not None and attempt.is_recorded:
            # It has ended, its agent is dead, its work captured: it keeps its output and forgets itself.
            await attempt.over.wait()
            if home.order() is None:
                return
        log.warning("%s is not ours any more; its agent is stopped, its work kept", order.run_id)
        await kill_everything(home)
        await RunPlace(self._context, order).capture_as_lost()
        home.forget()

    async def _settle_older(self, order: m.RunOrder) -> None:
        """Before a workspace is used again: every earlier run in it is proved dead and put away."""
        if order.workspace_of == order.run_id:
            return  # the first in its workspace: reading every order on disk would only cost (0.2 ms each)
        for home, older in self._home.held():
            if older.workspace_of == order.workspace_of and older.run_id != order.run_id:
                await self._put_away(home, older)

    def _phase(self, run_id: RunId) -> str:
        attempt = self._attempts.get(run_id)
        return attempt.phase if attempt is not None else ""

    def _start(self, function: Callable[..., Awaitable[None]], *arguments: object) -> None:
        if self._tasks is not None:
            self._tasks.start_soon(self._guarded, function, *arguments)

    async def _guarded(self, function: Callable[..., Awaitable[None]], *arguments: object) -> None:
        """What goes wrong with one run must not end the worker and with it the care for all the others."""
        try:
            await function(*arguments)
        except Exception:
            log.exception("%s failed; the next start sees to it", function.__name__)


def free_memory_bytes() -> int:
    """Memory that new programs can have, by the kernel's own estimate; 0 where it does not say."""
    try:
        with open("/proc/meminfo", encoding="ascii") as file:
            for line in file:
                if line.startswith("MemAvailable:"):
                    return int(line.split()[1]) * 1024
    except OSError:
        pass
    return 0
