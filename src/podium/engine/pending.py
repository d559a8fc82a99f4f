"""What runs have not got yet: messages and answers. The rows are the truth; telling the worker is a hint."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection

import msgspec
from sqlalchemy import Connection, bindparam, select

from podium.bus.messages import Pending, ReplyToRun, SaidToRun
from podium.kernel.ids import RunId
from podium.kernel.inquiry import Inquiry
from podium.kernel.session import Message
from podium.kernel.states import MessageState
from podium.store import schema

_messages, _inquiries = schema.messages, schema.inquiries
_SAID = (
    select(_messages.c.doc)
    .where(
        _messages.c.state == str(MessageState.QUEUED),
        _messages.c.run_id.in_(bindparam("b_runs", expanding=True)),
    )
    .order_by(_messages.c.id)
)
_REPLIES = (
    select(_inquiries.c.doc)
    .where(_inquiries.c.undelivered == 1)
    .where(_inquiries.c.run_id.in_(bindparam("b_runs", expanding=True)))
    .order_by(_inquiries.c.id)
)


def pending_of(connection: Connection, run_ids: Collection[str]) -> dict[RunId, Pending]:
    """For each of the runs that something waits for."""
    if not run_ids:
        return {}
    said: dict[RunId, list[SaidToRun]] = defaultdict(list)
    replies: dict[RunId, list[ReplyToRun]] = defaultdict(list)
    given = {"b_runs": list(run_ids)}
    for (doc,) in connection.execute(_SAID, given):
        message = msgspec.json.decode(doc, type=Message)
        said[message.run_id].append(SaidToRun(message_id=message.id, text=message.text, mode=message.mode))
    for (doc,) in connection.execute(_REPLIES, given):
        inquiry = msgspec.json.decode(doc, type=Inquiry)
        if inquiry.answer is not None:
            replies[inquiry.run_id].append(
                ReplyToRun(
                    inquiry_id=inquiry.id,
                    reply_token=inquiry.reply_token,
                    decision=inquiry.answer.decision,
                    reason=inquiry.answer.reason,
                )
            )
    return {
        run_id: Pending(run_id=run_id, said=tuple(said[run_id]), replies=tuple(replies[run_id]))
        for run_id in {*said, *replies}
    }
