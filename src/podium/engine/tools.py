"""The MCP servers that an agent is given: what is checked before they are stored."""

from __future__ import annotations

import re
from collections.abc import Sequence
from urllib.parse import urlsplit

from podium.kernel.errors import InvalidRequest
from podium.kernel.nouns import McpServer

MAX_SERVERS = 32
MAX_WORDS = 256
MAX_URL = 2_000
_KEY = re.compile(r"key:[A-Za-z_][A-Za-z0-9_]{0,99}")
_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,99}")
_HEADER = re.compile(r"[A-Za-z0-9-]{1,100}")


def check_servers(servers: Sequence[McpServer]) -> None:
    """Raises InvalidRequest: two of a name, none or both of url and argv, a secret that is no reference."""
    names = [server.name for server in servers]
    if len(names) > MAX_SERVERS:
        raise InvalidRequest(f"an agent takes at most {MAX_SERVERS} MCP servers")
    if len(set(names)) != len(names):
        raise InvalidRequest("two MCP servers have the same name", hint="give each a name of its own")
    for server in servers:
        _check_place(server)
        _check_secrets(server)


def _check_place(server: McpServer) -> None:
    if bool(server.url) == bool(server.argv):
        raise InvalidRequest(
            f"the MCP server {server.name!r} needs exactly one of url and argv",
            hint="a url for one that listens, argv for one that is started",
        )
    if server.argv:
        if len(server.argv) > MAX_WORDS or not server.argv[0] or any("\0" in word for word in server.argv):
            raise InvalidRequest(
                f"the MCP server {server.name!r} names no program that could be started",
                hint="give its words without NUL, the program first",
            )
        return
    if not _is_plain_url(server.url):
        raise InvalidRequest(
            f"the address of the MCP server {server.name!r} cannot be used",
            hint="http://… or https://…, its password not in it but among the secrets: "
            "{'Authorization': 'key:NAME'}",
        )


def _is_plain_url(url: str) -> bool:
    if len(url) > MAX_URL or any(char.isspace() or not char.isprintable() for char in url):
        return False
    try:
        parts = urlsplit(url)
        usable = parts.port is None or parts.port > 0
    except ValueError:
        return False
    return usable and parts.scheme in {"http", "https"} and bool(parts.hostname) and "@" not in parts.netloc


def _check_secrets(server: McpServer) -> None:
    shape = _HEADER if server.url else _VARIABLE
    for name, reference in server.secrets.items():
        if not shape.fullmatch(name):
            what = "an HTTP header" if server.url else "a variable"
            raise InvalidRequest(f"{name[:80]!r} is not the name of {what}")
        if not _KEY.fullmatch(reference):
            # The value is not repeated: it may be the secret itself, and errors are logged and shown.
            raise InvalidRequest(
                f"the secret {name!r} of the MCP server {server.name!r} is no reference",
                hint="write key:NAME; the value itself stays with the worker and is never stored here",
            )
