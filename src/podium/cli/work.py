"""The verbs people type all day, but `run`: ps, logs, wait, cancel, diagnose, diff, status."""

from __future__ import annotations

import shlex
import time
from collections.abc import Sequence

import click

from podium.cli import follow as following
from podium.cli.errors import INTERRUPTED, NEEDS_YOU, TIMED_OUT
from podium.cli.output import (
    Painted,
    ago,
    facts,
    json_options,
    one_line,
    print_patch,
    short,
    shown,
    status,
    table,
)
from podium.cli.references import change_of, is_over, run_of, task_of
from podium.client.api import connect
from podium.client.pages import Follows
from podium.kernel.errors import Timeout
from podium.kernel.states import TASK_TERMINAL

WATCH_EVERY_S = 1.0
DAY_S = 86_400.0


@click.command()
@click.option("--all", "everything", is_flag=True, help="Ended tasks too.")
@click.option("--watch", is_flag=True, help="Show again as things change; Ctrl-C ends.")
@json_options
def ps(everything: bool, watch: bool, as_json: bool, field: str | None) -> int:
    """What is going on: open tasks and the latest ended ones, one line each."""
    client = connect()
    while True:
        page = client.tasks(limit=200 if everything else 50)
        if shown(page, as_json, field):
            return 0
        open_ones = [task for task in page.items if task.state.word not in TASK_TERMINAL]
        ended = [task for task in page.items if task.state.word in TASK_TERMINAL]
        if watch:
            click.clear()
        table(
            ("ID", "STATUS", "FOR", "AGENT", "TITLE"),
            [
                (short(task.id), status(task.status.word), ago(task.status.since), task.agent, task.title)
                for task in [*open_ones, *(ended if everything else ended[:10])]
            ],
        )
        if not watch:
            return 0
        time.sleep(WATCH_EVERY_S)


@click.command()
@click.argument("reference", metavar="ID")
@click.option("--follow", "-f", is_flag=True, help="Go on until the task has ended.")
@click.option("--full", is_flag=True, help="Unfold what tools were given and returned.")
@click.option("--json", "as_json", is_flag=True, help="One event per line.")
def logs(reference: str, follow: bool, full: bool, as_json: bool) -> int:
    """What an agent says and does. ID is a task, run or change."""
    client = connect()
    run_id = reference if reference.startswith("run_") else None
    task_id = task_of(client, reference)
    try:
        following.print_transcript(client, task_id, follow=follow, as_json=as_json, run_id=run_id, full=full)
    except KeyboardInterrupt:
        return INTERRUPTED
    return 0


@click.command()
@click.argument("references", metavar="ID...", nargs=-1, required=True)
@click.option("--timeout", "timeout_s", type=float, default=DAY_S, show_default=True, help="Seconds, in all.")
@json_options
def wait(references: Sequence[str], timeout_s: float, as_json: bool, field: str | None) -> int:
    """Wait until tasks have ended. Exit 0 done, 5 failed or cancelled, 4 needs you, 124 timeout."""
    client = connect()
    end, worst = time.monotonic() + timeout_s, 0
    for reference in references:
        try:
            task = client.wait(task_of(client, reference), timeout_s=max(0.0, end - time.monotonic()))
        except Timeout:
            click.echo(f"{reference}: not ended after {timeout_s:g} s", err=True)
            return TIMED_OUT
        if not shown(task, as_json, field):
            click.echo(f"{task.id}  {status(task.status.word)}  {one_line(task.title, 100)}")
            if following.exit_code(task) == NEEDS_YOU:
                click.echo(click.style(f"  {following.next_step(task)}", dim=True), err=True)
        worst = max(worst, following.exit_code(task))
    return worst


@click.command()
@click.argument("reference", metavar="ID")
@click.option("--reason", default="", help="Stored with the cancel.")
@json_options
def cancel(reference: str, reason: str, as_json: bool, field: str | None) -> int:
    """Stop a task. What its agent has done so far is kept."""
    client = connect()
    task = client.cancel_task(task_of(client, reference), reason)
    if not shown(task, as_json, field):
        word = "cancelled" if task.state.word in TASK_TERMINAL else "stopping"
        click.echo(f"{task.id}  {word}")
    return 0


@click.command()
@click.argument("reference", metavar="ID")
@json_options
def diagnose(reference: str, as_json: bool, field: str | None) -> int:
    """Why something looks stuck: state with evidence, process, likely issue, next step."""
    client = connect()
    found = client.diagnose(run_of(client, reference).id)
    if shown(found, as_json, field):
        return 0
    state, process, worker = found["state"], found.get("process") or {}, found["worker"]
    evidence = state["evidence"]
    facts(
        [
            ("task", found["task_id"]),
            ("run", f"{found['run_id']} (attempt {found['attempt']})"),
            ("status", status(found["status"]["word"])),
            ("state", f"{state['word']} {state['reason']}".strip()),
            ("evidence", f"event {evidence['seq']} by {evidence['source']} at {evidence['at']}"),
            (
                "queue",
                f"place {found['queue_position']} of {found['queued']}" if found["queue_position"] else "",
            ),
            (
                "worker",
                f"{worker['id']}, {'connected' if worker['connected'] else 'not connected'}"
                if worker["id"]
                else "",
            ),
            ("process", f"{process['word']}, pid {process['pid']}" if process.get("pid") else ""),
            ("command", shlex.join(process["argv"]) if process.get("argv") else ""),
            ("output", _age(found["last_output_age_s"])),
            ("exit code", found["exit_code"]),
            ("issue", Painted(click.style(found["issue"], bold=True))),
            ("", found["explanation"]),
            ("next", found["next_step"]),
        ]
    )
    return 0


@click.command()
@click.argument("reference", metavar="ID")
@click.option("--stat", is_flag=True, help="Only the files and how many lines.")
def diff(reference: str, stat: bool) -> int:
    """What a task has changed: its finished change, or what is in its workspace right now."""
    client = connect()
    change_id = change_of(client, reference)
    if change_id is not None:
        change = client.change(change_id)
        if stat:
            click.echo(
                f"{change.files} files, +{change.additions} -{change.deletions}, {change.commits} commits"
            )
            return 0
        found = client.change_diff(change_id)
    else:
        run = run_of(client, reference)
        if is_over(run):
            click.echo("No change: the task has ended and its agent changed nothing.", err=True)
            return 0
        found = client.run_diff(run.id)
        click.echo(click.style("live: the agent is still at work", dim=True), err=True)
    print_patch(found.patch.decode("utf-8", "replace"))
    if found.truncated:
        click.echo("(cut: the diff is larger than its limit)", err=True)
    return 0


@click.command("status")
@json_options
def show_status(as_json: bool, field: str | None) -> int:
    """Whether the server runs and what it does."""
    client = connect()
    found = client.status()
    if not shown(found, as_json, field):
        runs = ", ".join(f"{count} {word}" for word, count in sorted(found.runs.items())) or "none"
        follows = [] if found.follows is None else [("follows", _followed(found.follows))]
        facts(
            [
                ("server", f"{client.url}, version {found.version}"),
                *follows,
                ("workers", f"{found.workers_connected} connected, {found.capacity} slots"),
                ("open runs", runs),
            ]
        )
    return 0


def _followed(found: Follows) -> str:
    away = "does not answer: nothing can be changed, and running tasks are unknown, until it does"
    return f"the server at {found.main}, which {'answers' if found.answers else away}"


def _age(seconds: float | None) -> str:
    return "" if seconds is None else f"{seconds:.0f} s ago"
