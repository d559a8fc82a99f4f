"""`podium changes`: list, show."""

from __future__ import annotations

import click

from podium.cli.nouns.paging import after_option, limit_option
from podium.cli.output import facts, json_options, shown, table, verdicts
from podium.cli.references import change_of, task_of
from podium.client.api import connect
from podium.kernel.errors import NotFound


@click.group()
def changes() -> None:
    """What runs produced."""


@changes.command("list")
@click.option("--task", help="Only of this task.")
@limit_option
@after_option
@json_options
def list_changes(task: str | None, limit: int, after: str | None, as_json: bool, field: str | None) -> None:
    """Newest first."""
    client = connect()
    page = client.changes(limit=limit, after=after, task=task_of(client, task) if task else None)
    if not shown(page, as_json, field):
        rows = [
            (
                change.id,
                "applied" if change.applied_at else change.state.word,
                f"+{change.additions} -{change.deletions}",
                verdicts(change.checks),
                change.title,
            )
            for change in page.items
        ]
        table(("ID", "STATE", "LINES", "CHECKS", "TITLE"), rows)


@changes.command("show")
@click.argument("reference", metavar="ID")
@json_options
def show_change(reference: str, as_json: bool, field: str | None) -> None:
    """One change."""
    client = connect()
    change_id = change_of(client, reference)
    if change_id is None:
        raise NotFound(f"{reference} has no change (yet)")
    change = client.change(change_id)
    if not shown(change, as_json, field):
        facts(
            [
                ("change", change.id),
                ("title", change.title),
                ("state", "applied" if change.applied_at else change.state.word),
                ("branch", change.branch),
                ("base", change.base),
                ("tip", change.tip),
                (
                    "size",
                    f"{change.files} files, +{change.additions} -{change.deletions}",
                ),
                ("left over", "part of it was not committed by the agent" if change.leftover else ""),
                ("drift", ", ".join(change.drift)),
                ("checks", verdicts(change.checks)),
            ]
        )
