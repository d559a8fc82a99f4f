"""Reads an agent's spool to its end: frames → harness → report → commit. Offsets are the only progress."""

from __future__ import annotations

import asyncio
import logging
import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import anyio.to_thread
import msgspec

from podium.bus import messages as m
from podium.harness.base import Exit, Frame, Partial
from podium.kernel import events as e
from podium.kernel.faultpoint import reach
from podium.kernel.nouns import Outcome, Reason
from podium.process import base as process
from podium.process import layout
from podium.process.base import Alive, Batch, Exited, HolderGone, Vanished
from podium.process.feed import close_stdin
from podium.process.identity import age_s, wait_gone
from podium.process.probe import goes_on, probe
from podium.process.spool import SpoolReader, read_tail
from podium.process.sweep import kill_tree
from podium.worker.limits import Alarm, Limiter

if TYPE_CHECKING:
    from podium.worker.attempt import Attempt

log = logging.getLogger("podium.worker")
NET_S = 2.0
"""How often the process table is looked at although nothing woke us."""
STDERR_TAIL_BYTES = 8 * 1024
SAVE_EVERY_BYTES = 4 * 1024 * 1024
"""How much consumed output may lie uncompressed on the disk."""
BATCH_BYTES = 64 * 1024
"""Read at once: a flood costs memory by the batch, several times over on its way to the disk."""
MAX_JOINED = 64 * 1024
HOLD_BACK_BYTES = 64 * 1024
"""Output that tells nothing to record (text while it is being said) and is not committed by itself: every
commit that it does not cause is one that a fact does not wait behind."""


class Dropped(Exception):
    """The server refused our fence: the run is somebody else's now."""


class Travelling(NamedTuple):
    """A report on its way: what the decoder's state is once it is committed, and up to where."""

    end: int
    state: Any


