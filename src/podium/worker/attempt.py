"""One run on this machine: prepare, launch, follow, finish. Every part can be repeated after a crash.

Nothing here remembers: what was done is read from the run's directory, the holder's files and what the
server says it has. An attempt is started for a new order and for every run found at start alike.
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable
from pathlib import Path

import anyio
import anyio.to_thread
from msgspec import Struct

from podium.bus import messages as m
from podium.git.threads import together
from podium.harness.base import About, LaunchPlan, LaunchRequest
from podium.harness.registry import harness_class
from podium.kernel import events as e
from podium.kernel.errors import InvalidRequest, NotFound, PodiumError, SpawnFailed
from podium.kernel.faultpoint import reach
from podium.kernel.nouns import Outcome, Reason
from podium.kernel.states import RunState
from podium.process import layout
from podium.process.base import Alive, Exited, HolderState, LaunchSpec, NotStarted
from podium.process.feed import append_input
from podium.process.identity import read_identity
from podium.process.probe import probe
from podium.process.stop import stop
from podium.process.sweep import kill_tree
from podium.worker import attachments
from podium.worker.answers import mask
from podium.worker.context import WorkerContext
from podium.worker.environment import agent_environment
from podium.worker.finish import Finisher
from podium.worker.follow import Dropped, Follower
from podium.worker.home import RunHome
from podium.worker.input import AgentInput
from podium.worker.place import RunPlace
from podium.worker.secrets import login_secret, server_secrets
from podium.worker.trust import trusted_content

log = logging.getLogger("podium.worker")
MAX_LAUNCHES = 5
LAUNCH_LOOKS, LAUNCH_LOOK_S = 2_000, 0.005
"""A holder that neither starts its agent nor dies is waited for 10 s at most."""
ISOLATION = "bare"
"""No sandbox exists yet: the agent runs with the worker's own rights. Every view shows it."""


class Position(Struct, frozen=True, kw_only=True):
    """Where the server stands with this run."""

    offset: int = 0
    state: bytes = b""
    phase: str = RunState.LEASED


