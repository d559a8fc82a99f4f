"""Takes in what workers report: fence first, then offset, decoder state, events and moves, all at once."""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import bindparam, select

from podium.bus.messages import Receipt, RunReport
from podium.engine.inbox import take_ask, take_delivered, withdraw_ask
from podium.engine.talk import know_session, take_message_fact
from podium.kernel import events as e
from podium.kernel.faultpoint import reach
from podium.kernel.ids import IdMaker, RunId, WorkerId
from podium.kernel.states import RUN_HELD, RunState
from podium.store import schema
from podium.store.unit import Unit

_runs, _positions = schema.runs, schema.positions
_HELD = {str(state) for state in RUN_HELD}
_MOVING = frozenset(
    {
        e.RunStarting, e.RunStarted, e.RunSessionKnown, e.RunFinishing, e.RunAsked, e.RunAskWithdrawn,
        e.RunPaused, e.RunContinued, e.InquiryDelivered, e.MessageDelivered, e.MessageUndelivered,
    }
)  # fmt: skip
_ADVANCE = """
INSERT INTO positions (out_offset, decoder, last_output_at, run_id) VALUES (?, ?, ?, ?)
ON CONFLICT (run_id) DO UPDATE SET
    out_offset = excluded.out_offset, decoder = excluded.decoder, last_output_at = excluded.last_output_at
"""
# Built once; the list of ids expands when it is executed, on every database.
_POSITIONS = (
    select(
        _runs.c.id, _runs.c.fence, _runs.c.state, _runs.c.worker_id,
        _positions.c.out_offset, _positions.c.decoder,
    )
    .outerjoin(_positions, _positions.c.run_id == _runs.c.id)
    .where(_runs.c.id.in_(bindparam("b_ids", expanding=True)))
)  # fmt: skip
_NOT_HELD: tuple[int | None, int, bytes] = (None, 0, b"")
_RANK = {
    RunState.LEASED: 0,
    RunState.STARTING: 1,
    RunState.RUNNING: 2,
    RunState.WAITING: 2,
    RunState.FINISHING: 3,
}
_REACHES = {e.RunStarting: 1, e.RunStarted: 2, e.RunFinishing: 3}


def moves_a_run(reports: Sequence[RunReport]) -> bool:
    """Whether the reports say more than output: those are committed with full durability."""
    return any(type(event) in _MOVING for report in reports for event in report.events)


def ingest(
    unit: Unit, worker: WorkerId, reports: Sequence[RunReport], ids: IdMaker
) -> tuple[tuple[Receipt, ...], list[RunId]]:
    """One receipt for each report, in order, and the runs for which an answer is ready at once. Nothing of a
    refused or misplaced report is kept."""
    known = _held_by(unit, worker, reports)
    by = f"worker:{worker}"
    receipts, advances, ready = [], [], []
    for report in reports:
        run_id = report.run_id
        fence, offset, decoder = known.get(run_id, _NOT_HELD)
        if fence != report.fence:
            receipts.append(Receipt(run_id=run_id, verdict="refused"))
            continue
        if report.from_offset != offset:
            receipts.append(Receipt(run_id=run_id, verdict="behind", offset=offset, state=bytes(decoder)))
            continue
        if _take(unit, report, by=by, ids=ids):
            ready.append(run_id)
        if report.offset > offset:
            offset = report.offset
            known[run_id] = fence, offset, report.state
            advances.append((offset, report.state, unit.at, run_id))
        receipts.append(Receipt(run_id=run_id, verdict="taken", offset=offset))
    if advances:
        unit.execute_many(_ADVANCE, advances)
    reach("ingest.before_commit")
    return tuple(receipts), ready


def _take(unit: Unit, report: RunReport, *, by: str, ids: IdMaker) -> bool:
    """Record what a run reports. True when an answer to it is ready already."""
    ready = False
    for event in report.events:
        kind = type(event)
        if kind in _REACHES:
            _reach(unit, event, _REACHES[kind], by=by)
            if kind is e.RunStarted:
                know_session(unit, report.run_id, by=by, ids=ids)
        elif kind in _TALK:
            ready |= _take_talk(unit, report.run_id, event, by=by, ids=ids)
        elif kind is e.RunUsed:
            unit.record(event, by=by)
        else:
            unit.append(event, by=by)
    return ready


def _reach(unit: Unit, event: e.RunFact, rank: int, *, by: str) -> None:
    run = unit.run(event.run_id)
    if _RANK[run.state.word] < rank:
        _catch_up(unit, run.state.word, event, by=by)
        unit.record(event, by=by)


def _take_talk(unit: Unit, run_id: RunId, event: e.RunFact, *, by: str, ids: IdMaker) -> bool:
    """What belongs to a conversation: asks, messages, waiting, its name."""
    run = unit.run(run_id)
    match event:
        case e.RunSessionKnown():
            if run.conversation_id != event.conversation_id:
                unit.record(event, by=by)
                know_session(unit, run_id, by=by, ids=ids)
        case e.RunAsked():
            unit.append(event, by=by)
            return take_ask(unit, run, event, by=by, ids=ids)
        case e.RunAskWithdrawn():
            unit.append(event, by=by)
            withdraw_ask(unit, run, event.reply_token, by=by)
        case e.InquiryDelivered():
            take_delivered(unit, run, event, by=by)
        case e.RunPaused():
            if run.state.word is RunState.RUNNING:
                unit.record(event, by=by)
        case e.RunContinued():
            if run.state.word is RunState.WAITING and run.state.reason == "message":
                unit.record(event, by=by)
        case _:
            take_message_fact(unit, event, by=by)
    return False


_TALK = frozenset(
    {
        e.RunSessionKnown, e.RunAsked, e.RunAskWithdrawn, e.InquiryDelivered, e.RunPaused, e.RunContinued,
        e.MessageDelivered, e.MessageStarted, e.MessageCompleted, e.MessageUndelivered,
    }
)  # fmt: skip


def _catch_up(unit: Unit, present: RunState, event: e.RunFact, *, by: str) -> None:
    """A worker that was cut off may report `started` before its `starting` was taken."""
    if isinstance(event, e.RunStarted) and present is RunState.LEASED:
        unit.record(e.RunStarting(task_id=event.task_id, run_id=event.run_id), by=by)


def _held_by(
    unit: Unit, worker: WorkerId, reports: Sequence[RunReport]
) -> dict[str, tuple[int | None, int, bytes]]:
    """Of each run that the worker holds: its fence, its offset, its decoder's state."""
    run_ids = list({report.run_id for report in reports})
    rows = unit.connection.execute(_POSITIONS, {"b_ids": run_ids}).all()
    return {
        run_id: (fence, offset or 0, decoder or b"")
        for run_id, fence, state, holder, offset, decoder in rows
        if holder == worker and state in _HELD
    }
