"""How each noun that moves stands in its table: the row beside its JSON, and what guards an update."""

from __future__ import annotations

from typing import Any

import msgspec
from sqlalchemy import Executable, Table, bindparam, insert, select, update

from podium.kernel.inquiry import Grant, Inquiry
from podium.kernel.nouns import Change, Run, Task
from podium.kernel.session import Message, Session
from podium.kernel.states import RUN_TERMINAL
from podium.store import schema

Moving = Task | Run | Change | Session | Message | Inquiry | Grant
encode = msgspec.json.Encoder().encode

TABLES: dict[type[Moving], Table] = {
    Task: schema.tasks,
    Run: schema.runs,
    Change: schema.changes,
    Session: schema.sessions,
    Message: schema.messages,
    Inquiry: schema.inquiries,
    Grant: schema.grants,
}
_GUARDS: dict[Table, tuple[str, ...]] = {
    schema.tasks: ("state",),
    schema.runs: ("state", "fence"),
    schema.changes: ("state",),
    schema.sessions: (),
    schema.messages: ("state",),
    schema.inquiries: ("state",),
    schema.grants: ("used",),
}
"""Columns that must still hold what was read: compare-and-set."""

# Built once: an expression made anew for every row costs more than the statement itself (measured: half of
# a command's time), although its compiled form is cached.
INSERTS: dict[Table, Executable] = {table: insert(table) for table in schema.metadata.sorted_tables}
DOCS: dict[Table, Executable] = {
    table: select(table.c.doc).where(table.c.id == bindparam("b_id")) for table in _GUARDS
}
UPDATES: dict[Table, Executable] = {
    table: update(table).where(
        table.c.id == bindparam("b_id"), *(table.c[name] == bindparam(f"b_{name}") for name in names)
    )
    for table, names in _GUARDS.items()
}


def guard_of(noun: Moving) -> dict[str, Any]:
    """The parameters of an update's guard, from the noun as it was read."""
    table, values = row_of(noun)
    return {"b_id": noun.id} | {f"b_{name}": values[name] for name in _GUARDS[table]}


def row_of(noun: Moving) -> tuple[Table, dict[str, Any]]:
    """Its table and columns, without the id."""
    table = TABLES[type(noun)]
    match noun:
        case Task():
            columns: dict[str, Any] = {
                "project_id": noun.project_id,
                "state": str(noun.state.word),
                "status": noun.status.word,
            }
        case Run():
            columns = {
                "task_id": noun.task_id,
                "project_id": noun.project_id,
                "worker_id": noun.worker_id,
                "state": str(noun.state.word),
                "fence": noun.fence,
                "priority": noun.priority,
                "open": int(noun.state.word not in RUN_TERMINAL),
            }
        case Session():
            columns = {
                "task_id": noun.task_id,
                "worker_id": noun.worker_id,
                "conversation_id": noun.conversation_id,
            }
        case Inquiry():
            columns = {
                "task_id": noun.task_id,
                "run_id": noun.run_id,
                "state": str(noun.state.word),
                "digest": noun.effect.digest,
                "reply_token": noun.reply_token,
                "expires_at": schema.timestamp(noun.expires_at),
                "undelivered": int(noun.answer is not None and noun.delivered_at is None),
            }
        case Grant():
            columns = {"task_id": noun.task_id, "digest": noun.digest, "used": int(noun.used_by is not None)}
        case Change() | Message():
            columns = {"task_id": noun.task_id, "run_id": noun.run_id, "state": str(noun.state.word)}
    return table, columns | {"doc": encode(noun)}