class Follower:
    """A run's coroutine, `follow`; and, while that waits, what is done at an ordinary line without waking it:
    `look` and `reported`, called by the worker's Watching. Never both at once. With 500 agents that saved
    about a quarter of the whole process's work (measured)."""

    def __init__(self, attempt: Attempt, offset: int, state: bytes) -> None:
        self._attempt = attempt
        self._harness: Any = attempt.harness
        self._process = attempt.home.process
        self._reader = self._read_from(offset)
        self._state = self._restore(state)
        self._archive = attempt.home.archive()
        self._saved = self._archive.saved_to()
        self._news = asyncio.Event()
        self._closing = False
        self._limiter = Limiter(
            attempt.order.agent.limits, attempt.context.clock, attempt.home, _age_s(attempt.home.process)
        )
        # Asked for at every line of every agent: as text, because making a Path costs more than the question.
        self._exit = str(self._process / layout.EXIT)
        self._out, self._err = str(self._process / "out"), str(self._process / "err")
        self._err_size = 0
        self._alarm = Alarm(self._ring)
        self._holder: process.ProcessIdentity | None = None
        self._probed_at = 0.0
        self._waits = False
        self._unread: Batch | None = None
        """What `look` has read and left to the coroutine."""
        self._travelling: Travelling | None = None
        self._woken = False
        """Meanwhile."""
        self._broken: Exception | None = None
        """What `look` or `reported` failed by; the coroutine raises it."""
        self.offset = offset

    @property
    def state(self) -> Any:
        """Of the decoder, as the server has it."""
        return self._state

    def wake(self) -> None:
        """Have the coroutine look at everything, once nothing is on its way."""
        if self._travelling is not None:
            self._woken = True
        else:
            self._news.set()

    async def follow(self) -> Outcome:
        """Until the agent is gone and everything it wrote is committed."""
        with self._attempt.context.watching.watched(self._process, self), self._reader, self._alarm:
            await self._speak()
            while True:
                self._news.clear()
                if self._broken is not None:
                    raise self._broken
                batch, self._unread = self._unread or self._reader.read(), None
                if batch.cut:
                    return await self._cut_off()
                if batch.frames:
                    self._limiter.heard()
                    await self._take(batch.frames)
                else:
                    await self._save()
                if batch.more:
                    continue
                # All that stood there is read, and what comes from now on wakes us.
                if not batch.frames:
                    await self._speak()
                    if await self._is_over():
                        return self._outcome()
                    self._err_size = _size(self._err)
                elif not self._surely_goes_on():
                    continue
                await self._mind_limits()
                await self._wait()

    # ---- a line, while the coroutine waits -----------------------------------------------------------

    def look(self) -> m.RunReport | None:
        """Something in the run's directory has changed. What the answer reports is to be sent, and `reported`
        called with the receipt; whatever is not an ordinary line is left to the coroutine."""
        if not self._waits or self._news.is_set():
            self._news.set()
            return None
        try:
            return self._look()
        except Exception as error:
            self._fail(error)
            return None

    def _look(self) -> m.RunReport | None:
        batch = self._reader.read()
        if batch.cut or batch.more or not batch.frames:
            self._unread = batch
            self._news.set()
            return None
        self._limiter.heard()
        state, facts = self._decode(batch.frames)
        end = batch.frames[-1].end
        if not self._has_to_be_reported(end, facts):
            self._state = state
            self._settle()
            return None
        self._travelling = Travelling(end, state)
        return self._report_of(end, state, facts)

    def reported(self, receipt: m.Receipt) -> None:
        """What `look` told was committed, or not taken."""
        if self._travelling is None:
            return
        (end, state), self._travelling = self._travelling, None
        try:
            self._received(receipt, end, state)
            self._settle()
        except Exception as error:
            self._fail(error)
        if self._woken:
            self._woken = False
            self._news.set()

    def _ring(self) -> None:
        """For as long as NET_S nothing but lines has happened. Unless all is as it was, and it nearly always
        is, the coroutine looks at everything."""
        try:
            if self._waits and not self._news.is_set() and self._is_as_it_was():
                self._set_alarm()
                return
        except OSError as error:
            self._fail(error)
        self.wake()

    def _is_as_it_was(self) -> bool:
        if self._travelling is not None or self._holder is None or not goes_on(self._process, self._holder):
            return False
        self._probed_at = self._attempt.context.clock.monotonic()
        self._err_size = _size(self._err)
        read_to = self._reader.read_to
        return (
            _size(self._out) == read_to
            and not self._attempt.input.has_to_speak(self._state)
            and self._limiter.allows(read_to + self._err_size)
            and not self._limiter.is_due()
        )

    def _settle(self) -> None:
        """Wake the coroutine if anything follows from the state that we have now."""
        told, sent = self._attempt.input, self._attempt.input.sent
        self._limiter.wait_for_person(bool(self._harness.waits(self._state, sent)))
        if (
            told.has_to_speak(self._state)
            or (not self._closing and self._harness.is_over(self._state, sent))
            or self.offset - self._saved > SAVE_EVERY_BYTES
            or not self._limiter.allows(self._reader.read_to + self._err_size)
            or os.access(self._exit, os.F_OK)
        ):
            self._news.set()

    def _fail(self, error: Exception) -> None:
        self._broken = error
        self._news.set()

    # ---- frames --------------------------------------------------------------------------------------

    async def _take(self, frames: Sequence[process.Frame]) -> None:
        state, facts = self._decode(frames)
        if self._has_to_be_reported(frames[-1].end, facts):
            await self._report(frames[-1].end, state, facts)
        else:
            self._state = state
        await self._speak()

    def _has_to_be_reported(self, end: int, facts: Sequence[e.RunFact]) -> bool:
        """If not, the state travels with the next fact. Decoded again after a crash it is the same."""
        return bool(facts) or end - self.offset > HOLD_BACK_BYTES

    def _decode(self, frames: Sequence[process.Frame]) -> tuple[Any, Sequence[e.RunFact]]:
        state = self._state
        facts: list[e.RunFact] = []
        partials: list[Partial] = []
        for frame in frames:
            state, more = self._harness.decode(state, Frame(data=frame.data, truncated=frame.truncated))
            for told in more:
                if isinstance(told, Partial):
                    partials.append(told)
                else:
                    facts.append(told)
            if frame.truncated:
                facts.append(self._notice("truncated", f"a line was cut after {len(frame.data)} bytes"))
        reach("spool.decoded")
        if self._harness.joins_said:
            facts = _join_said(facts)
        if partials:
            self._attempt.context.reporter.mention(self._attempt.about, partials)
        return state, facts

    async def _speak(self) -> None:
        """After every committed state and every wake-up: tell the agent what it is due, then see whether it
        has said its last word."""
        told = self._attempt.input
        for fact in await told.speak(self._state, closing=self._closing):
            await self._attempt.report_fact(fact)
        sent = told.sent
        self._limiter.wait_for_person(bool(self._harness.waits(self._state, sent)))
        if not self._closing and self._harness.is_over(self._state, sent):
            self._closing = True
            await anyio.to_thread.run_sync(close_stdin, self._process)

    async def _report(self, end: int, state: Any, facts: Sequence[e.RunFact]) -> None:
        report = self._report_of(end, state, facts)
        self._received(await self._attempt.context.reporter.report(report), end, state)
        await self._save()

    def _report_of(self, end: int, state: Any, facts: Sequence[e.RunFact]) -> m.RunReport:
        order = self._attempt.order
        return m.RunReport(
            run_id=order.run_id,
            fence=order.fence,
            from_offset=self.offset,
            offset=end,
            state=msgspec.json.encode(state),
            events=tuple(facts),
        )

    def _received(self, receipt: m.Receipt, end: int, state: Any) -> None:
        """Raises Dropped."""
        reach("spool.reported")
        if receipt.verdict == "refused":
            raise Dropped
        if receipt.verdict == "behind":
            # The server has another position (its answer to us was lost): its word counts, read from there.
            self.offset, self._state = receipt.offset, self._restore(receipt.state)
            self._reader.close()
            self._reader = self._read_from(receipt.offset)
            self._news.set()  # what stands there already wakes nobody
            return
        self.offset, self._state = end, state

    async def _save(self) -> None:
        if self.offset - self._saved > SAVE_EVERY_BYTES:
            self._saved = await anyio.to_thread.run_sync(self._archive.save, self.offset)

    def _read_from(self, offset: int) -> SpoolReader:
        return SpoolReader(self._process / "out", offset, max_bytes=BATCH_BYTES)

    def _restore(self, state: bytes) -> Any:
        return msgspec.json.decode(state, type=self._harness.State) if state else self._harness.begin()

    # ---- the end -------------------------------------------------------------------------------------

    def _surely_goes_on(self) -> bool:
        """After a wake-up that brought output: only the exit file is looked for. The whole look opens six
        files, and at every line of a chatty agent it was a third of the daemon's work (measured). A holder
        that dies just then is found by the next look, at most NET_S later."""
        return self._attempt.context.clock.monotonic() - self._probed_at < NET_S and not os.access(
            self._exit, os.F_OK
        )

    async def _is_over(self) -> bool:
        """Whether nobody writes any more and everything is read."""
        self._probed_at = self._attempt.context.clock.monotonic()
        if self._holder is not None and goes_on(self._process, self._holder):
            return False
        state = probe(self._process)
        if isinstance(state, Alive):
            self._holder = state.holder
            return False
        if isinstance(state, HolderGone):
            # Its stdin has ended with the holder: give it the time to finish its turn, then sweep.
            settings = self._attempt.context.settings
            if not await wait_gone(state.agent, settings.finish_turn_s):
                log.warning("%s did not end after its holder died; it is stopped", self._attempt.order.run_id)
        if isinstance(state, (HolderGone, Vanished)):
            await anyio.to_thread.run_sync(kill_tree, self._process)
        batch = self._reader.read(final=True)
        if batch.frames:
            await self._take(batch.frames)
        return not batch.frames and not batch.more

    async def _cut_off(self) -> Outcome:
        """Somebody truncated the spool: nothing after that can be trusted."""
        await self._attempt.stop_agent()
        return Outcome(
            succeeded=False, reason=Reason.NO_RESULT, detail="its output file was cut short by somebody"
        )

    def _outcome(self) -> Outcome:
        state = probe(self._process)
        code = state.code if isinstance(state, Exited) else None
        if self._attempt.cancelled:
            return Outcome(succeeded=False, reason=Reason.CANCELLED, exit_code=code)
        limit = self._limiter.reached()
        if limit is not None:
            return Outcome(succeeded=False, reason=limit, exit_code=code, detail=self._limiter.detail(limit))
        stderr = read_tail(self._process / "err", STDERR_TAIL_BYTES)
        outcome: Outcome = self._harness.outcome(self._state, Exit(code=code, stderr=stderr))
        if not isinstance(state, Exited) and self._harness.was_deaf(self._state, self._attempt.input.sent):
            detail = "its holder died while it asked; it took that for a refusal"
            return Outcome(succeeded=False, reason=Reason.KILLED, exit_code=code, detail=detail, lost=True)
        if self._attempt.home.halted() and not outcome.succeeded:
            detail = "stopped together with its worker"
            return Outcome(succeeded=False, reason=Reason.KILLED, exit_code=code, detail=detail, lost=True)
        return outcome

    async def _mind_limits(self) -> None:
        if self._limiter.check(self._reader.read_to + self._err_size):
            await self._attempt.stop_agent()

    async def _wait(self) -> None:
        if not self._alarm.is_set:
            self._set_alarm()
        self._waits = True
        try:
            await self._news.wait()
        finally:
            self._waits = False

    def _set_alarm(self) -> None:
        """What is next to be checked only moves away from us while it is set."""
        self._alarm.ring_after(min(NET_S, self._limiter.next_check_s()))

    def _notice(self, kind: str, text: str) -> e.RunNoticed:
        about = self._attempt.about
        return e.RunNoticed(task_id=about.task_id, run_id=about.run_id, kind=kind, text=text)


def _age_s(run_dir: Path) -> float:
    """How long the agent has been running already, by the machine's own count; 0 when it is gone."""
    state = probe(run_dir)
    agent = state.agent if isinstance(state, (Alive, HolderGone)) else None
    return 0.0 if agent is None else age_s(agent)


def _size(path: str) -> int:
    try:
        return os.stat(path).st_size
    except FileNotFoundError:
        return 0


def _join_said(facts: Sequence[e.RunFact]) -> list[e.RunFact]:
    """Neighbouring raw lines of one batch become one event: a chatty command costs rows by the batch."""
    joined: list[e.RunFact] = []
    for fact in facts:
        last = joined[-1] if joined else None
        if (
            isinstance(fact, e.RunSaid)
            and isinstance(last, e.RunSaid)
            and len(last.text) + len(fact.text) < MAX_JOINED
        ):
            joined[-1] = msgspec.structs.replace(last, text=f"{last.text}\n{fact.text}")
        else:
            joined.append(fact)
    return joined
