"""`podium events`: pages of the log, and its tail."""

from __future__ import annotations

import json
from typing import Any

import click

from podium.cli.errors import INTERRUPTED
from podium.cli.nouns.paging import limit_option
from podium.cli.output import json_options, short, shown
from podium.cli.references import task_of
from podium.cli.transcript import render
from podium.client.api import connect


@click.group()
def events() -> None:
    """The log of everything that happened."""


@events.command("list")
@click.option("--task", help="Only of this task.")
@click.option("--type", "types", help="e.g. run.leased; several with commas.")
@click.option("--after", help="A cursor: only what came later.")
@limit_option
@json_options
def list_events(
    task: str | None, types: str | None, after: str | None, limit: int, as_json: bool, field: str | None
) -> None:
    """Oldest first, with the cursor to go on from."""
    client = connect()
    task_id = task_of(client, task) if task else None
    page = client.event_page(after=after, task=task_id, types=types, limit=limit)
    if not shown(page, as_json, field):
        for envelope in page.events:
            click.echo(_event_line(envelope))
        click.echo(click.style(f"cursor {page.cursor}", dim=True))


@events.command("tail")
@click.option("--follow", "-f", is_flag=True, help="Go on with what comes.")
@click.option("--task", help="Only of this task.")
@click.option("--type", "types", help="e.g. run.leased; several with commas.")
@click.option("--after", help="A cursor; without it --follow starts now.")
@click.option("--json", "as_json", is_flag=True, help="One event per line.")
def tail_events(follow: bool, task: str | None, types: str | None, after: str | None, as_json: bool) -> int:
    """The log as lines; with --follow, live."""
    client = connect()
    task_id = task_of(client, task) if task else None
    try:
        for seen in client.events(after, follow=follow, task=task_id, types=types):
            click.echo(json.dumps(seen.event, ensure_ascii=False) if as_json else _event_line(seen.event))
    except KeyboardInterrupt:
        return INTERRUPTED
    return 0


def _event_line(envelope: dict[str, Any]) -> str:
    event = envelope["event"]
    subject = short(
        event.get("task_id") or event.get("task", {}).get("id") or event.get("run", {}).get("task_id")
    )
    block = (render(envelope) or "").splitlines()
    head = f"{envelope['seq']:>6}  {envelope['at'][11:23]}  {event['type']:<22} {subject:<6}"
    return f"{click.style(head, dim=True)}  {block[0] if block else ''}".rstrip()
