"""`podium runs`: list, show, raw output."""

from __future__ import annotations

import sys

import click

from podium.cli.nouns.paging import after_option, limit_option
from podium.cli.output import ago, facts, json_options, short, shown, table, verdicts
from podium.cli.references import run_of, task_of
from podium.client.api import connect

PART_BYTES = 1024 * 1024
"""The most that one request answers."""


@click.group()
def runs() -> None:
    """Attempts at tasks."""


@runs.command("list")
@click.option("--task", help="Only of this task.")
@click.option("--open", "is_open", is_flag=True, help="Only those that have not ended.")
@limit_option
@after_option
@json_options
def list_runs(
    task: str | None, is_open: bool, limit: int, after: str | None, as_json: bool, field: str | None
) -> None:
    """Newest first."""
    client = connect()
    task_id = task_of(client, task) if task else None
    page = client.runs(limit=limit, after=after, task=task_id, only_open=is_open or None)
    if not shown(page, as_json, field):
        rows = [
            (
                run.id,
                run.state.word,
                str(run.attempt),
                ago(run.created_at),
                short(run.task_id),
                run.agent.name,
            )
            for run in page.items
        ]
        table(("ID", "STATE", "TRY", "AGE", "TASK", "AGENT"), rows)


@runs.command("show")
@click.argument("reference", metavar="ID")
@json_options
def show_run(reference: str, as_json: bool, field: str | None) -> None:
    """One run."""
    run = run_of(connect(), reference)
    if shown(run, as_json, field):
        return
    usage = run.usage
    cost = "unknown" if usage.cost_usd is None else f"{usage.cost_usd:.4f} USD"
    facts(
        [
            ("run", run.id),
            ("task", run.task_id),
            ("state", f"{run.state.word} {run.state.reason}".strip()),
            ("attempt", run.attempt),
            ("worker", run.worker_id),
            ("pid", run.pid),
            ("isolation", run.isolation),
            ("session", run.session_id),
            ("branch", run.branch),
            ("base", run.base_commit),
            ("usage", f"{usage.input_tokens} in, {usage.output_tokens} out, cost {cost}"),
            ("checks", verdicts(run.checks)),
        ]
    )


@runs.command("output")
@click.argument("reference", metavar="ID")
@click.option(
    "--stream", type=click.Choice(("out", "err")), default="out", show_default=True, help="Which of the two."
)
@click.option("--offset", default=0, show_default=True, type=click.IntRange(min=0), help="Byte to start at.")
@click.option("--limit", type=click.IntRange(min=1), help="At most so many bytes; default: all there is.")
def show_output(reference: str, stream: str, offset: int, limit: int | None) -> None:
    """The raw bytes an agent wrote, while it works and afterwards."""
    client = connect()
    run_id = run_of(client, reference).id
    end = None if limit is None else offset + limit
    while True:
        part = None if end is None else min(end - offset, PART_BYTES)
        found = client.output(run_id, stream=stream, offset=offset, limit=part)
        sys.stdout.buffer.write(found.data)
        offset = found.next
        if not found.data or offset >= found.size or (end is not None and offset >= end):
            return
