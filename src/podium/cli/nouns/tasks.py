"""`podium tasks`: list, show, try again, cancel."""

from __future__ import annotations

import shlex

import click

from podium.cli.nouns.paging import after_option, limit_option
from podium.cli.output import ago, clean, facts, json_options, shown, status, table
from podium.cli.references import task_of
from podium.client.api import connect
from podium.kernel.status import STATUSES


@click.group()
def tasks() -> None:
    """What somebody wants done."""


@tasks.command("list")
@click.option("--status", "word", type=click.Choice(STATUSES), help="Only with this status.")
@click.option("--project", help="Only of this project, by name or id.")
@limit_option
@after_option
@json_options
def list_tasks(
    word: str | None, project: str | None, limit: int, after: str | None, as_json: bool, field: str | None
) -> None:
    """Newest first."""
    page = connect().tasks(limit=limit, after=after, status=word, project=project)
    if not shown(page, as_json, field):
        rows = [
            (task.id, status(task.status.word), ago(task.created_at), task.agent, task.title)
            for task in page.items
        ]
        table(("ID", "STATUS", "AGE", "AGENT", "TITLE"), rows)


@tasks.command("show")
@click.argument("reference", metavar="ID")
@json_options
def show_task(reference: str, as_json: bool, field: str | None) -> None:
    """One task with its prompt."""
    client = connect()
    task = client.task(task_of(client, reference))
    if shown(task, as_json, field):
        return
    evidence = task.status.evidence
    facts(
        [
            ("task", task.id),
            ("title", task.title),
            ("status", status(task.status.word)),
            ("reason", task.status.reason),
            ("evidence", f"event {evidence.seq} by {evidence.source}, {ago(evidence.at)} ago"),
            ("agent", task.agent),
            ("repository", task.repository),
            ("base", task.base),
            ("snapshot", task.snapshot and f"{task.snapshot} (uncommitted work on top of the base)"),
            ("checks", ", ".join(f"{check.name}: {shlex.join(check.argv)}" for check in task.checks)),
            ("attached", ", ".join(f"{one.name} ({one.size:,} bytes)" for one in task.attachments)),
            ("run", task.run_id),
            ("change", task.change_id),
            ("retry of", task.retry_of),
        ]
    )
    click.echo("\n" + clean(task.prompt).rstrip())


@tasks.command("retry")
@click.argument("reference", metavar="ID")
@json_options
def retry_task(reference: str, as_json: bool, field: str | None) -> None:
    """Open a new task that tries the same again."""
    client = connect()
    task = client.retry_task(task_of(client, reference))
    if not shown(task, as_json, field):
        click.echo(task.id)


@tasks.command("cancel")
@click.argument("reference", metavar="ID")
@click.option("--reason", default="", help="Stored with the cancel.")
@click.pass_context
def cancel_task(context: click.Context, reference: str, reason: str) -> int:
    """The same as `podium cancel`."""
    from podium.cli.work import cancel

    return int(context.invoke(cancel, reference=reference, reason=reason, as_json=False, field=None))
