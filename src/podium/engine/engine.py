"""The engine at work: the loops and handlers around the decisions. One per server.

Everything here can be killed at any moment: what matters was committed before anybody was told, and every
message can be repeated. Start-up is recovery: there is no other kind.
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable
from datetime import timedelta
from pathlib import Path

import anyio
import anyio.abc
import msgspec
from msgspec import Struct
from sqlalchemy import Connection

from podium.bus import messages as m
from podium.bus.base import ServerBus
from podium.engine.dispatch import AFFINITY_WAIT_S, dispatch
from podium.engine.finish import Bundle, finish
from podium.engine.inbox import expire_inquiries
from podium.engine.ingest import ingest, moves_a_run
from podium.engine.leases import expire_worker, holders, lose_run, refused, welcome
from podium.engine.mirrors import Imported, ServerMirrors
from podium.engine.orders import held_by, orders_due
from podium.engine.pending import pending_of
from podium.engine.roster import LEASE_TTL_S, RENEW_EVERY_S, Roster
from podium.git.base import MissingPrerequisite
from podium.kernel.errors import NotFound, PodiumError, Unavailable
from podium.kernel.faultpoint import reach
from podium.kernel.ids import ArtifactId, IdMaker, RunId, TaskId, WorkerId
from podium.kernel.nouns import Reason, Run
from podium.kernel.states import RUN_HELD, RunState
from podium.store import queries
from podium.store.store import Store
from podium.store.unit import Unit

log = logging.getLogger("podium.engine")
STOP_AGENTS_S = 60.0


class EngineSettings(Struct, frozen=True, kw_only=True):
    lease_ttl_s: float = LEASE_TTL_S
    renew_every_s: float = RENEW_EVERY_S
    affinity_wait_s: float = AFFINITY_WAIT_S
    version: str = "0"
    organisation: str | None = None
    """Base URL that turns `owner/name` into a repository."""
    harnesses: dict[str, str] = {}
    """Of the configuration, beside ours."""
    keep_events: timedelta = timedelta(days=30)
    keep_artifacts: timedelta = timedelta(days=30)


class Engine:
    def __init__(
        self, store: Store, bus: ServerBus, ids: IdMaker, mirrors: ServerMirrors, settings: EngineSettings
    ) -> None:
        self.store = store
        self.bus = bus
        self.ids = ids
        self.mirrors = mirrors
        self.settings = settings
        self.roster = Roster(store.clock, lease_ttl_s=settings.lease_ttl_s)
        self._wake = anyio.Event()
        self._paused = False
        self.stop_asked = anyio.Event()
        """Set when somebody asked the whole server to stop."""
        self.on_partial: Callable[[m.Partials], None] | None = None
        """Who shows text while it is being said."""
        self.on_command: Callable[[m.OfGateway], Awaitable[m.Answer]] | None = None
        """Who carries out what another gateway was asked."""
        self._tasks: anyio.abc.TaskGroup | None = None

    async def run(self, *, task_status: anyio.abc.TaskStatus[None] = anyio.TASK_STATUS_IGNORED) -> None:
        """Recover, then serve workers and dispatch until cancelled."""
        await self.store.settled(lambda: self.store.writer.run(self._recover))
        async with anyio.create_task_group() as tasks:
            self._tasks = tasks
            tasks.start_soon(self.bus.serve, self._answer, self.roster.departed)
            tasks.start_soon(self._dispatch_forever)
            tasks.start_soon(self._watch_leases)
            tasks.start_soon(self._expire_forever)
            tasks.start_soon(self._prune_forever)
            task_status.started()

    def wake(self) -> None:
        """Something may be ready for dispatch."""
        self._wake.set()

    def pause(self) -> None:
        """Give out nothing more: the server is about to stop."""
        self._paused = True

    async def stop_agents(self) -> None:
        """Stop every agent of every connected worker; their tasks go on after the next start.

        Raises WorkerUnreachable when one of them does not answer in time; the others are stopped.
        """
        self.pause()
        async with anyio.create_task_group() as tasks:
            for worker in self.bus.connected():
                tasks.start_soon(self._ask_to_stop, worker)

    async def _ask_to_stop(self, worker: WorkerId) -> None:
        await self.bus.ask(worker, m.StopAgents(), timeout_s=STOP_AGENTS_S)

    # ---- what people ask for (the rest is in commands.py) --------------------------------------------

    async def stop_run(self, run: Run | None, reason: str) -> None:
        """After a cancel was committed: tell the worker. Loss does no harm, renewals repeat it."""
        self.wake()
        if run is not None and run.worker_id is not None and self._tasks is not None:
            message = m.CancelRun(run_id=run.id, fence=run.fence, reason=reason)
            self._tasks.start_soon(self._tell, run.worker_id, message)

    async def tell_run(self, run_id: RunId) -> None:
        """After something for the run's agent was committed: tell its worker. Renewals repeat it."""

        def look(connection: Connection) -> tuple[Run, m.Pending | None]:
            doc, _, _ = queries.run_facts(connection, run_id)
            return msgspec.json.decode(doc, type=Run), pending_of(connection, [run_id]).get(run_id)

        run, pending = await self.store.reader.run(look)
        if pending is not None and run.worker_id is not None and run.state.word in RUN_HELD:
            await self._tell(run.worker_id, m.Deliver(fence=run.fence, pending=pending))

    # ---- workers -------------------------------------------------------------------------------------

    async def _answer(self, message: m.ToServer) -> m.Answer:
        match message:
            case m.Hello():
                return await self._welcome(message)
            case m.Renew():
                return await self._renew(message)
            case m.Reports():
                return await self._take_reports(message)
            case m.RunFinished():
                return await self._take_finished(message)
            case m.Partials():
                if self.on_partial is not None:
                    self.on_partial(message)
                return m.Accepted()
            case m.Command() | m.BodyPiece() | m.SecretsRefused():
                if self.on_command is None:
                    raise Unavailable("Podium is starting")
                return await self.on_command(message)
            case m.AskMain():
                everybody = self.roster.everybody()
                return m.MainIs(version=self.settings.version, epoch=self.store.epoch, workers=everybody)

    async def _welcome(self, hello: m.Hello) -> m.Answer:
        resume, drop, orders = await self.store.writer.run(lambda unit: welcome(unit, hello, self.ids))
        self.roster.hello(hello.worker_id, hello.capacity)
        self.wake()
        return m.Welcome(
            lease_ttl_s=self.settings.lease_ttl_s,
            renew_every_s=self.settings.renew_every_s,
            resume=resume,
            drop=drop,
            orders=orders,
        )

    async def _renew(self, renew: m.Renew) -> m.Answer:
        worker, holding = renew.worker_id, {held.run_id for held in renew.holding}
        if self.roster.silence_s(worker) is None:
            # Its lease ended and it was forgotten: it must introduce itself again.
            return m.Failure(code="unknown_worker", message="say hello again", retry=True)
        self.roster.heard(worker)

        def look(
            unit: Unit,
        ) -> tuple[tuple[RunId, ...], list[m.RunOrder], list[Run], tuple[m.Pending, ...]]:
            return (
                refused(unit, worker, renew.holding),
                orders_due(unit, worker, holding),
                held_by(unit, worker),
                tuple(pending_of(unit.connection, holding).values()),
            )

        stale, orders, runs, pending = await self.store.writer.run(look, durable=False)
        further = {run.id for run in runs if run.state.word is not RunState.LEASED}
        for run_id in self.roster.count_missing(worker, further - holding):
            await self._lose(run_id, "its worker no longer has it")
        for order in orders:
            self._send(worker, order)
        cancelled = tuple(run.id for run in runs if run.cancel is not None)
        return m.Renewed(refused=stale, cancelled=cancelled, pending=pending)

    async def _take_reports(self, message: m.Reports) -> m.Answer:
        self.roster.heard(message.worker_id)
        receipts, ready = await self.store.writer.run(
            lambda unit: ingest(unit, message.worker_id, message.reports, self.ids),
            durable=moves_a_run(message.reports),
        )
        reach("ingest.after_commit")
        self.tell_later(*ready)
        return m.Reported(receipts=receipts)

    async def _take_finished(self, report: m.RunFinished) -> m.Answer:
        self.roster.heard(report.worker_id)
        bundle = None
        if report.captured is not None:
            path = self.store.artifacts.path(report.captured.bundle)
            try:
                imported = await self._imported(report.run_id, report.captured, path)
            except MissingPrerequisite:
                return m.Finished(verdict="need_full")
            size = (await anyio.Path(path).stat()).st_size
            bundle = Bundle(captured=report.captured, imported=imported, path=path, size=size)
            reach("finish.imported")
        taken = await self.store.writer.run(lambda unit: finish(unit, report, bundle, self.ids))
        reach("finish.committed")
        self.wake()
        return m.Finished(verdict="taken" if taken else "refused")

    async def _imported(self, run_id: RunId, captured: m.Captured, path: Path) -> Imported:
        try:
            return await self.mirrors.take_in(run_id, captured, path)
        except MissingPrerequisite:
            task = await self.store.writer.run(
                lambda unit: unit.task(unit.run(run_id).task_id), durable=False
            )
            if task.snapshot is None:
                raise
            await self._take_in_snapshot(captured.repository, task.id, task.snapshot)
            return await self.mirrors.take_in(run_id, captured, path)

    async def _take_in_snapshot(self, repository: str, task_id: TaskId, snapshot: ArtifactId) -> None:
        try:
            path = self.store.artifacts.path(snapshot)
        except NotFound:
            return
        await self.mirrors.take_in_snapshot(repository, task_id, path)

    async def _lose(self, run_id: RunId, detail: str) -> None:
        await self.store.writer.run(lambda unit: lose_run(unit, run_id, Reason.WORKSPACE, detail, self.ids))
        self.wake()

    # ---- loops ---------------------------------------------------------------------------------------

    def _recover(self, unit: Unit) -> None:
        self.roster.expect(holders(unit))

    async def _dispatch_forever(self) -> None:
        while True:
            self._wake = anyio.Event()
            capacities = self.roster.capacities()
            if capacities and not self._paused:
                await self._dispatch_once(capacities)
            # The wait is a net only (a re-run whose node stays away, a lost wake-up): everything wakes us.
            with anyio.move_on_after(self.settings.renew_every_s):
                await self._wake.wait()

    async def _dispatch_once(self, capacities: dict[WorkerId, int]) -> None:
        wait_s = self.settings.affinity_wait_s
        try:
            orders = await self.store.writer.run(
                lambda unit: dispatch(unit, capacities, affinity_wait_s=wait_s)
            )
        except PodiumError as error:
            log.warning("dispatch put off: %s", error.message)
            return
        reach("dispatch.before_send")
        for worker, order in orders:
            self._send(worker, order)
            if order.repository is not None and self._tasks is not None:
                self._tasks.start_soon(self._warm, order.repository, order)

    def tell_later(self, *runs: RunId) -> None:
        """`tell_run`, without waiting for it."""
        for run_id in runs:
            if self._tasks is not None:
                self._tasks.start_soon(self._tell_later, run_id)

    async def _tell_later(self, run_id: RunId) -> None:
        try:
            await self.tell_run(run_id)
        except PodiumError as error:
            # The database is away, say: the next renewal carries it.
            log.info("nothing told about %s: %s", run_id, error.message)

    def _send(self, worker: WorkerId, message: m.ToWorker) -> None:
        if self._tasks is not None:
            self._tasks.start_soon(self._tell, worker, message)

    async def _tell(self, worker: WorkerId, message: m.ToWorker) -> None:
        try:
            await self.bus.ask(worker, message)
        except PodiumError as error:
            # The row is the order: the next hello or renewal carries it again.
            log.info("%s not told of %s: %s", worker, type(message).__name__, error.message)

    async def _warm(self, repository: str, order: m.RunOrder) -> None:
        """Have ready what the import at the end of the run will need."""
        await self.mirrors.warm(repository)
        if order.snapshot is not None:
            await self._take_in_snapshot(repository, order.task_id, order.snapshot)

    async def _watch_leases(self) -> None:
        while True:
            await anyio.sleep(min(1.0, self.settings.lease_ttl_s / 4))
            for worker in self.roster.expired():
                try:
                    lost = await self.store.writer.run(
                        lambda unit, w=worker: expire_worker(unit, w, self.ids)  # type: ignore[misc]
                    )
                except PodiumError as error:
                    self.roster.expect([worker])
                    log.warning("lease of %s not ended yet: %s", worker, error.message)
                    continue
                log.warning("%s was not heard for a whole lease; %d runs lost", worker, lost)
                self.wake()

    async def _expire_forever(self) -> None:
        """Inquiries have deadlines of minutes to days: a look every few seconds is soon enough."""
        while True:
            await anyio.sleep(self.settings.renew_every_s)
            try:
                runs = await self.store.writer.run(
                    lambda unit: expire_inquiries(unit, self.ids), durable=True
                )
            except PodiumError as error:
                log.warning("inquiries not looked through: %s", error.message)
                continue
            self.tell_later(*runs)

    async def _prune_forever(self) -> None:
        settings = self.settings
        while True:
            await anyio.sleep(600)
            try:
                await self.store.prune(
                    keep_events=settings.keep_events, keep_artifacts=settings.keep_artifacts
                )
            except PodiumError as error:
                log.warning("retention put off: %s", error.message)
