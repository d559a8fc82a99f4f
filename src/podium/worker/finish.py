"""After the agent is gone: capture, bundle, upload, checks, and the report that ends the run."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import anyio
import anyio.to_thread
from msgspec.structs import replace

from podium.bus import messages as m
from podium.git import bundle
from podium.git.base import Captured, WorkspaceGone
from podium.git.names import parse_commit, run_ref
from podium.git.threads import together
from podium.kernel import events as e
from podium.kernel.errors import Conflict, NotFound, PodiumError, Unavailable
from podium.kernel.faultpoint import reach
from podium.kernel.ids import ArtifactId
from podium.kernel.nouns import CheckResult, Outcome, Reason
from podium.process.spool import read_tail
from podium.worker.checks import run_checks
from podium.worker.context import WorkerContext
from podium.worker.follow import Dropped
from podium.worker.home import RunHome
from podium.worker.place import RunPlace
from podium.worker.ports import OutputOf

if TYPE_CHECKING:
    from podium.worker.attempt import Attempt

log = logging.getLogger("podium.worker")
RETRY_S = 0.25
MAX_RETRY_S = 10.0
STDERR_NOTICE_BYTES = 4 * 1024


class Finisher:
    def __init__(self, attempt: Attempt) -> None:
        self._attempt = attempt
        self._home = attempt.home
        self._order = attempt.order
        self._context = attempt.context
        self._place = attempt.place
        self._bundle = attempt.home.path / "work.bundle"

    async def finish(self, outcome: Outcome) -> None:
        """Until the server has recorded the end. Raises Dropped when it refuses it.

        Every step can be repeated: the captured work is noted once it is safe, checks may run again,
        the final report is taken once.
        """
        about = self._attempt.about
        fact = e.RunFinishing(task_id=about.task_id, run_id=about.run_id, outcome=outcome)
        # At once: what is captured while the fence turns out to be stale is work that is kept anyway.
        _, captured = await together(lambda: self._attempt.report_fact(fact), lambda: self._captured(outcome))
        if captured is None and outcome.succeeded and self._place.is_gone():
            outcome = _lost_work(outcome)
        checks = await self._checks() if outcome.succeeded else ()
        reach("finish.checked")
        await self._deliver(outcome, captured, checks)
        self._attempt.is_recorded = True
        reach("finish.reported")
        if outcome.succeeded:
            self._context.home.note_success(self._order.agent.harness)
        await self.keep_output()
        # A lost run is tried again in the same workspace.
        await tidy(self._context, self._home, self._place, keep_workspace=outcome.lost)

    async def _captured(self, outcome: Outcome) -> m.Captured | None:
        """The work, uploaded; None when there is none, or when the run will be tried again in its place."""
        known = self._home.captured()
        if known is not None:
            return known
        found = await self._place.capture(self._bundle)
        reach("finish.captured")
        if outcome.lost or found is None or found.commits == 0:
            return None
        captured = await self._announce(found)
        self._home.store_captured(captured)
        return captured

    async def _announce(self, found: Captured) -> m.Captured:
        place = self._place.known()
        if place is None or self._order.repository is None:
            raise WorkspaceGone
        return m.Captured(
            repository=self._order.repository,
            branch=self._order.branch,
            base=place.base,
            tip=found.tip,
            commits=found.commits,
            leftover=found.leftover,
            drift=found.drift,
            bundle=await self._send_bundle(found.tip, place.base, made=self._bundle.exists()),
        )

    async def _send_bundle(self, tip: str, base: str | None, *, made: bool = False) -> ArtifactId:
        """The commits of `tip` that `base` has not (all of them without one), as an artifact.

        `made`: the capture has just left them as a bundle.
        """
        place = self._place.known()
        if place is None:
            raise WorkspaceGone
        if not made:
            ref = run_ref(self._order.run_id)
            since = None if base is None else parse_commit(base)
            await bundle.make(self._context.git, place.mirror, since, parse_commit(tip), ref, self._bundle)
        reach("finish.bundled")
        artifact = await self._upload(
            self._bundle, "application/x-git-bundle", f"{self._order.run_id}.bundle"
        )
        reach("finish.uploaded")
        return artifact

    async def _checks(self) -> tuple[CheckResult, ...]:
        if not self._order.checks:
            return ()
        env = await anyio.to_thread.run_sync(self._attempt.environment)
        return await run_checks(
            self._order.checks,
            workspace=self._place.tree,
            env=env,
            execute=self._context.execute,
            store_output=self._store_output,
        )

    async def _store_output(self, name: str, data: bytes) -> ArtifactId:
        path = self._home.path / name
        await anyio.Path(path).write_bytes(data)
        return await self._upload(path, "text/plain; charset=utf-8", name)

    async def _upload(
        self, path: Path, media_type: str, name: str, output: OutputOf | None = None
    ) -> ArtifactId:
        while True:
            try:
                return await self._context.upload(
                    path, media_type=media_type, name=name, task_id=self._order.task_id, output=output
                )
            except Unavailable as error:
                log.info("%s: upload waits for the server: %s", self._order.run_id, error.message)
                await anyio.sleep(RETRY_S)

    async def _deliver(
        self, outcome: Outcome, captured: m.Captured | None, checks: tuple[CheckResult, ...]
    ) -> None:
        pause_s = RETRY_S
        while True:
            answer = await self._tell_end(outcome, captured, checks)
            match answer:
                case m.Finished(verdict="taken"):
                    return
                case m.Finished(verdict="refused"):
                    raise Dropped
                case m.Finished(verdict="need_full") if captured is not None:
                    captured = replace(
                        captured, bundle=await self._send_bundle(captured.tip, None), thin=False
                    )
                    self._home.store_captured(captured)
                    continue
                case m.Failure(code="bundle_refused", message=message):
                    # Its objects fail git's checks, now and always: end without a change, and say why.
                    outcome, captured = _refused_work(outcome, message), None
                    continue
                case m.Failure(code="not_found") if captured is not None:
                    # The server's bytes are gone (an older backup came back): send them again. A bundle
                    # that is made anew may differ in its header, and then it has another id.
                    base, made = captured.base if captured.thin else None, self._bundle.exists()
                    again = await self._send_bundle(captured.tip, base, made=made)
                    captured = replace(captured, bundle=again)
                    self._home.store_captured(captured)
                case _:
                    log.warning("%s: the end was not taken: %s", self._order.run_id, answer)
            await anyio.sleep(pause_s)
            pause_s = min(pause_s * 2, MAX_RETRY_S)

    async def _tell_end(
        self, outcome: Outcome, captured: m.Captured | None, checks: tuple[CheckResult, ...]
    ) -> m.Answer:
        report = m.RunFinished(
            worker_id=self._context.settings.worker_id,
            run_id=self._order.run_id,
            fence=self._order.fence,
            outcome=outcome,
            captured=captured,
            checks=checks,
            events=self._closing_notices(),
        )
        try:
            return await self._context.bus.ask(report, timeout_s=120.0)
        except PodiumError as error:
            return m.failure_of(error)

    async def keep_output(self) -> None:
        """After the end is recorded, so that nobody waits for it: the raw output as artifacts. `out` last and
        always, so that with it all is there."""
        run_id = self._order.run_id
        streams: tuple[Literal["err", "out"], ...] = ("err", "out")
        for stream in streams:
            whole, size = await anyio.to_thread.run_sync(self._home.archive(stream).finish)
            if size or stream == "out":
                output = OutputOf(run_id=run_id, stream=stream, size=size)
                try:
                    await self._upload(whole, "application/gzip", f"{run_id}.{stream}.gz", output)
                except (NotFound, Conflict) as error:  # an older backup came back: it knows no such end
                    log.warning("the output of %s is not wanted: %s", run_id, error.message)

    def _closing_notices(self) -> tuple[e.RunFact, ...]:
        text = read_tail(self._home.process / "err", STDERR_NOTICE_BYTES).decode(errors="replace").strip()
        if not text:
            return ()
        about = self._attempt.about
        return (e.RunNoticed(task_id=about.task_id, run_id=about.run_id, kind="stderr", text=text),)


async def tidy(
    context: WorkerContext, home: RunHome, place: RunPlace, *, keep_workspace: bool = False
) -> None:
    """Forget a run whose end is recorded; its workspace goes too once its work is proved to be in a ref."""
    if not keep_workspace and not context.settings.keep_workspaces:
        try:
            await place.remove()
        except PodiumError as error:
            log.warning("the workspace of %s is kept: %s", home.run_id, error.message)
    home.forget()
    reach("worker.forgotten")


def _lost_work(outcome: Outcome) -> Outcome:
    return Outcome(
        succeeded=False,
        reason=Reason.WORKSPACE,
        detail="its workspace was removed or replaced while it ran: there was nothing to save",
        exit_code=outcome.exit_code,
    )


def _refused_work(outcome: Outcome, message: str) -> Outcome:
    return Outcome(
        succeeded=False,
        reason=Reason.WORKSPACE,
        detail=f"the work was refused on import: {message}; it is kept on its node",
        exit_code=outcome.exit_code,
    )
