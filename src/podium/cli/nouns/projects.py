"""`podium projects`: list, show, add, trust, remove."""

from __future__ import annotations

import hashlib
import shlex
import sys
from pathlib import Path, PurePosixPath
from typing import Any

import click

from podium.cli.output import exact, facts, json_options, shown, table
from podium.client.api import connect
from podium.kernel.errors import InvalidRequest, NotFound

MAX_TRUSTED_BYTES = 256 * 1024


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
                ("trusts", ", ".join(f"{path} {sha[:12]}" for path, sha in project.trusted_files.items())),
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

    from podium.cli.run import checks_of

    repo = given["repo"]
    if repo is not None and os.path.isdir(repo):
        repo = os.path.abspath(repo)
    project = connect().add_project(
        name,
        repository=repo,
        target=given["target"],
        max_running=given["max_running"],
        checks=checks_of(given["checks"]),
    )
    if not shown(project, as_json, field):
        click.echo(project.id)


@projects.command("trust")
@click.argument("reference", metavar="PROJECT")
@click.argument("file", metavar="FILE")
@click.option("--repo", help="The checkout to read it from; default: the one you are in.")
@click.option("--remove", is_flag=True, help="Trust it no longer.")
@click.option("--yes", is_flag=True, help="Do not ask on a terminal.")
@json_options
def trust_file(
    reference: str, file: str, repo: str | None, remove: bool, yes: bool, as_json: bool, field: str | None
) -> None:
    """Honour one configuration file of the repository, with the content that it has now.

    FILE is .claude/settings.json, .claude/settings.local.json, .mcp.json or .codex/config.toml. Whatever
    hooks, settings and MCP servers it holds then count for agents of the project, until it changes.
    """
    client = connect()
    if remove:
        project = client.distrust_file(reference, file)
    else:
        content = _content(repo, file)
        if not as_json and field is None:
            click.echo(exact(content.decode("utf-8", "backslashreplace")).rstrip(), err=True)
        if not yes and sys.stdin.isatty():
            click.confirm(f"Agents of {reference} shall obey this?", abort=True, err=True)
        project = client.trust_file(reference, file, hashlib.sha256(content).hexdigest())
    if not shown(project, as_json, field):
        click.echo(f"{project.name} trusts {', '.join(project.trusted_files) or 'no file'}")


def _content(repo: str | None, file: str) -> bytes:
    """Of a file of a checkout. Raises InvalidRequest, NotFound."""
    parts = PurePosixPath(file)
    if parts.is_absolute() or ".." in parts.parts:
        raise InvalidRequest(f"{file!r} is no path within a repository", hint="for example .mcp.json")
    path = Path(repo or ".") / parts
    try:
        with path.open("rb") as opened:
            content = opened.read(MAX_TRUSTED_BYTES + 1)
    except OSError as error:
        raise NotFound(
            f"{path} cannot be read: {error.strerror}", hint="name the checkout: --repo"
        ) from error
    if len(content) > MAX_TRUSTED_BYTES:
        raise InvalidRequest(f"{path} is larger than {MAX_TRUSTED_BYTES // 1024} KiB")
    return content


@projects.command("remove")
@click.argument("reference", metavar="NAME")
def remove_project(reference: str) -> None:
    """Forget a project; its tasks stay."""
    connect().remove_project(reference)
