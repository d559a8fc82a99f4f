"""A server and a separate worker as real processes on a home of their own, to be killed and started again."""

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

WAIT_S = 60.0


class Fleet:
    """`server` and `worker` by name; every process is started, watched and killed by pid."""

    def __init__(self, home: Path, *, capacity: int = 8, environ: dict[str, str] | None = None) -> None:
        self.home = home
        home.mkdir(parents=True, exist_ok=True)
        self._environ = {
            "PATH": os.environ["PATH"],
            "HOME": str(home),
            "PODIUM_HOME": str(home),
            "PODIUM_CAPACITY": str(capacity),
            "PODIUM_PORT": "0",
            **(environ or {}),
        }
        self._processes: dict[str, subprocess.Popen[bytes]] = {}
        self._http = httpx.Client(timeout=10.0, trust_env=False)

    # ---- processes -----------------------------------------------------------------------------------

    def start(self, name: str, fault: str | None = None) -> None:
        """`fault`: the point at which it shall kill itself."""
        words = ["up", "--no-worker"] if name == "server" else ["worker"]
        environ = {**self._environ, **({"PODIUM_FAULT": fault} if fault else {})}
        with (self.home / f"{name}.out").open("ab") as out:
            self._processes[name] = subprocess.Popen(
                [sys.executable, "-m", "podium.app", *words],
                env=environ, stdin=subprocess.DEVNULL, stdout=out, stderr=out, start_new_session=True,
            )  # fmt: skip

    def is_up(self, name: str) -> bool:
        process = self._processes.get(name)
        return process is not None and process.poll() is None

    def ended_by_kill(self, name: str) -> bool:
        """Whether it died of SIGKILL, as it should; anything else is an error of ours, shown."""
        code = self._processes[name].wait()
        return code == -signal.SIGKILL

    def kill(self, name: str) -> bool:
        process = self._processes.get(name)
        if process is None or process.poll() is not None:
            return False
        process.kill()
        process.wait()
        return True

    def stop(self) -> None:
        """End everything, agents too."""
        with contextlib.suppress(httpx.HTTPError, FileNotFoundError, RuntimeError):
            self.call("POST", "/shutdown", {"stop_agents": True}, tries=1)
        for name in ("server", "worker"):
            process = self._processes.get(name)
            if process is not None and process.poll() is None:
                process.terminate()
                try:
                    process.wait(20)
                except subprocess.TimeoutExpired:
                    process.kill()
                    process.wait()
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

    # ---- the API -------------------------------------------------------------------------------------

    def call(self, method: str, path: str, body: Any = None, *, key: str = "", tries: int = 0) -> Any:
        """The JSON answer; asked again while the server is away (with the same idempotency key)."""
        end = time.monotonic() + WAIT_S
        while True:
            tries -= 1
            try:
                answer = self._request(method, path, body, key)
                if answer.status_code < 500:
                    if answer.status_code >= 400:
                        raise RuntimeError(f"{method} {path}: {answer.status_code} {answer.text[:300]}")
                    return json.loads(answer.content) if answer.content else None
            except (httpx.TransportError, FileNotFoundError, json.JSONDecodeError):
                if tries == 0:
                    raise
            if tries == 0 or time.monotonic() > end:
                raise RuntimeError(f"{method} {path}: no answer")
            time.sleep(0.02)

    def _request(self, method: str, path: str, body: Any, key: str) -> httpx.Response:
        url = json.loads((self.home / "server.json").read_text())["url"]
        token = (self.home / "owner.token").read_text().strip()
        headers = {"Authorization": f"Bearer {token}"} | ({"Idempotency-Key": key} if key else {})
        return self._http.request(method, f"{url}/api/v1{path}", json=body, headers=headers)

    def wait_healthy(self) -> None:
        self.call("GET", "/health")
