"""`podium sessions`: list, show."""

from __future__ import annotations

import click

from podium.cli.nouns.paging import after_option, limit_option
from podium.cli.output import ago, facts, json_options, short, shown, table
from podium.cli.references import session_of, task_of
from podium.client.api import connect


@click.group()
def sessions() -> None:
    """Conversations with agents that can be gone on with."""


@sessions.command("list")
@click.option("--task", help="Only those that this task began.")
@limit_option
@after_option
@json_options
def list_sessions(task: str | None, limit: int, after: str | None, as_json: bool, field: str | None) -> None:
    """Newest first."""
    client = connect()
    page = client.sessions(limit=limit, after=after, task=task_of(client, task) if task else None)
    if not shown(page, as_json, field):
        rows = [
            (
                short(session.id),
                ago(session.last_at),
                session.agent,
                session.harness,
                str(session.runs),
                short(session.task_id),
                short(session.parent),
            )
            for session in page.items
        ]
        table(("ID", "LAST", "AGENT", "HARNESS", "RUNS", "TASK", "FORK OF"), rows)


@sessions.command("show")
@click.argument("reference", metavar="ID")
@json_options
def show_session(reference: str, as_json: bool, field: str | None) -> None:
    """One session. ID is a session, or a task or run in it."""
    client = connect()
    session = client.session(session_of(client, reference))
    if shown(session, as_json, field):
        return
    facts(
        [
            ("session", session.id),
            ("begun by", session.task_id),
            ("agent", session.agent),
            ("harness", session.harness),
            ("its own id", session.conversation_id),
            ("worker", session.worker_id),
            ("runs", session.runs),
            ("latest run", session.run_id),
            ("fork of", session.parent),
            ("last used", f"{ago(session.last_at)} ago"),
            ("can fork at", ", ".join(point.at for point in session.fork_points)),
        ]
    )
    fork = " [--fork]" if session.fork_points else ""
    click.echo(click.style(f"\n  podium run --session {short(session.id)}{fork} TEXT", dim=True))
