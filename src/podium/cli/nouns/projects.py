"""`podium projects`: list, show, add, remove."""

from __future__ import annotations

import shlex
from typing import Any

import click

from podium.cli.output import facts, json_options, shown, table
from podium.client.api import connect


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
