"""Reports as a worker makes them, of runs that exist only in the store."""

from __future__ import annotations

import itertools
import os
from datetime import UTC, datetime

import msgspec

from podium.bus import messages as m
from podium.engine.ingest import ingest
from podium.kernel import events as e
from podium.kernel.fold import Stamp, first_state
from podium.kernel.ids import IdMaker, RunId, TaskId, WorkerId
from podium.kernel.nouns import Agent, Run, Source, Task
from podium.kernel.states import RunState, TaskState
from podium.kernel.status import QUEUED
from podium.process.clock import SystemClock
from podium.store.store import Store
from podium.store.unit import Unit

WORKER = WorkerId("worker_" + "0" * 26)
TEXT = "x" * 100
"""Makes an event about 240 bytes on the wire."""
LINES = 5
"""Lines of one report."""


def noun_task(ids: IdMaker) -> Task:
    stamp = Stamp(seq=0, at=datetime.now(UTC), by="bench")
    return Task(
        id=TaskId(ids.new("task")), title="a task of the bench", source=Source.API, agent="claude",
        created_at=stamp.at, state=first_state(TaskState.QUEUED, stamp), status=first_state(QUEUED, stamp),
    )  # fmt: skip


class Reports:
    def __init__(self, store: Store, runs: list[Run]) -> None:
        self._store = store
        self._ids = IdMaker(SystemClock(), os.urandom)
        self._runs = itertools.cycle(runs)
        self._offsets: dict[str, int] = {run.id: 0 for run in runs}

    @classmethod
    async def prepare(cls, store: Store, *, runs: int) -> Reports:
        """Runs leased to a worker that never connects."""
        ids = IdMaker(SystemClock(), os.urandom)
        made = [_run(ids) for _ in range(runs)]

        def record(unit: Unit) -> None:
            for task, run in made:
                unit.record(e.TaskOpened(task=task), by="bench")
                unit.record(e.RunQueued(run=run), by="bench")
                leased = e.RunLeased(task_id=task.id, run_id=run.id, worker_id=WORKER, fence=1)
                unit.record(leased, by="bench")

        await store.writer.run(record)
        return cls(store, [run for _, run in made])

    async def send(self, events: int) -> None:
        """That many events, encoded, decoded and ingested as from the bus; returns after the commit."""
        reports = []
        while events > 0:
            count = min(LINES, events)
            events -= count
            reports.append(self._report(next(self._runs), count))
        message = m.decode(m.encode(m.Reports(worker_id=WORKER, reports=tuple(reports))))
        assert isinstance(message, m.Reports)
        receipts, _ = await self._store.writer.run(
            lambda unit: ingest(unit, WORKER, message.reports, self._ids), durable=False
        )
        if any(receipt.verdict != "taken" for receipt in receipts):
            raise RuntimeError(f"reports were not taken: {receipts[0]}")

    def _report(self, run: Run, count: int) -> m.RunReport:
        begin = self._offsets[run.id]
        self._offsets[run.id] = end = begin + count * len(TEXT)
        said = e.RunSaid(task_id=run.task_id, run_id=run.id, text=TEXT)
        return m.RunReport(
            run_id=run.id, fence=1, from_offset=begin, offset=end, state=b"{}", events=(said,) * count
        )


def _run(ids: IdMaker) -> tuple[Task, Run]:
    task = noun_task(ids)
    stamp = Stamp(seq=0, at=task.created_at, by="bench")
    run_id = RunId(ids.new("run"))
    run = Run(
        id=run_id, task_id=task.id, agent=Agent(name="claude", harness="scripted"), workspace_of=run_id,
        created_at=task.created_at, state=first_state(RunState.QUEUED, stamp),
    )  # fmt: skip
    return msgspec.structs.replace(task, run_id=run_id), run
