"""Commands about this machine's files: apply, doctor."""

from __future__ import annotations

from pathlib import Path

import click
import msgspec

from podium.client.api import connect
from podium.kernel.config import shown
from podium.kernel.errors import NotFound
from podium.kernel.ids import kind_of
from podium.local.checkouts import apply, state_of
from podium.local.config import home_path, load_settings
from podium.local.doctor import examine

_MARKS = {
    True: click.style("ok  ", fg="green"),
    False: click.style("bad ", fg="red"),
    None: click.style("note", fg="yellow"),
}


def register(group: click.Group) -> None:
    group.add_command(apply_command)
    group.add_command(doctor)


@click.command("apply")
@click.argument("reference", metavar="ID")
@click.option("--repo", type=click.Path(exists=True, file_okay=False, path_type=Path), help="Default: here.")
@click.option("--branch", metavar="NAME", help="Make this branch of it instead, and touch no file.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def apply_command(reference: str, repo: Path | None, branch: str | None, as_json: bool) -> None:
    """Take a task's change into your checkout. Refused while that has uncommitted changes."""
    client = connect()
    change_id = _change_of(reference)
    change = client.change(change_id)
    checkout = state_of((repo or Path()).absolute()).top
    applied = apply(client, change, checkout, branch)
    if branch is None:
        client.note_applied(change.id, str(checkout))
    if as_json:
        click.echo(
            msgspec.json.encode({"change": change.id, "how": applied.how, "head": applied.head}).decode()
        )
        return
    told = {
        "already_there": "was there already",
        "fast_forward": "applied",
        "replayed": "applied on top of your newer commits",
        "merged": "merged",
        "branch": "made a branch",
    }
    click.echo(f"{change.title}: {told[applied.how]}. {applied.branch or 'HEAD'} is now {applied.head[:12]}.")


@click.command()
@click.option("--config", "config", is_flag=True, help="Every setting, its value and where it comes from.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def doctor(config: bool, as_json: bool) -> int:
    """Is everything here that Podium and its agents need?"""
    home = home_path()
    settings, origins = load_settings(home)
    if config:
        rows = [(name, shown(name, getattr(settings, name)), origins[name]) for name in origins]
        if as_json:
            click.echo(
                msgspec.json.encode(
                    {name: {"value": value, "origin": origin} for name, value, origin in rows}
                ).decode()
            )
            return 0
        at = next(place for place, (name, _, _) in enumerate(rows) if name == "harnesses")
        rows[at : at + 1] = [
            (f"harnesses.{name}", path, origins["harnesses"]) for name, path in settings.harnesses.items()
        ]
        width = max(len(name) for name, _, _ in rows)
        for name, value, origin in rows:
            click.echo(f"{name.ljust(width)}  {value!s:<16}  {click.style(origin, dim=True)}")
        return 0
    findings = list(examine(home, settings.database_url))
    if as_json:
        click.echo(msgspec.json.encode(findings).decode())
    else:
        for finding in findings:
            step = click.style(f"  → {finding.next_step}", dim=True) if finding.next_step else ""
            click.echo(f"{_MARKS[finding.ok]}  {finding.id:<12} {finding.found}{step}")
    return 1 if any(finding.ok is False for finding in findings) else 0


def _change_of(reference: str) -> str:
    client = connect()
    match kind_of(reference):
        case "change":
            return reference
        case "task":
            change_id = client.task(reference).change_id
        case "run":
            change_id = client.task(client.run(reference).task_id).change_id
        case _:
            found = [
                c.id for c in client.changes(limit=500).items if reference in {c.id[-6:], c.task_id[-6:]}
            ]
            change_id = found[0] if len(found) == 1 else None
    if change_id is None:
        raise NotFound(f"{reference} has no change to apply", hint="podium changes list shows what there is")
    return change_id
