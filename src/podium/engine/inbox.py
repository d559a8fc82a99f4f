"""Inquiries: opened from what agents ask, answered by people, grants or time, settled when a run ends."""

from __future__ import annotations

from datetime import timedelta
from typing import Annotated

import msgspec
from msgspec import Meta, Struct
from sqlalchemy import select

from podium.kernel import events as e
from podium.kernel.errors import Conflict, NotFound
from podium.kernel.fold import Stamp, first_state
from podium.kernel.ids import GrantId, IdMaker, InquiryId, RunId, TaskId
from podium.kernel.inquiry import Answer, Decision, Grant, Inquiry
from podium.kernel.nouns import Permissions, Run, Task
from podium.kernel.risk import risk_of
from podium.kernel.states import RUN_HELD, TASK_TERMINAL, InquiryState, RunState
from podium.store import schema
from podium.store.unit import Unit

MAX_OPEN_ASKS = 200
"""Of one run at once; what it asks beyond that is denied."""
_inquiries = schema.inquiries
_TALKING = RUN_HELD - {RunState.FINISHING}
"""The agent's process may still take an answer."""


class AnswerInquiry(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Body of `POST /inquiries/{id}/answer`. The reason is given to the model as the person's words."""

    decision: Decision
    reason: Annotated[str, Meta(max_length=2_000)] = ""


def answer_inquiry(unit: Unit, inquiry_id: str, ask: AnswerInquiry, *, by: str, ids: IdMaker) -> Inquiry:
    """The first answer counts; the same one again is no error. Raises Conflict for another, or too late."""
    inquiry = unit.load(Inquiry, inquiry_id)
    if inquiry.state.word is not InquiryState.OPEN:
        if inquiry.answer is not None and inquiry.answer.decision is ask.decision:
            return inquiry
        raise Conflict(_already(inquiry), hint="nothing was changed; see: podium inbox --all")
    answer = Answer(decision=ask.decision, by=by, at=unit.now, reason=ask.reason)
    _settle(unit, inquiry, answer, by=by, ids=ids)
    unit.flush()
    return unit.load(Inquiry, inquiry_id)


def take_ask(unit: Unit, run: Run, asked: e.RunAsked, *, by: str, ids: IdMaker) -> bool:
    """Open an Inquiry for what an agent asks, once. True when it was answered at once, by a grant or because
    the agent may do everything: then its worker is to be told."""
    known = select(_inquiries.c.id).where(
        _inquiries.c.run_id == run.id, _inquiries.c.reply_token == asked.reply_token
    )
    unit.flush()
    if unit.connection.execute(known).first() is not None:
        return False
    task = unit.task(run.task_id)
    _withdraw_twins(unit, run, asked.effect.digest)
    inquiry = _inquiry(unit, task, run, asked, ids)
    crowded = len(_open_of_run(unit, run.id)) >= MAX_OPEN_ASKS
    unit.record(e.InquiryOpened(inquiry=inquiry), by=by)
    grant = _grant_for(unit, task.id, asked.effect.digest)
    if grant is not None:
        unit.record(e.GrantUsed(task_id=task.id, grant_id=grant.id, inquiry_id=inquiry.id), by="engine")
        _record_answer(unit, inquiry, Decision.ALLOW, "grant", f"approved before by {grant.by}")
    elif run.agent.permissions is Permissions.FULL:
        _record_answer(unit, inquiry, Decision.ALLOW, "policy", "this agent may do everything")
    elif crowded:
        _record_answer(unit, inquiry, Decision.DENY, "limit", f"more than {MAX_OPEN_ASKS} open questions")
    else:
        if run.state.word is RunState.RUNNING:
            paused = e.RunPaused(task_id=task.id, run_id=run.id, reason="permission")
            unit.record(paused, by="engine")
        return False
    return True


def withdraw_ask(unit: Unit, run: Run, reply_token: str, *, by: str) -> None:
    """The agent's program no longer waits for an answer."""
    for inquiry in _open_of_run(unit, run.id):
        if inquiry.reply_token == reply_token:
            _withdraw(unit, inquiry, "the agent no longer asks", by=by)
    _go_on(unit, run.id)


def take_delivered(unit: Unit, run: Run, event: e.InquiryDelivered, *, by: str) -> None:
    """The answer stands in the agent's input. Told twice, or about another run's inquiry, it says nothing."""
    try:
        inquiry = unit.load(Inquiry, event.inquiry_id)
    except NotFound:
        return
    if inquiry.run_id == run.id and inquiry.answer is not None and inquiry.delivered_at is None:
        unit.record(event, by=by)


def expire_inquiries(unit: Unit, ids: IdMaker) -> list[RunId]:
    """Deny what nobody answered in time; the runs to be told of it."""
    due = select(_inquiries.c.doc).where(
        _inquiries.c.state == str(InquiryState.OPEN), _inquiries.c.expires_at <= schema.timestamp(unit.now)
    )
    runs = []
    for (doc,) in unit.connection.execute(due).all():
        inquiry = unit.load(Inquiry, msgspec.json.decode(doc, type=Inquiry).id)
        answer = Answer(decision=Decision.DENY, by="expiry", at=unit.now, reason="nobody answered in time")
        _settle(unit, inquiry, answer, by="engine", ids=ids)
        runs.append(inquiry.run_id)
    return runs


def settle_inquiries(unit: Unit, run: Run, ids: IdMaker) -> None:
    """After the end of a run: what its task no longer needs is withdrawn; what was approved and never reached
    the agent becomes a grant for the next run."""
    task = unit.task(run.task_id)
    unit.flush()
    if task.state.word in TASK_TERMINAL:
        for inquiry in _open_of_task(unit, task.id):
            _withdraw(unit, inquiry, "its task has ended", by="engine")
        return
    rows = unit.connection.execute(
        select(_inquiries.c.id).where(_inquiries.c.run_id == run.id, _inquiries.c.undelivered == 1)
    ).all()
    for (inquiry_id,) in rows:
        inquiry = unit.load(Inquiry, inquiry_id)
        if inquiry.answer is not None and inquiry.answer.decision is Decision.ALLOW:
            _grant(unit, inquiry, inquiry.answer, ids)


def _settle(unit: Unit, inquiry: Inquiry, answer: Answer, *, by: str, ids: IdMaker) -> None:
    event = e.InquiryExpired if answer.by == "expiry" else e.InquiryAnswered
    about = {"task_id": inquiry.task_id, "run_id": inquiry.run_id, "inquiry_id": inquiry.id}
    unit.record(event(answer=answer, **about), by=by)  # type: ignore[arg-type]
    run = unit.run(inquiry.run_id)
    if run.state.word in _TALKING:
        unit.flush()
        _go_on(unit, run.id)
    elif answer.decision is Decision.ALLOW and unit.task(inquiry.task_id).state.word not in TASK_TERMINAL:
        _grant(unit, inquiry, answer, ids)


def _go_on(unit: Unit, run_id: RunId) -> None:
    """The run goes on once nothing of it waits for a person: at once, its process was kept."""
    run = unit.run(run_id)
    waiting = run.state.word is RunState.WAITING and run.state.reason == "permission"
    if waiting and not _open_of_run(unit, run_id):
        unit.record(e.RunContinued(task_id=run.task_id, run_id=run_id), by="engine")


def _grant(unit: Unit, inquiry: Inquiry, answer: Answer, ids: IdMaker) -> None:
    grant = Grant(
        id=GrantId(ids.new("grant")),
        task_id=inquiry.task_id,
        inquiry_id=inquiry.id,
        digest=inquiry.effect.digest,
        by=answer.by,
        created_at=unit.now,
    )
    unit.record(e.GrantCreated(task_id=inquiry.task_id, grant=grant), by="engine")


def _grant_for(unit: Unit, task_id: TaskId, digest: str) -> Grant | None:
    grants = schema.grants
    query = select(grants.c.id).where(
        grants.c.task_id == task_id, grants.c.digest == digest, grants.c.used == 0
    )
    row = unit.connection.execute(query.order_by(grants.c.id).limit(1)).first()
    return None if row is None else unit.load(Grant, row[0])


def _record_answer(unit: Unit, inquiry: Inquiry, decision: Decision, by: str, reason: str) -> None:
    answer = Answer(decision=decision, by=by, at=unit.now, reason=reason)
    event = e.InquiryAnswered(
        task_id=inquiry.task_id, run_id=inquiry.run_id, inquiry_id=inquiry.id, answer=answer
    )
    unit.record(event, by="engine")


def _withdraw(unit: Unit, inquiry: Inquiry, why: str, *, by: str) -> None:
    event = e.InquiryWithdrawn(task_id=inquiry.task_id, run_id=inquiry.run_id, inquiry_id=inquiry.id, why=why)
    unit.record(event, by=by)


def _withdraw_twins(unit: Unit, run: Run, digest: str) -> None:
    """The same question of an earlier run of this task: the resumed agent has asked it again."""
    for inquiry in _open_of_task(unit, run.task_id):
        if inquiry.run_id != run.id and inquiry.effect.digest == digest:
            _withdraw(unit, inquiry, "the agent asked again", by="engine")


def _open_of_run(unit: Unit, run_id: RunId) -> list[Inquiry]:
    return [inquiry for inquiry in _open_of_task(unit, unit.run(run_id).task_id) if inquiry.run_id == run_id]


def _open_of_task(unit: Unit, task_id: TaskId) -> list[Inquiry]:
    unit.flush()
    query = select(_inquiries.c.id).where(
        _inquiries.c.task_id == task_id, _inquiries.c.state == str(InquiryState.OPEN)
    )
    return [unit.load(Inquiry, row[0]) for row in unit.connection.execute(query.order_by(_inquiries.c.id))]


def _inquiry(unit: Unit, task: Task, run: Run, asked: e.RunAsked, ids: IdMaker) -> Inquiry:
    stamp = Stamp(seq=0, at=unit.now, by="engine")
    return Inquiry(
        id=InquiryId(ids.new("inquiry")),
        task_id=task.id,
        run_id=run.id,
        session_id=run.session_id,
        project_id=task.project_id,
        agent=run.agent.name,
        title=task.title,
        effect=asked.effect,
        why=asked.why,
        risk=risk_of(asked.effect, run.workspace),
        call_id=asked.call_id,
        reply_token=asked.reply_token,
        expires_at=unit.now + timedelta(seconds=run.agent.limits.ask_s),
        created_at=unit.now,
        state=first_state(InquiryState.OPEN, stamp),
    )


def _already(inquiry: Inquiry) -> str:
    if inquiry.answer is None:
        return f"{inquiry.id} was withdrawn: {inquiry.state.reason}"
    word = "allowed" if inquiry.answer.decision is Decision.ALLOW else "denied"
    return f"{inquiry.id} was already {word} by {inquiry.answer.by} at {inquiry.answer.at:%H:%M:%S}"