class Attempt:
    """`run()` once; `cancel()` and `wake()` at any time from the same loop."""

    def __init__(
        self,
        context: WorkerContext,
        home: RunHome,
        order: m.RunOrder,
        position: Position,
        *,
        settle_older: Callable[[m.RunOrder], Awaitable[None]],
    ) -> None:
        self.context = context
        self.home = home
        self.order = order
        self._position = position
        self._settle_older = settle_older
        self.about = About(task_id=order.task_id, run_id=order.run_id)
        self._no_harness: InvalidRequest | None = None
        try:
            found = harness_class(order.agent.harness, context.settings.harnesses)
        except InvalidRequest as error:
            # The server knows it and this worker does not: the run ends, the worker goes on.
            self._no_harness, found = error, harness_class("command")
        self.harness = found(self.about)  # type: ignore[call-arg]
        self.place = RunPlace(context, order)
        self.input = AgentInput(home, self.harness, order.task_id, order.run_id)
        self.input.take(order.pending)
        self.cancelled = False
        self.phase = position.phase
        self.is_recorded = False
        """The server has the end. Left to do: keep the output, forget the run."""
        self.over = anyio.Event()
        """`run` has returned or failed."""
        self._follower: Follower | None = None

    async def run(self) -> None:
        """Carry the run to its recorded end. Raises Dropped when the server no longer wants it from us."""
        try:
            await self._run()
        finally:
            self.over.set()

    async def _run(self) -> None:
        outcome = self.home.outcome()
        if outcome is None:
            try:
                outcome = await self._carry_out()
            except PodiumError as error:
                log.warning("%s could not be carried out: %s", self.order.run_id, error.message)
                outcome = _outcome_of(error)
            await kill_everything(self.home)
            self.home.store_outcome(outcome)
        self.phase = RunState.FINISHING
        await Finisher(self).finish(outcome)

    def wake(self) -> None:
        if self._follower is not None:
            self._follower.wake()

    def deliver(self, pending: m.Pending | None) -> None:
        """Something for the agent to hear."""
        self.input.take(pending)
        self.wake()

    async def cancel(self) -> None:
        """Stop the agent: interrupt, TERM, KILL of the whole tree. The run then ends as cancelled."""
        self.cancelled = True
        await self.stop_agent()

    async def stop_agent(self) -> None:
        state = self._follower.state if self._follower is not None else self.harness.begin()
        line = self.harness.interrupt(state)

        async def interrupt() -> None:
            if line is not None:
                await anyio.to_thread.run_sync(append_input, self.home.process, line)

        grace_s = self.order.agent.limits.grace_s
        polite = interrupt if line is not None else None
        await stop(self.home.process, interrupt=polite, grace_s=(grace_s, grace_s))
        self.wake()

    async def report_fact(self, fact: e.RunFact) -> None:
        """Tell the server something that belongs to no frame and is harmless to repeat."""
        receipt = await self.context.reporter.report(
            m.RunReport(
                run_id=self.order.run_id,
                fence=self.order.fence,
                from_offset=self._offset,
                offset=self._offset,
                events=(fact,),
            )
        )
        if receipt.verdict == "refused":
            raise Dropped
        if receipt.verdict == "behind":
            self._position = Position(offset=receipt.offset, state=receipt.state, phase=self.phase)
            await self.report_fact(fact)

    @property
    def _offset(self) -> int:
        return self._follower.offset if self._follower is not None else self._position.offset

    async def _carry_out(self) -> Outcome:
        if self._no_harness is not None:
            raise NotFound(f"on this worker {self._no_harness.message}", hint=self._no_harness.hint)
        if not await self._has_begun():
            return Outcome(succeeded=False, reason=Reason.CANCELLED, detail="before it began")
        if self.phase in {RunState.LEASED, RunState.STARTING}:
            await self._tell_started()
        self._follower = Follower(self, self._position.offset, self._position.state)
        return await self._follower.follow()

    async def _has_begun(self) -> bool:
        """Launch until a program was really started; False when the run was cancelled before.

        A holder may die before its agent is born, our own launch or one that an earlier worker had under
        way: then nothing has run, and launching again is the first time. Raises SpawnFailed when that
        happens too often.
        """
        for _ in range(MAX_LAUNCHES):
            if isinstance(await self._settled_launch(), NotStarted):
                if self.cancelled:
                    return False
                await self._start()
            if not isinstance(await self._settled_launch(), NotStarted):
                return True
        raise SpawnFailed(
            f"no program came to life in {MAX_LAUNCHES} launches",
            hint="is its machine out of memory or processes? podium doctor, there",
        )

    async def _settled_launch(self) -> HolderState:
        """The state of the launch once it is clear whether its agent exists: a starting holder takes about a
        millisecond, and says so in the run's directory."""
        for _ in range(LAUNCH_LOOKS):
            state = probe(self.home.process)
            if not isinstance(state, Alive) or state.agent is not None:
                return state
            await anyio.sleep(LAUNCH_LOOK_S)
        return probe(self.home.process)

    async def _start(self) -> None:
        """Prepare while the server is told, then launch: no agent exists before the fence was accepted and
        the order is on the disk. What is prepared for an order that turns out stale is an empty directory
        or a clone of this run alone, and is put away with it; the workspace of an earlier run is touched
        only after the answer."""
        about = self.about
        fact = e.RunStarting(task_id=about.task_id, run_id=about.run_id)
        if self.order.workspace_of == self.order.run_id:
            _, spec = await together(lambda: self._announce(fact), self._prepare)
        else:
            await self._announce(fact)
            spec = await self._prepare()
        self.phase = RunState.STARTING
        reach("launch.before_spawn")
        await self.context.launcher.launch(spec)
        reach("launch.after_spawn")

    async def _announce(self, fact: e.RunFact) -> None:
        await together(
            lambda: self.report_fact(fact), lambda: anyio.to_thread.run_sync(self.home.settle_order)
        )

    async def _prepare(self) -> LaunchSpec:
        await self._settle_older(self.order)
        await self.place.prepare()
        await attachments.fetch(self.context, self.order)
        reach("workspace.cloned")
        plan = await anyio.to_thread.run_sync(self._plan)
        for name, content in plan.files.items():
            _write_private(self.home, name, content)
        for name, target in plan.links.items():
            _link(Path(name), target)
        self.home.note_session(plan.conversation_id)
        if plan.login_dir is not None:
            await anyio.to_thread.run_sync(self.context.home.note_login, self.order.run_id, plan.login_dir)
        if plan.taken:
            self.home.note_taken(plan.taken)
        self.home.note_argv(mask(plan.argv))
        return LaunchSpec(
            run_dir=self.home.process,
            cwd=self.place.tree,
            argv=plan.argv,
            env=self.environment(plan),
            initial_input=plan.first_input,
            close_stdin=plan.close_stdin,
        )

    async def _tell_started(self) -> None:
        agent = read_identity(self.home.process / layout.AGENT)
        base, branch = self.place.base(), self.order.branch if self.order.repository else None
        await self.report_fact(
            e.RunStarted(
                task_id=self.about.task_id,
                run_id=self.about.run_id,
                pid=agent.pid if agent is not None else 0,
                isolation=ISOLATION,
                workspace=str(self.place.tree),
                conversation_id=self.home.session(),
                branch=branch,
                base_commit=base,
            )
        )
        for name in self._ignored_files():
            text = f"{name} of the repository is not honoured; podium projects trust makes it so"
            about = self.about
            notice = e.RunNoticed(
                task_id=about.task_id, run_id=about.run_id, kind="untrusted_file", text=text
            )
            await self.report_fact(notice)
        self.phase = RunState.RUNNING

    def _ignored_files(self) -> list[str]:
        known, trusted = type(self.harness).config_files, self.order.trusted_files
        return trusted_content(self.place.tree, known, trusted)[1] if self.order.attempt == 1 else []

    def environment(self, plan: LaunchPlan | None = None) -> dict[str, str]:
        """Of the agent, and of its checks: the same one."""
        order, plan = self.order, plan or self._plan()
        identity = {"PODIUM_RUN": order.run_id, "PODIUM_TASK": order.task_id}
        if files := attachments.paths_of(self.context, order):
            identity["PODIUM_ATTACHMENTS"] = str(files[0].parent)
        return agent_environment(self.context.settings.environ, order.agent.env, plan.env, identity)

    def _plan(self) -> LaunchPlan:
        order, settings = self.order, self.context.settings
        request = LaunchRequest(
            about=self.about,
            agent=order.agent,
            prompt=order.prompt,
            workspace=self.place.tree,
            files_dir=self.home.files,
            keep_dir=self.context.home.sessions,
            conversation_id=order.conversation_id,
            opening="again" if order.again else "next" if order.follows else "first",
            fork=order.fork,
            said=self.input.waiting(),
            login_dir=self.context.home.login_of(order.login_of),
            secret=login_secret(order.agent, settings.environ, settings.keys),
            server_secrets=server_secrets(order.agent, settings.environ, settings.keys),
            trusted=trusted_content(self.place.tree, type(self.harness).config_files, order.trusted_files)[0],
            output_schema=order.output_schema,
            attachments=attachments.paths_of(self.context, order),
            checks=order.checks,
            environ=settings.environ,
        )
        return self.harness.launch(request)


