"""Starting a server in the background, and ending one: by its file in the home, never by name."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from podium.client.home import ServerFile, read_server_file
from podium.kernel.errors import Conflict, PodiumError, Timeout, Unavailable
from podium.process.base import ProcessIdentity
from podium.process.identity import is_alive, signal_process
from podium.process.procfs import boot_id

START_TIMEOUT_S = 30.0
LOOK_EVERY_S = 0.02


def running_server(home: Path) -> ServerFile | None:
    """The server of this home, if the process that wrote `server.json` still is that process."""
    try:
        server = read_server_file(home)
    except (FileNotFoundError, PodiumError):
        return None
    return server if is_alive(_identity(server)) else None


def start_detached(home: Path, words: Sequence[str] = ()) -> ServerFile:
    """Start `podium up` in a session of its own; returns when it is healthy.

    Raises Conflict when one runs already, Unavailable (with the end of its output) when it did not start.
    """
    found = running_server(home)
    if found is not None:
        raise Conflict(f"Podium runs already on {found.url} (pid {found.pid})", hint="podium status")
    home.mkdir(parents=True, exist_ok=True, mode=0o700)
    out = home / "up.out"
    with out.open("wb") as file:
        process = subprocess.Popen(
            [sys.executable, "-P", "-m", "podium.app", "up", *words],
            stdin=subprocess.DEVNULL,
            stdout=file,
            stderr=file,
            cwd="/",
            env={**os.environ, "PODIUM_HOME": str(home)},
            start_new_session=True,
        )
    end = time.monotonic() + START_TIMEOUT_S
    while time.monotonic() < end:
        server = running_server(home)
        if server is not None and server.pid == process.pid:
            return server
        if process.poll() is not None:
            said = out.read_text(errors="replace").strip().splitlines()
            raise Unavailable(
                "the server did not start: " + (said[-1] if said else f"exit code {process.returncode}")
            )
        time.sleep(LOOK_EVERY_S)
    raise Timeout(
        f"the server was not healthy within {START_TIMEOUT_S:g} s", hint=f"see {home / 'podium.log'}"
    )


def end_server(home: Path, *, stop_agents: bool, timeout_s: float) -> str:
    """Ask the server to stop and wait until it has. Returns what to tell. Raises Timeout."""
    server = running_server(home)
    if server is None:
        return "No server runs on this home."
    if stop_agents:
        from podium.client.api import Client

        with Client.from_home(home) as client:
            client.shutdown(stop_agents=True)
    else:
        signal_process(_identity(server), signal.SIGTERM)
    end = time.monotonic() + timeout_s
    while is_alive(_identity(server)):
        if time.monotonic() > end:
            raise Timeout(f"the server (pid {server.pid}) did not end within {timeout_s:g} s")
        time.sleep(LOOK_EVERY_S)
    return "Stopped, agents too." if stop_agents else "Stopped. Agents that were running go on."


def _identity(server: ServerFile) -> ProcessIdentity:
    return ProcessIdentity(pid=server.pid, started=server.started, boot_id=boot_id())
