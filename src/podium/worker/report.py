"""Sends what runs report. Never waits in order to batch: while one message travels, the next fills."""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Sequence

import anyio
import msgspec

from podium.bus import messages as m
from podium.bus.base import WorkerBus
from podium.harness.base import About, Partial
from podium.kernel.errors import PodiumError
from podium.kernel.ids import WorkerId
from podium.worker.trouble import Trouble

log = logging.getLogger("podium.worker")
MAX_REPORTS = 512
MESSAGE_BYTES = 4 * 1024 * 1024
"""Of output in one message; more goes into the next. At its worst, six times as long, it fits on the bus."""
RETRY_S = 0.2
MAX_PARTIALS = 256
PARTIAL_TIMEOUT_S = 2.0


class Reporter:
    """One per worker. `report` returns once the server has committed (or refused) it."""

    def __init__(self, bus: WorkerBus, worker_id: WorkerId) -> None:
        self._bus = bus
        self._worker_id = worker_id
        self._waiting: deque[tuple[m.RunReport, asyncio.Future[m.Receipt]]] = deque()
        self._filled = asyncio.Event()
        self._partials: deque[m.Partials] = deque(maxlen=MAX_PARTIALS)
        self._spoken = asyncio.Event()
        self._refused = Trouble()

    async def report(self, report: m.RunReport) -> m.Receipt:
        """Waits through any absence of the server: agents go on, their spools grow, nothing is dropped."""
        future: asyncio.Future[m.Receipt] = asyncio.get_running_loop().create_future()
        self._waiting.append((report, future))
        self._filled.set()
        return await future

    def mention(self, about: About, partials: Sequence[Partial]) -> None:
        """Text that is being said: sent when the line is free, neighbours joined, the oldest dropped."""
        for partial in partials:
            last = self._partials[-1] if self._partials else None
            if last is not None and (last.run_id, last.item, last.thought) == (
                about.run_id, partial.item, partial.thought,
            ):  # fmt: skip
                self._partials[-1] = msgspec.structs.replace(last, text=last.text + partial.text)
            else:
                self._partials.append(
                    m.Partials(
                        worker_id=self._worker_id,
                        run_id=about.run_id,
                        task_id=about.task_id,
                        item=partial.item,
                        text=partial.text,
                        thought=partial.thought,
                    )
                )
        self._spoken.set()

    async def run_partials(self) -> None:
        """Send what is being said until cancelled; what cannot be sent is forgotten."""
        while True:
            await self._spoken.wait()
            self._spoken.clear()
            while self._partials:
                try:
                    await self._bus.ask(self._partials.popleft(), timeout_s=PARTIAL_TIMEOUT_S)
                except PodiumError:
                    self._partials.clear()

    async def run(self) -> None:
        """Send until cancelled."""
        while True:
            await self._filled.wait()
            batch = self._next_batch()
            if not self._waiting:
                self._filled.clear()
            receipts = await self.send([report for report, _ in batch])
            for (_, future), receipt in zip(batch, receipts, strict=True):
                if not future.done():
                    future.set_result(receipt)

    def _next_batch(self) -> list[tuple[m.RunReport, asyncio.Future[m.Receipt]]]:
        batch: list[tuple[m.RunReport, asyncio.Future[m.Receipt]]] = []
        size = 0
        while self._waiting and len(batch) < MAX_REPORTS and size < MESSAGE_BYTES:
            report, future = self._waiting.popleft()
            batch.append((report, future))
            size += report.offset - report.from_offset
        return batch

    async def send(self, reports: Sequence[m.RunReport]) -> tuple[m.Receipt, ...]:
        """A receipt for each, once the server has committed or refused them, however long it is away."""
        message = m.Reports(worker_id=self._worker_id, reports=tuple(reports))
        while True:
            try:
                answer = await self._bus.ask(message)
            except PodiumError as error:
                log.debug("the server cannot take reports now: %s", error.message)
            else:
                if isinstance(answer, m.Reported):
                    self._refused.over("reports are taken again")
                    return answer.receipts
                self._refused.say(f"reports not taken: {answer}")
            await anyio.sleep(RETRY_S)
