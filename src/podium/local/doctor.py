"""`podium doctor`: is everything here that Podium needs? Each finding has an id and a next step."""

from __future__ import annotations

import os
import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

from msgspec import Struct

from podium import process
from podium.client.api import Client
from podium.client.pages import Follows
from podium.kernel.database_url import shown_database_url
from podium.kernel.errors import PodiumError
from podium.local.programs import State, look
from podium.local.sandboxes import Sandbox, sandbox_of

MIN_GIT = (2, 36)
MIN_FREE_BYTES = 2 * 1024**3


class Finding(Struct, frozen=True, kw_only=True):
    """`ok`: True fine, False must be mended, None only worth knowing."""

    id: str
    ok: bool | None
    found: str
    next_step: str = ""


def examine(home: Path, database_url: str | None = None) -> Iterator[Finding]:
    """Every check, cheapest first. None of them changes anything."""
    yield Finding(id="python", ok=sys.version_info >= (3, 11), found=".".join(map(str, sys.version_info[:3])))
    yield Finding(id="sqlite", ok=sqlite3.sqlite_version_info >= (3, 35), found=sqlite3.sqlite_version)
    yield _database(database_url)
    yield _git()
    yield _home(home)
    yield _space(home)
    yield Finding(
        id="isolation",
        ok=None,
        found="bare: agents run with your rights",
        next_step="read SECURITY.md before you point them at something dear",
    )
    yield _tree_kill()
    for state in look(home, os.environ):
        yield _program(state)
        if state.program.harness == "codex" and state.path is not None:
            yield _sandbox(sandbox_of(state.path, os.environ))
    yield from _server(home)


def _program(state: State) -> Finding:
    program = state.program
    name = f"agent-{program.name}"
    if state.path is None:
        return Finding(id=name, ok=None, found="not installed", next_step=program.install)
    at = state.last_success
    success = f"last success {at:%Y-%m-%d %H:%M} UTC" if at else "not used yet"
    login = f"login: {state.login}" if state.login else "no login seen"
    return Finding(
        id=name,
        ok=True if state.login or state.last_success else None,
        found=f"{state.path}, {state.version}; {login}; {success}",
        next_step="" if state.login or state.last_success else f"log in: {program.log_in}",
    )


def _sandbox(sandbox: Sandbox) -> Finding:
    """Of Codex: what its permissions `edit` and `ask` stand on. It never falls back to none."""
    name, install = "codex-sandbox", "install bubblewrap with the package manager of this machine"
    if sandbox.whose == "none":
        without = "none: no bubblewrap on PATH and none beside the program; every command of it fails"
        return Finding(id=name, ok=False, found=without, next_step=install)
    words = {"system": "bubblewrap on PATH", "bundled": "its bundled bubblewrap", "macos": "that of macOS"}
    found = f"{words[sandbox.whose]}: {sandbox.path}"
    if sandbox.refused:
        step = "let this user make user namespaces, or give the agent permissions full"
        return Finding(id=name, ok=False, found=f"{found}, refused here: {sandbox.refused}", next_step=step)
    step = f"it warns of that at every start; {install}" if sandbox.whose == "bundled" else ""
    return Finding(id=name, ok=True, found=found, next_step=step)


def _database(url: str | None) -> Finding:
    if url is None:
        return Finding(id="database", ok=True, found="SQLite, a file in the home")
    here = find_spec("psycopg") is not None
    step = "" if here else "its driver is not installed: pip install 'podium[postgresql]'"
    return Finding(id="database", ok=here, found=shown_database_url(url), next_step=step)


def _git() -> Finding:
    try:
        said = subprocess.run(
            ["git", "--version"], capture_output=True, text=True, timeout=10, check=True
        ).stdout
        version = tuple(int(part) for part in said.split()[2].split(".")[:2])
    except (OSError, subprocess.SubprocessError, ValueError, IndexError):
        return Finding(id="git", ok=False, found="not found", next_step="install git")
    least = ".".join(map(str, MIN_GIT))
    return Finding(
        id="git",
        ok=version >= MIN_GIT,
        found=said.split()[2],
        next_step="" if version >= MIN_GIT else f"needs {least}",
    )


def _home(home: Path) -> Finding:
    if not home.exists():
        return Finding(id="home", ok=None, found=f"{home} does not exist yet", next_step="podium up makes it")
    if not os.access(home, os.R_OK | os.W_OK | os.X_OK):
        return Finding(
            id="home", ok=False, found=f"{home} is not yours to use", next_step="set PODIUM_HOME elsewhere"
        )
    return Finding(id="home", ok=True, found=str(home))


def _space(home: Path) -> Finding:
    place = home
    while not place.exists():
        place = place.parent
    free = shutil.disk_usage(place).free
    step = "" if free > MIN_FREE_BYTES else "free some space: agents' clones and output need it"
    return Finding(
        id="space", ok=free > MIN_FREE_BYTES, found=f"{free / 1024**3:.1f} GiB free", next_step=step
    )


def _tree_kill() -> Finding:
    if sys.platform != "linux":
        return Finding(
            id="tree-kill", ok=None, found="process groups only", next_step="escaped children may survive"
        )
    if _cgroup_leaf():
        return Finding(
            id="tree-kill", ok=True, found="process tree: holder sweep + cgroup v2 leaf + marker walk"
        )
    return Finding(
        id="tree-kill",
        ok=True,
        found="process tree: holder sweep + marker walk; no cgroup v2 leaf can be made here",
        next_step="only what clears its environment outlives a killed holder; a delegated cgroup closes that",
    )


def _cgroup_leaf() -> bool:
    """Asked of a process of its own, exactly as the worker's template asks: the answer takes a fork."""
    main = Path(process.__file__).with_name("__main__.py")
    command = [sys.executable, "-I", "-S", str(main), "cgroup"]
    try:
        return bool(subprocess.run(command, capture_output=True, timeout=10, check=True).stdout)
    except (OSError, subprocess.SubprocessError):
        return False


_STEPS = {True: "start one: podium worker", False: "start one on the home of the main server: podium worker"}


def _followed(found: Follows) -> Finding:
    away = "" if found.answers else ", which does not answer"
    step = "" if found.answers else "see to it on its home: podium status"
    return Finding(
        id="main-server", ok=found.answers, found=f"followed at {found.main}{away}", next_step=step
    )


def _server(home: Path) -> Iterator[Finding]:
    try:
        with Client.from_home(home) as client:
            status = client.status()
            yield Finding(id="server", ok=True, found=f"{client.url}, version {status.version}")
            if status.follows is not None:
                yield _followed(status.follows)
            yield Finding(
                id="workers",
                ok=status.workers_connected > 0,
                found=f"{status.workers_connected} connected, {status.capacity} slots",
                next_step="" if status.workers_connected else _STEPS[status.follows is None],
            )
    except PodiumError as error:
        yield Finding(id="server", ok=None, found=error.message, next_step=error.hint or "podium up")
