"""Following one task on a terminal: its transcript as it comes, until it has ended."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import click

from podium.cli.errors import NEEDS_YOU, OK, RUN_FAILED
from podium.cli.output import one_line, plain, status
from podium.cli.transcript import render
from podium.client.api import Client
from podium.kernel.errors import Unavailable
from podium.kernel.nouns import Task
from podium.kernel.states import TASK_TERMINAL
from podium.kernel.status import NEEDS_YOU as NEEDS_YOU_WORD

TITLE = 100
_ENDS = frozenset({"task.done", "task.failed", "task.cancelled"})


def print_transcript(
    client: Client, task_id: str, *, follow: bool, as_json: bool, run_id: str | None = None
) -> None:
    """What happened so far; with `follow`, until the task has ended."""
    for envelope in _events(client, task_id, follow=follow, run_id=run_id):
        if as_json:
            click.echo(_line(envelope))
            continue
        block = render(envelope)
        if block:
            click.echo(block)


def _events(client: Client, task_id: str, *, follow: bool, run_id: str | None) -> Iterator[dict[str, Any]]:
    cursor: str | None = None
    try:
        for seen in client.events(None, follow=False, task=task_id, run=run_id):
            cursor = seen.cursor or cursor
            yield seen.event
            if seen.event["event"]["type"] in _ENDS:
                return
    except Unavailable:
        if not follow or cursor is None:
            raise  # otherwise the server has gone meanwhile, and following waits until it is back
    if not follow or (cursor is None and client.task(task_id).state.word in TASK_TERMINAL):
        return
    cursor = cursor or client.event_page(task=task_id, limit=1).cursor
    last = 0
    for seen in client.events(cursor, follow=True, task=task_id, run=run_id):
        if seen.event["seq"] <= last:
            continue
        last = seen.event["seq"]
        yield seen.event
        if seen.event["event"]["type"] in _ENDS:
            return


def exit_code(task: Task) -> int:
    """Of everything that waits for a task."""
    if task.state.word not in TASK_TERMINAL:
        return NEEDS_YOU if task.status.word == NEEDS_YOU_WORD else OK
    return OK if task.state.word == "done" else RUN_FAILED


def epilogue(task: Task) -> None:
    """The result and what to do next."""
    click.echo(
        f"\n{one_line(task.title, TITLE)}: {status(task.status.word)}  {click.style(task.id, dim=True)}"
    )
    steps = [f"podium diff {task.id}", f"podium apply {task.id}"] if task.change_id else []
    if task.state.word == "failed":
        steps += [f"podium diagnose {task.id}", f"podium tasks retry {task.id}"]
    for step in steps:
        click.echo(click.style("  " + step, dim=True))


def _line(envelope: dict[str, Any]) -> str:
    import json

    return json.dumps(plain(envelope), ensure_ascii=False, separators=(",", ":"))
