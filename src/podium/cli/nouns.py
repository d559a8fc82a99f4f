"""The groups named after nouns: tasks, runs, changes, projects, agents, workers, events."""

from __future__ import annotations

import json
import shlex
import sys
from collections.abc import Sequence
from typing import Any

import click

from podium.cli.output import ago, clean, facts, json_options, short, shown, status, table, verdicts
from podium.cli.references import change_of, run_of, task_of
from podium.cli.transcript import render
from podium.client.api import connect
from podium.kernel.errors import InvalidRequest, NotFound
from podium.kernel.status import STATUSES

limit_option = click.option(
    "--limit", default=50, show_default=True, type=click.IntRange(1, 500), help="At most so many."
)
after_option = click.option("--after", help="Where the last page ended (its `next`).")


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
            ("checks", ", ".join(f"{check.name}: {shlex.join(check.argv)}" for check in task.checks)),
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
@click.option("--offset", default=0, show_default=True, help="Byte to start at.")
def show_output(reference: str, stream: str, offset: int) -> None:
    """The raw bytes an agent wrote, while its worker still has them."""
    client = connect()
    run_id = run_of(client, reference).id
    while True:
        found = client.output(run_id, stream=stream, offset=offset)
        sys.stdout.buffer.write(found.data)
        if not found.data or found.next >= found.size:
            return
        offset = found.next


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


@click.group()
def projects() -> None:
    """Repositories with their policies."""


@projects.command("list")
@json_options
def list_projects(as_json: bool, field: str | None) -> None:
    """All of them."""
    page = connect().projects(limit=500)
    if not shown(page, as_json, field):
        table(("NAME", "ID", "REPOSITORY"), [(p.name, p.id, p.repository or "") for p in page.items])


@projects.command("show")
@click.argument("reference", metavar="NAME")
@json_options
def show_project(reference: str, as_json: bool, field: str | None) -> None:
    """One project, by name or id."""
    project = connect().project(reference)
    if not shown(project, as_json, field):
        facts(
            [
                ("project", project.name),
                ("id", project.id),
                ("repository", project.repository),
                ("target", project.target),
                ("at most", f"{project.max_running} runs at once" if project.max_running else ""),
                ("checks", ", ".join(f"{check.name}: {shlex.join(check.argv)}" for check in project.checks)),
            ]
        )


@projects.command("add")
@click.argument("name")
@click.option("--repo", help="Path, URL or owner/name; asked whether it answers before anything is stored.")
@click.option("--target", help="Branch that changes are meant for.")
@click.option("--max-running", type=click.IntRange(min=1), help="Runs of this project at once.")
@click.option("--check", "checks", multiple=True, help="NAME=COMMAND that must exit 0; repeatable.")
@json_options
def add_project(name: str, as_json: bool, field: str | None, **given: Any) -> None:
    """Add a project."""
    import os

    from podium.cli.work import _checks

    repo = given["repo"]
    if repo is not None and os.path.isdir(repo):
        repo = os.path.abspath(repo)
    project = connect().add_project(
        name,
        repository=repo,
        target=given["target"],
        max_running=given["max_running"],
        checks=_checks(given["checks"]),
    )
    if not shown(project, as_json, field):
        click.echo(project.id)


@projects.command("remove")
@click.argument("reference", metavar="NAME")
def remove_project(reference: str) -> None:
    """Forget a project; its tasks stay."""
    connect().remove_project(reference)


@click.group()
def agents() -> None:
    """Named configurations that tasks are given to."""


@agents.command("list")
@json_options
def list_agents(as_json: bool, field: str | None) -> None:
    """All of them, by name."""
    page = connect().agents(limit=500)
    if not shown(page, as_json, field):
        rows = [
            (a.name, a.harness, a.model or "-", str(a.permissions), _options(a.options))
            for a in sorted(page.items, key=lambda agent: agent.name)
        ]
        table(("NAME", "HARNESS", "MODEL", "MAY", "OPTIONS"), rows)


