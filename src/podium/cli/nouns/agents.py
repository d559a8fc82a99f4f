"""`podium agents`: list, show, add, remove."""

from __future__ import annotations

import json
import shlex
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
                ("login", agent.login),
                (
                    "MCP servers",
                    ", ".join(f"{s.name}: {s.url or shlex.join(s.argv)}" for s in agent.mcp_servers),
                ),
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
    type=click.Choice(("edit", "ask", "full")),
    default="edit",
    show_default=True,
    help="What it may do without asking: change files and run checks, only look, or everything.",
)
@click.option(
    "--login",
    default="user",
    show_default=True,
    help="user (of its program), isolated (one of Podium's own), or key:NAME.",
)
@click.option("--mcp", multiple=True, help="NAME=URL or NAME=COMMAND of an MCP server; repeatable.")
@click.option(
    "--mcp-secret", multiple=True, help="SERVER/HEADER=key:NAME, or SERVER/VARIABLE=key:NAME; repeatable."
)
@click.argument("argv", nargs=-1)
@json_options
def add_agent(name: str, argv: Sequence[str], as_json: bool, field: str | None, **given: Any) -> None:
    """Define an agent, or define it anew. For the command harness, ARGV follows after `--`."""
    options = dict(_pair(text) for text in given.pop("options"))
    if argv:
        options["argv"] = json.dumps(list(argv))
    servers = _servers(given.pop("mcp"), given.pop("mcp_secret"))
    given = {**given, "env": list(given["env"]), "mcp_servers": servers}
    agent = connect().define_agent(name, options=options, **given)
    if not shown(agent, as_json, field):
        click.echo(agent.name)


@agents.command("remove")
@click.argument("name")
def remove_agent(name: str) -> None:
    """Forget an agent; runs that are queued keep its configuration."""
    connect().remove_agent(name)


def _options(options: dict[str, str]) -> str:
    return "  ".join(f"{key}={value}" for key, value in options.items())


def _servers(given: Sequence[str], secrets: Sequence[str]) -> list[dict[str, Any]]:
    """MCP servers from `NAME=URL`, `NAME=COMMAND` and the secrets that they are given."""
    servers: dict[str, dict[str, Any]] = {}
    for text in given:
        name, _, place = text.partition("=")
        if not name or not place.strip() or name in servers:
            raise InvalidRequest(
                f"{text!r} is no MCP server", hint="write NAME=URL or NAME=COMMAND, each once"
            )
        is_url = place.startswith(("http://", "https://"))
        where = {"url": place} if is_url else {"argv": shlex.split(place)}
        servers[name] = {"name": name, "secrets": {}, **where}
    for text in secrets:
        target, _, reference = text.partition("=")
        name, _, field = target.partition("/")
        if name not in servers or not field:
            # Not repeated: somebody may have typed the secret itself.
            raise InvalidRequest(
                f"--mcp-secret {target!r} names no server of --mcp", hint="write SERVER/HEADER=key:NAME"
            )
        servers[name]["secrets"][field] = reference
    return list(servers.values())


def _pair(text: str) -> tuple[str, str]:
    key, equals, value = text.partition("=")
    if not equals:
        raise InvalidRequest(f"{text!r} is no option", hint="write KEY=VALUE")
    return key, value
