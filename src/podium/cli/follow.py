"""Following one task on a terminal: its transcript as it comes, until it has ended."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from typing import Any

import click
import msgspec

from podium.cli.effects import hint_of, show_effect
from podium.cli.errors import NEEDS_YOU, OK, RUN_FAILED
from podium.cli.inbox import give_answer
from podium.cli.live import Live
from podium.cli.output import clean, one_line, plain, status
from podium.cli.transcript import Transcript
from podium.client.api import Client
from podium.kernel.errors import Conflict, Unavailable
from podium.kernel.inquiry import Decision, Inquiry
from podium.kernel.nouns import Task
from podium.kernel.states import TASK_TERMINAL, InquiryState
from podium.kernel.status import NEEDS_YOU as NEEDS_YOU_WORD

TITLE = 100
_ENDS = frozenset({"task.done", "task.failed", "task.cancelled"})
_SAID = frozenset({"run.said", "run.thought"})
OnAsk = Callable[[str], None]


def print_transcript(
    client: Client,
    task_id: str,
    *,
    follow: bool,
    as_json: bool,
    run_id: str | None = None,
    full: bool = False,
    on_ask: OnAsk | None = None,
) -> None:
    """What happened so far; with `follow`, until the task has ended, on a terminal with text as it is said.
    `on_ask` gets the id of every inquiry, once it has been printed."""
    transcript = Transcript(full=full)
    live = Live() if follow and not as_json and sys.stdout.isatty() else None
    try:
        for envelope in _events(client, task_id, follow=follow, run_id=run_id, live=live):
            if as_json:
                click.echo(_line(envelope))
                continue
            _print(transcript.block(envelope), envelope["event"], live, on_ask)
    finally:
        if live is not None:
            live.erase()


def _print(block: str | None, event: dict[str, Any], live: Live | None, on_ask: OnAsk | None) -> None:
    if live is not None:
        if event["type"] in _SAID:
            live.forget(event["run_id"])
        live.erase()
    if block:
        click.echo(block)
    if on_ask is not None and event["type"] == "inquiry.opened":
        on_ask(event["inquiry"]["id"])
    if live is not None:
        live.draw()


def _events(
    client: Client, task_id: str, *, follow: bool, run_id: str | None, live: Live | None
) -> Iterator[dict[str, Any]]:
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
    hear = live.hear if live is not None else None
    for seen in client.events(cursor, follow=True, task=task_id, run=run_id, on_partial=hear):
        if seen.event["seq"] <= last:
            continue
        last = seen.event["seq"]
        yield seen.event
        if seen.event["event"]["type"] in _ENDS:
            return


def asker(client: Client, *, here: bool) -> OnAsk:
    """Tells how to answer an inquiry that is still open; `here`: asks for it on the spot, on a terminal."""

    def on_ask(inquiry_id: str) -> None:
        inquiry = client.inquiry(inquiry_id)
        if inquiry.state.word is not InquiryState.OPEN:
            return
        if not (here and sys.stdin.isatty() and sys.stdout.isatty()):
            click.echo(hint_of(inquiry.id))
            return
        _show_effect_and_ask(client, inquiry)

    return on_ask


def _show_effect_and_ask(client: Client, inquiry: Inquiry) -> None:
    show_effect(inquiry)
    answer = click.prompt(
        "Allow it? [y]es, [n]o, [l]ater", type=click.Choice(("y", "n", "l")), default="l", show_choices=False
    )
    if answer == "l":
        click.echo(hint_of(inquiry.id))
        return
    try:
        give_answer(client, inquiry.id, Decision.ALLOW if answer == "y" else Decision.DENY)
    except Conflict as error:
        click.echo(clean(error.message), err=True)  # somebody was quicker; the transcript goes on with that


def exit_code(task: Task) -> int:
    """Of everything that waits for a task."""
    if task.state.word not in TASK_TERMINAL:
        return NEEDS_YOU if task.status.word == NEEDS_YOU_WORD else OK
    return OK if task.state.word == "done" else RUN_FAILED


def print_structured(client: Client, task: Task) -> None:
    """The answer in the shape that the task asked for, when it has one."""
    if task.output_schema is None or task.run_id is None:
        return
    outcome = client.run(task.run_id).outcome
    if outcome is not None and outcome.structured is not None:
        shaped = msgspec.json.format(msgspec.json.encode(outcome.structured), indent=2)
        click.echo(clean(shaped.decode()))


def next_step(task: Task) -> str:
    """Of a person, for a task that waits for one."""
    return f"podium send {task.id} TEXT" if task.status.reason == "message" else "podium inbox"


def epilogue(task: Task) -> None:
    """The result and what to do next."""
    click.echo(
        f"\n{one_line(task.title, TITLE)}: {status(task.status.word)}  {click.style(task.id, dim=True)}"
    )
    steps = [next_step(task)] if task.status.word == NEEDS_YOU_WORD else []
    steps += [f"podium diff {task.id}", f"podium apply {task.id}"] if task.change_id else []
    if task.state.word == "failed":
        steps += [f"podium diagnose {task.id}", f"podium tasks retry {task.id}"]
    for step in steps:
        click.echo(click.style("  " + step, dim=True))


def _line(envelope: dict[str, Any]) -> str:
    import json

    return json.dumps(plain(envelope), ensure_ascii=False, separators=(",", ":"))