@agents.command("show")
@click.argument("name")
@json_options
def show_agent(name: str, as_json: bool, field: str | None) -> None:
    """One agent."""
    agent = connect().agent(name)
    if not shown(agent, as_json, field):
        limits = agent.limits
        facts(
            [
                ("agent", agent.name),
                ("harness", agent.harness),
                ("model", agent.model),
                ("may", agent.permissions),
                ("options", _options(agent.options)),
                ("environment", ", ".join(agent.env)),
                (
                    "limits",
                    f"{limits.run_s:g} s, {limits.idle_s:g} s without output, {limits.output_bytes:,} bytes",
                ),
                ("instructions", agent.instructions),
            ]
        )


@agents.command("add", context_settings={"ignore_unknown_options": False})
@click.argument("name")
@click.option("--harness", required=True, help="claude_code, command or scripted.")
@click.option("--model", default="", help="Model to ask for; default: the program's own.")
@click.option("--instructions", default="", help="What every prompt begins with.")
@click.option(
    "--option", "options", multiple=True, help="KEY=VALUE, as the harness understands it; repeatable."
)
@click.option("--env", multiple=True, help="Name of a variable that the agent may see; repeatable.")
@click.option(
    "--permissions",
    type=click.Choice(("edit", "full")),
    default="edit",
    show_default=True,
    help="What the agent may do without asking.",
)
@click.argument("argv", nargs=-1)
@json_options
def add_agent(name: str, argv: Sequence[str], as_json: bool, field: str | None, **given: Any) -> None:
    """Define an agent, or define it anew. For the command harness, ARGV follows after `--`."""
    options = dict(_pair(text) for text in given.pop("options"))
    if argv:
        options["argv"] = json.dumps(list(argv))
    agent = connect().define_agent(name, options=options, **{**given, "env": list(given["env"])})
    if not shown(agent, as_json, field):
        click.echo(agent.name)


@agents.command("remove")
@click.argument("name")
def remove_agent(name: str) -> None:
    """Forget an agent; runs that are queued keep its configuration."""
    connect().remove_agent(name)


@click.group()
def workers() -> None:
    """The processes that execute runs."""


@workers.command("list")
@json_options
def list_workers(as_json: bool, field: str | None) -> None:
    """All that ever connected."""
    page = connect().workers(limit=500)
    if not shown(page, as_json, field):
        rows = [
            (w.id, "connected" if w.connected else "away", str(w.capacity), w.isolation, w.node)
            for w in page.items
        ]
        table(("ID", "IS", "SLOTS", "ISOLATION", "NODE"), rows)


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
def tail_events(follow: bool, task: str | None, types: str | None, after: str | None, as_json: bool) -> None:
    """The log as lines; with --follow, live."""
    client = connect()
    task_id = task_of(client, task) if task else None
    try:
        for seen in client.events(after, follow=follow, task=task_id, types=types):
            click.echo(json.dumps(seen.event, ensure_ascii=False) if as_json else _event_line(seen.event))
    except KeyboardInterrupt:
        return


def _event_line(envelope: dict[str, Any]) -> str:
    event = envelope["event"]
    subject = short(
        event.get("task_id") or event.get("task", {}).get("id") or event.get("run", {}).get("task_id")
    )
    block = (render(envelope) or "").splitlines()
    head = f"{envelope['seq']:>6}  {envelope['at'][11:23]}  {event['type']:<22} {subject:<6}"
    return f"{click.style(head, dim=True)}  {block[0] if block else ''}".rstrip()


def _options(options: dict[str, str]) -> str:
    return "  ".join(f"{key}={value}" for key, value in options.items())


def _pair(text: str) -> tuple[str, str]:
    key, equals, value = text.partition("=")
    if not equals:
        raise InvalidRequest(f"{text!r} is no option", hint="write KEY=VALUE")
    return key, value
