"""From what a person types to an id: a whole task, run or change id, or its end as lists print it."""

from __future__ import annotations

from podium.client.api import Client
from podium.kernel.errors import Conflict, NotFound
from podium.kernel.ids import kind_of
from podium.kernel.nouns import Run
from podium.kernel.states import RUN_TERMINAL, InquiryState

LOOK_BACK = 500
MIN_LENGTH = 4


def task_of(client: Client, typed: str) -> str:
    """The task that is meant. Raises NotFound, or Conflict when several fit."""
    kind = kind_of(typed)
    if kind == "task":
        return typed
    if kind == "run":
        return client.run(typed).task_id
    if kind == "change":
        return client.change(typed).task_id
    _long_enough(typed)
    found = {str(task.id) for task in client.tasks(limit=LOOK_BACK).items if task.id.endswith(typed)}
    if not found:
        found = {str(run.task_id) for run in client.runs(limit=LOOK_BACK).items if run.id.endswith(typed)}
    if not found:
        found = {str(c.task_id) for c in client.changes(limit=LOOK_BACK).items if c.id.endswith(typed)}
    return _only(found, typed, "task", "tasks")


def run_of(client: Client, typed: str) -> Run:
    """The run that is meant: by its own id, else the newest of the task that is meant."""
    if kind_of(typed) == "run":
        return client.run(typed)
    if kind_of(typed) is None and len(typed) >= MIN_LENGTH:
        found = {run.id for run in client.runs(limit=LOOK_BACK).items if run.id.endswith(typed)}
        if len(found) == 1:
            return client.run(found.pop())
    task = client.task(task_of(client, typed))
    if task.run_id is None:
        raise NotFound(f"{task.id} has no run yet")
    return client.run(task.run_id)


def change_of(client: Client, typed: str) -> str | None:
    """The change that is meant, None when its task has none (yet)."""
    if kind_of(typed) == "change":
        return typed
    if kind_of(typed) is None and len(typed) >= MIN_LENGTH:
        found = {change.id for change in client.changes(limit=LOOK_BACK).items if change.id.endswith(typed)}
        if len(found) == 1:
            return str(found.pop())
    return client.task(task_of(client, typed)).change_id


def inquiry_of(client: Client, typed: str) -> str:
    """The inquiry that is meant: among the open ones first. Only by its own id: what a task asks may have
    changed since somebody looked. Raises NotFound, Conflict."""
    if kind_of(typed) == "inquiry":
        return typed
    _long_enough(typed)
    for state in (InquiryState.OPEN, None):
        items = client.inquiries(limit=LOOK_BACK, state=state and str(state)).items
        found = {str(inquiry.id) for inquiry in items if inquiry.id.endswith(typed)}
        if found:
            return _only(found, typed, "inquiry", "inquiries")
    raise NotFound(f"there is no inquiry {typed!r}", hint="podium inbox --all shows what there is")


def session_of(client: Client, typed: str) -> str:
    """The session that is meant, by its own id or by that of a task, run or change in it."""
    if kind_of(typed) == "session":
        return typed
    if kind_of(typed) is None and len(typed) >= MIN_LENGTH:
        found = {str(s.id) for s in client.sessions(limit=LOOK_BACK).items if s.id.endswith(typed)}
        if found:
            return _only(found, typed, "session", "sessions")
    run = run_of(client, typed)
    if run.session_id is None:
        raise NotFound(f"{run.task_id} has no conversation to go on with", hint="see: podium sessions list")
    return run.session_id


def is_over(run: Run) -> bool:
    return run.state.word in RUN_TERMINAL


def _long_enough(typed: str) -> None:
    if len(typed) < MIN_LENGTH:
        raise NotFound(f"{typed!r} is too short for an id", hint="podium ps prints the ends of ids")


def _only(found: set[str], typed: str, what: str, several: str) -> str:
    if not found:
        raise NotFound(
            f"there is no {what} {typed!r}", hint="podium ps and podium tasks list show what there is"
        )
    if len(found) > 1:
        raise Conflict(
            f"{typed!r} fits {len(found)} {several}",
            hint="type more of the id: " + ", ".join(sorted(found)[:3]),
        )
    return found.pop()
