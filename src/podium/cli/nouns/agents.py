"""`podium agents`: list, show, add, remove."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import click

from podium.cli.output import facts, json_options, shown, table
from podium.client.api import connect
from podium.kernel.errors import InvalidRequest


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
@click.option("--harness", required=True, help="claude_code, command, scripted, or one of [harnesses].")
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


def _options(options: dict[str, str]) -> str:
    return "  ".join(f"{key}={value}" for key, value in options.items())


def _pair(text: str) -> tuple[str, str]:
    key, equals, value = text.partition("=")
    if not equals:
        raise InvalidRequest(f"{text!r} is no option", hint="write KEY=VALUE")
    return key, value
