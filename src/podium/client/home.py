"""Where the server of this machine is and who we are to it: read from `$PODIUM_HOME`."""

from __future__ import annotations

import os
import stat
from collections.abc import Mapping
from pathlib import Path

import msgspec
from msgspec import Struct

from podium.kernel.errors import Unauthorized, Unavailable

SERVER_FILE = "server.json"
START = "start one: podium up"
MAX_FILE_BYTES = 64 * 1024


class ServerFile(Struct, frozen=True, kw_only=True):
    """`$PODIUM_HOME/server.json`, written once the server answers, removed when it ends well."""

    url: str
    pid: int
    started: int = 0
    """When that process started, as the machine counts it: a pid alone may have become somebody else's."""
    version: str = ""
    certificate: str | None = None
    """File with the certificate that it shows, when it encrypts."""
    beside: str | None = None
    """It is a gateway that follows the server with this socket."""


class Target(Struct, frozen=True, kw_only=True):
    """A server and the token to speak to it with."""

    url: str
    token: str
    certificate: str | None = None
    """File: the server's own certificate, or the authority's; None: what this machine trusts."""


def podium_home(environ: Mapping[str, str] = os.environ) -> Path:
    """`$PODIUM_HOME`, else `~/.podium`. Not made here."""
    given = environ.get("PODIUM_HOME")
    return Path(given).expanduser().absolute() if given else Path("~/.podium").expanduser()


def write_server_file(home: Path, server: ServerFile) -> None:
    """By rename, so that a reader never sees half of it."""
    fresh = home / f".{SERVER_FILE}.new"
    fresh.write_bytes(msgspec.json.encode(server))
    fresh.chmod(0o600)
    os.replace(fresh, home / SERVER_FILE)


def remove_server_file(home: Path) -> None:
    (home / SERVER_FILE).unlink(missing_ok=True)


def read_server_file(home: Path) -> ServerFile:
    """Raises Unavailable when no server has left its address there, or the one that did has died."""
    path = home / SERVER_FILE
    try:
        found = msgspec.json.decode(path.read_bytes()[:MAX_FILE_BYTES], type=ServerFile)
    except FileNotFoundError as error:
        raise Unavailable(f"no Podium server runs on {home}", hint=START) from error
    except (OSError, msgspec.MsgspecError) as error:
        raise Unavailable(f"{path} cannot be read: {error}", hint=START) from error
    if not _is_alive(found.pid):
        raise Unavailable(f"the Podium server of {home} has ended", hint=START)
    return found


def read_token(home: Path, kind: str = "owner") -> str:
    """Raises Unauthorized when the file is missing, belongs to somebody else or can be read by others."""
    path = home / f"{kind}.token"
    try:
        handle = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
    except OSError as error:
        raise Unauthorized(f"{path} cannot be read: {error.strerror}", hint=START) from error
    with os.fdopen(handle, "rb") as file:
        found = os.fstat(file.fileno())
        if found.st_uid != os.geteuid():
            raise Unauthorized(f"{path} belongs to another user", hint="use a home of your own: PODIUM_HOME")
        if found.st_mode & (stat.S_IRWXG | stat.S_IRWXO):
            raise Unauthorized(
                f"{path} can be read by others", hint=f"remove {path}, then restart: podium up"
            )
        return file.read(MAX_FILE_BYTES).decode("ascii", "replace").strip()


def find_target(environ: Mapping[str, str] = os.environ) -> Target:
    """`PODIUM_URL`, `PODIUM_TOKEN` and `PODIUM_CERTIFICATE` where set (a server elsewhere), else what the
    home says."""
    url, token = environ.get("PODIUM_URL"), environ.get("PODIUM_TOKEN")
    home = podium_home(environ)
    if url:
        return Target(
            url=url.rstrip("/"),
            token=token or read_token(home),
            certificate=environ.get("PODIUM_CERTIFICATE") or None,
        )
    server = read_server_file(home)
    return Target(url=server.url, token=token or read_token(home), certificate=server.certificate)


def target_of(home: Path) -> Target:
    """The server that runs on `home`."""
    server = read_server_file(home)
    return Target(url=server.url, token=read_token(home), certificate=server.certificate)


def _is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