async def kill_everything(home: RunHome) -> None:
    """The whole process tree of a run, whatever state its holder is in; nothing to do is the usual case."""
    if isinstance(probe(home.process), (NotStarted, Exited)):
        return
    await stop(home.process, grace_s=(0.0, 0.0))
    await anyio.to_thread.run_sync(kill_tree, home.process)


def _link(path: Path, target: Path) -> None:
    """A symbolic link, made or mended; a file that stands there instead is left alone."""
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    if path.is_symlink() and path.readlink() != target:
        path.unlink()
    if not path.is_symlink() and not path.exists():
        path.symlink_to(target)


def _write_private(home: RunHome, name: str, content: bytes) -> None:
    home.files.mkdir(exist_ok=True, mode=0o700)
    path = home.files / name
    path.unlink(missing_ok=True)
    path.touch(mode=0o600)
    path.write_bytes(content)


def _outcome_of(error: PodiumError) -> Outcome:
    """Why a run could not even be carried out, in the words that retries and `diagnose` know."""
    by_code = {
        "auth_required": Reason.AUTH_REQUIRED,
        "repository_unusable": Reason.REPOSITORY,
        "git_failed": Reason.WORKSPACE,
        "spawn_failed": Reason.LAUNCH_FAILED,
        "attachments_gone": Reason.WORKSPACE,
    }
    reason = (
        Reason.PROGRAM_MISSING if isinstance(error, NotFound) else by_code.get(error.code, Reason.WORKSPACE)
    )
    hint = f" ({error.hint})" if error.hint else ""
    return Outcome(succeeded=False, reason=reason, detail=error.message + hint)
