"""`podium tokens` and `podium login`: who may use this server, and with what."""

from __future__ import annotations

import re
import sys
from typing import Any

import click

from podium.cli.output import ago, exact, facts, json_options, shown, table
from podium.client.api import Client, connect
from podium.kernel.access import Kind, Token, Verb
from podium.kernel.errors import InvalidRequest, NotFound

_UNITS_S = {"s": 1, "m": 60, "h": 3_600, "d": 86_400}


@click.group()
def tokens() -> None:
    """Who may use this server: make, list, rotate, revoke tokens."""


@tokens.command("list")
@click.option("--all", "everything", is_flag=True, help="Those that are void too.")
@json_options
def list_tokens(everything: bool, as_json: bool, field: str | None) -> None:
    """Those in force, newest first."""
    page = connect().tokens(limit=500)
    if shown(page, as_json, field):
        return
    rows = [token for token in page.items if everything or token.revoked_at is None]
    table(
        ("NAME", "KIND", "MAY", "PROJECTS", "BY", "MADE", "ENDS", "ID"),
        [
            (
                f"{token.name} (browser)" if token.session else token.name,
                token.kind,
                ",".join(token.verbs) if len(token.verbs) < len(Verb) else "everything",
                _projects(token),
                token.by,
                ago(token.created_at),
                _end(token),
                token.id,
            )
            for token in rows
        ],
    )


@tokens.command("show")
@click.argument("reference", metavar="TOKEN")
@json_options
def show_token(reference: str, as_json: bool, field: str | None) -> None:
    """One token, by name or id. Its secret is shown only when it is made."""
    client = connect()
    token = client.token(_id_of(client, reference))
    if not shown(token, as_json, field):
        _facts(token)


@tokens.command("me")
@json_options
def show_me(as_json: bool, field: str | None) -> None:
    """Who you are to the server, and what you may."""
    me = connect().me()
    if not shown(me, as_json, field):
        facts(
            [
                ("you are", me.subject),
                ("may", ", ".join(me.verbs)),
                ("projects", "all" if me.projects is None else ", ".join(me.projects) or "none"),
                ("ends", exact(str(me.expires_at)) if me.expires_at else "never"),
                ("token", me.token_id),
            ]
        )


@tokens.command("add")
@click.argument("name")
@click.option(
    "--kind",
    type=click.Choice([str(kind) for kind in Kind]),
    default="viewer",
    show_default=True,
    help="What it can do at most.",
)
@click.option(
    "--may",
    "verbs",
    multiple=True,
    type=click.Choice([str(verb) for verb in Verb]),
    help="Only that; repeatable.",
)
@click.option("--project", "projects", multiple=True, help="Only what is of that project; repeatable.")
@click.option("--run", help="With --kind run: whose; the token ends with it.")
@click.option("--expires", metavar="TIME", help="30m, 12h, 7d …; without it never.")
@json_options
def add_token(name: str, expires: str | None, as_json: bool, field: str | None, **given: Any) -> None:
    """Make a token. It can never do more than your own; its secret is printed once."""
    given |= {key: list(given[key]) or None for key in ("verbs", "projects")}
    until = None if expires is None else _seconds(expires)
    made = connect().make_token(name, expires_in_s=until, **given)
    if not shown(made, as_json, field):
        _secret(made.token, made.secret)


@tokens.command("rotate")
@click.argument("reference", metavar="TOKEN")
@json_options
def rotate_token(reference: str, as_json: bool, field: str | None) -> None:
    """Give a token a new secret; the old one fails from the next request on."""
    client = connect()
    made = client.rotate_token(_id_of(client, reference))
    if not shown(made, as_json, field):
        _secret(made.token, made.secret)


@tokens.command("revoke")
@click.argument("reference", metavar="TOKEN")
@click.option("--why", default="", help="Kept with it.")
def revoke_token(reference: str, why: str) -> None:
    """End a token and all that were made with it; what they have open is closed."""
    client = connect()
    client.revoke_token(_id_of(client, reference), why)


@click.command()
@click.option("--open", "opens", is_flag=True, help="Open it in a browser of this machine.")
@json_options
def login(opens: bool, as_json: bool, field: str | None) -> None:
    """Print an address that signs a browser in, once, within ten minutes."""
    client = connect()
    code = client.login_code()
    address = (code.public_url or client.url) + code.path
    if not shown({"url": address, "expires_in_s": code.expires_in_s}, as_json, field):
        click.echo(address)
    if opens:
        import webbrowser

        webbrowser.open(address)


def _secret(token: Token, secret: str | None) -> None:
    """The secret alone on stdout, so that it can be piped; what it is for beside it."""
    click.echo(secret or "")
    told = f"{token.id}: {token.kind}, may {', '.join(token.verbs)}; shown only now"
    print(click.style(told, dim=True) if sys.stderr.isatty() else told, file=sys.stderr)


def _facts(token: Token) -> None:
    facts(
        [
            ("token", token.name),
            ("id", token.id),
            ("kind", token.kind),
            ("may", ", ".join(token.verbs)),
            ("projects", _projects(token)),
            ("run", token.run_id),
            ("made by", token.by),
            ("made", exact(str(token.created_at))),
            ("secret from", exact(str(token.rotated_at)) if token.rotated_at else ""),
            ("ends", _end(token)),
        ]
    )


def _projects(token: Token) -> str:
    if token.run_id is not None:
        return "its own task"
    return "all" if token.projects is None else ",".join(token.projects) or "none"


def _end(token: Token) -> str:
    if token.revoked_at is not None:
        return "revoked"
    return exact(str(token.expires_at)) if token.expires_at is not None else "never"


def _id_of(client: Client, reference: str) -> str:
    """By id, or by the name of one in force."""
    if reference.startswith("token_"):
        return reference
    for token in client.tokens(limit=500).items:
        if token.name == reference and token.revoked_at is None and not token.session:
            return token.id
    raise NotFound(f"there is no token {reference!r} in force", hint="list them with: podium tokens list")


def _seconds(text: str) -> float:
    found = re.fullmatch(r"(\d+(?:\.\d+)?)([smhd])", text.strip())
    if found is None:
        raise InvalidRequest(f"{text!r} is no time", hint="write 90s, 30m, 12h or 7d")
    return float(found.group(1)) * _UNITS_S[found.group(2)]
