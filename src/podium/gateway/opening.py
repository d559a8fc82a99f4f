"""What a narrow token may open tasks on: projects that it sees, and nothing that leads around them."""

from __future__ import annotations

from podium.engine.commands import OpenTask, project_of
from podium.engine.talk import session_to_continue
from podium.kernel.access import Scope
from podium.kernel.errors import Forbidden, NotFound
from podium.store import schema
from podium.store.scope import require
from podium.store.unit import Unit


def check_opening(unit: Unit, ask: OpenTask, scope: Scope | None) -> None:
    """Raises Forbidden without a project, NotFound for a project, session or snapshot outside `scope`."""
    if scope is None:
        return
    if ask.session is not None:
        session, _, task = session_to_continue(unit, ask.session)
        require(unit.connection, schema.tasks, task.id, scope, hint="list them with: podium sessions list")
        require(unit.connection, schema.sessions, session.id, scope)
        return
    if ask.project is None:
        raise Forbidden("this token opens tasks of its projects only", hint="name one: project")
    if ask.repository is not None:
        raise Forbidden("this token takes the repository of the project", hint="leave `repository` out")
    check_project(unit, ask.project, scope)
    if ask.snapshot is not None:
        _check_free(unit, ask.snapshot, scope)


def check_project(unit: Unit, reference: str, scope: Scope | None) -> None:
    """By id or name. Raises NotFound, in the words for what does not exist."""
    if scope is not None and project_of(unit, reference).id not in scope.projects:
        raise NotFound(f"there is no project {reference!r}", hint="list them with: podium projects list")


def _check_free(unit: Unit, artifact_id: str, scope: Scope) -> None:
    """One that somebody has uploaded for no task yet is there for whoever knows the hash of its content."""
    table = schema.artifacts
    free = table.select().where(table.c.id == artifact_id, table.c.task_id.is_(None))
    if unit.connection.execute(free).first() is None:
        require(unit.connection, table, artifact_id, scope)
