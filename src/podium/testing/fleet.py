"""Podium as real processes on a home of its own, to be used, killed and started again from outside."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import httpx

from podium.client.home import Target
from podium.client.tls import trust
from podium.testing.databases import chosen

WAIT_S = 60.0
LOOK_EVERY_S = 0.02
PODIUM = (sys.executable, "-P", "-m", "podium.app")


class Refused(Exception):
    """The server answered, and its answer is a client error."""


class Fleet:
    """`server` and `worker` by name; every process is started, watched and killed by pid.

    `separate`: the worker is a process of its own, over the Unix socket; otherwise part of the server.
    """

    def __init__(
        self, home: Path, *, separate: bool = True, capacity: int = 8, environ: dict[str, str] | None = None
    ) -> None:
        self.home = home
        self.names = ("server", "worker") if separate else ("server",)
        self._separate = separate
        home.mkdir(parents=True, exist_ok=True)
        self.environ = {
            "PATH": os.environ["PATH"],
            "HOME": str(home),
            "PODIUM_HOME": str(home),
            "PODIUM_CAPACITY": str(capacity),
            "PODIUM_PORT": "0",
            "NO_COLOR": "1",
            **({"PODIUM_DATABASE_URL": database} if (database := chosen.url(home)) else {}),
            **{name: value for name, value in os.environ.items() if name.startswith("PODIUM_TEST_")},
            **(environ or {}),
        }
        self._processes: dict[str, subprocess.Popen[bytes]] = {}
        self._http: httpx.Client | None = None
        self._url = ""

    # ---- processes -----------------------------------------------------------------------------------

    def start(self, name: str, fault: str | None = None) -> None:
        """`fault`: the point at which it shall kill itself."""
        words = ["worker"] if name == "worker" else ["up", *(["--no-worker"] if self._separate else [])]
        environ = {**self.environ, **({"PODIUM_FAULT": fault} if fault else {})}
        with (self.home / f"{name}.out").open("ab") as out:
            self._processes[name] = subprocess.Popen(
                [*PODIUM, *words],
                env=environ, stdin=subprocess.DEVNULL, stdout=out, stderr=out, start_new_session=True,
            )  # fmt: skip

    def start_all(self) -> None:
        """Start what is not up, and wait until the server answers."""
        for name in self.names:
            if not self.is_up(name):
                self.start(name)
        self.call("GET", "/health")

    def is_up(self, name: str) -> bool:
        process = self._processes.get(name)
        return process is not None and process.poll() is None

    def pid(self, name: str) -> int:
        return self._processes[name].pid

    def ended_by_kill(self, name: str) -> bool:
        """Whether it died of SIGKILL, as it should."""
        return self._processes[name].wait() == -signal.SIGKILL

    def kill(self, name: str) -> bool:
        process = self._processes.get(name)
        if process is None or process.poll() is not None:
            return False
        process.kill()
        process.wait()
        return True

    def kill_all(self) -> None:
        for name in self.names:
            self.kill(name)

    def terminate(self, name: str, timeout_s: float = 20.0) -> int:
        """SIGTERM; returns the exit code."""
        self._processes[name].terminate()
        return self._processes[name].wait(timeout_s)

    def stop(self) -> None:
        """End everything, agents too."""
        if self.is_up("server"):
            with contextlib.suppress(httpx.HTTPError, OSError, RuntimeError, ValueError, Refused):
                self.call("POST", "/shutdown", {"stop_agents": True}, tries=1)
        for name in self.names:
            if self.is_up(name):
                try:
                    self.terminate(name)
                except subprocess.TimeoutExpired:
                    self.kill(name)
        if self._http is not None:
            self._http.close()

    def holders(self) -> dict[str, int]:
        """run id → pid of its holder, as far as it says so."""
        found = {}
        for path in (self.home / "worker" / "runs").glob("*/process/holder"):
            try:
                found[path.parents[1].name] = int(path.read_text().split()[0])
            except (OSError, ValueError, IndexError):
                continue
        return found

    # ---- the command line ------------------------------------------------------------------------------

    def cli(
        self, *words: str, timeout_s: float = 60.0, cwd: Path | None = None
    ) -> subprocess.CompletedProcess[str]:
        """Run a command as a person would and wait for its end."""
        return subprocess.run(
            [*PODIUM, *words],
            env=self.environ, cwd=cwd or self.home, capture_output=True, text=True, timeout=timeout_s,
            stdin=subprocess.DEVNULL,
        )  # fmt: skip

    # ---- the API -------------------------------------------------------------------------------------

    def call(self, method: str, path: str, body: Any = None, *, key: str = "", tries: int = 0) -> Any:
        """The JSON answer; asked again while the server is away (with the same idempotency key).

        Raises Refused for a client error, RuntimeError after `tries` (0: after WAIT_S) without an answer.
        """
        end = time.monotonic() + WAIT_S
        while True:
            tries -= 1
            try:
                answer = self._request(method, path, body, key)
                if answer.status_code < 400:
                    return json.loads(answer.content) if answer.content else None
                if answer.status_code < 500:
                    raise Refused(f"{method} {path}: {answer.status_code} {answer.text[:300]}")
            except (httpx.TransportError, FileNotFoundError, json.JSONDecodeError):
                if tries == 0:
                    raise
            if tries == 0 or time.monotonic() > end:
                raise RuntimeError(f"{method} {path}: no answer")
            time.sleep(LOOK_EVERY_S)

    def wait_ended(self, task_id: str, timeout_s: float = 60.0) -> dict[str, Any]:
        """The task once it has ended. Raises TimeoutError."""
        end = time.monotonic() + timeout_s
        while time.monotonic() < end:
            task: dict[str, Any] = self.call("GET", f"/tasks/{task_id}")
            if task["state"]["word"] in {"done", "failed", "cancelled"}:
                return task
            time.sleep(LOOK_EVERY_S)
        raise TimeoutError(f"{task_id} is {task['state']} after {timeout_s:g} s")

    def events(self, **filters: str) -> list[dict[str, Any]]:
        """The whole log, as far as it fits the filters."""
        query = "".join(f"&{name}={value}" for name, value in filters.items())
        found: list[dict[str, Any]] = []
        cursor = ""
        while True:
            page = self.call("GET", f"/events?limit=500{query}{cursor}")
            found += page["events"]
            following = f"&after={page['cursor']}"
            if not page["events"] or following == cursor:
                return found
            cursor = following

    def _request(self, method: str, path: str, body: Any, key: str) -> httpx.Response:
        token = (self.home / "owner.token").read_text().strip()
        headers = {"Authorization": f"Bearer {token}"} | ({"Idempotency-Key": key} if key else {})
        http = self._to_server()
        return http.request(method, f"{self._url}/api/v1{path}", json=body, headers=headers)

    def _to_server(self) -> httpx.Client:
        """A client that trusts the server as it is now: a restart may have moved it."""
        server = json.loads((self.home / "server.json").read_text())
        if self._http is None or server["url"] != self._url:
            if self._http is not None:
                self._http.close()
            self._url = server["url"]
            target = Target(url=self._url, token="", certificate=server.get("certificate"))
            self._http = httpx.Client(timeout=10.0, trust_env=False, verify=trust(target))
        return self._http
