"""What a narrow token sees, as a condition of every query: other rows are as if they were not there."""

from __future__ import annotations

from typing import Any

from sqlalchemy import Connection, Table, exists, false, or_, select
from sqlalchemy.sql import ColumnElement

from podium.kernel.access import Scope
from podium.kernel.errors import NotFound
from podium.store import schema

_EVERYBODYS = frozenset({schema.agents, schema.workers})
"""Nouns that belong to no project: whoever may read at all reads them."""


def within(table: Table, scope: Scope) -> ColumnElement[bool]:
    """The rows of `table` inside `scope`."""
    if table in _EVERYBODYS:
        return select(1).exists()
    if table is schema.projects:
        return table.c.id.in_(scope.projects)
    if table is schema.tasks:
        return _task_within(table, scope)
    if "task_id" not in table.c:
        return false()
    tasks = schema.tasks.alias()
    return exists(select(tasks.c.id).where(tasks.c.id == table.c.task_id, _task_within(tasks, scope)))


def require(
    connection: Connection, table: Table, noun_id: str, scope: Scope | None, *, hint: str = ""
) -> None:
    """Raises NotFound for what lies outside, in the words for what does not exist."""
    if scope is None:
        return
    column = next(iter(table.primary_key.columns))
    if connection.execute(select(column).where(column == noun_id, within(table, scope))).first() is None:
        what = table.name.removesuffix("s")
        what = {"inquirie": "inquiry"}.get(what, what)
        raise NotFound(
            f"there is no {what} {noun_id[:80]}", hint=hint or f"list them with: podium {table.name} list"
        )


def _task_within(tasks: Any, scope: Scope) -> ColumnElement[bool]:
    mine: list[ColumnElement[bool]] = [tasks.c.project_id.in_(scope.projects)]
    if scope.task_id is not None:
        mine.append(tasks.c.id == scope.task_id)
    return or_(*mine)
