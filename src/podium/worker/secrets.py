"""Keys that agents log in with, by name: from the worker's environment or a file only its user can read.

They travel by reference (`key:NAME`) through configuration, orders and events; here they become values, which
go into an agent's environment and nowhere else.
"""

from __future__ import annotations

import stat
from collections.abc import Mapping
from pathlib import Path

from podium.kernel.errors import AuthRequired
from podium.kernel.nouns import Agent

MAX_KEY_BYTES = 16 * 1024
PREFIX = "key:"


def login_secret(agent: Agent, environ: Mapping[str, str], keys: Path) -> str | None:
    """The key of `login: key:NAME`; None for the other logins. Raises AuthRequired, saying what to do."""
    return key_value(agent.login, environ, keys) if agent.login.startswith(PREFIX) else None


def server_secrets(agent: Agent, environ: Mapping[str, str], keys: Path) -> dict[str, dict[str, str]]:
    """MCP server → header or variable → value. Raises AuthRequired."""
    return {
        server.name: {where: key_value(key, environ, keys) for where, key in server.secrets.items()}
        for server in agent.mcp_servers
        if server.secrets
    }


def key_value(reference: str, environ: Mapping[str, str], keys: Path) -> str:
    """The value behind `key:NAME`. Raises AuthRequired when there is none, or others can read its file."""
    name = reference.removeprefix(PREFIX)
    if environ.get(name):
        return environ[name]
    path = keys / name
    try:
        found = path.lstat()
        if not stat.S_ISREG(found.st_mode) or found.st_mode & 0o077 or found.st_size > MAX_KEY_BYTES:
            raise AuthRequired(f"the file of the key {name} is open to others", hint=f"chmod 600 {path}")
        return path.read_text(encoding="utf-8").strip()
    except (FileNotFoundError, UnicodeDecodeError):
        raise AuthRequired(
            f"there is no key {name} on this machine",
            hint=f"put it into the environment of podium as {name}, or into {path} (chmod 600)",
        ) from None
