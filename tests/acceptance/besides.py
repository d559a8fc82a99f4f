"""Two homes on one PostgreSQL database: a server with its worker, and a gateway that follows it."""

from __future__ import annotations

import json
import shutil
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx

from podium.testing.fleet import Fleet
from tests.acceptance.conftest import eventually

API = "/api/v1"


class Pair:
    """`main` and `side`, both with the owner's token of the main home."""

    def __init__(self, root: Path, url: str) -> None:
        self.url = url
        self.socket = root / "main" / "bus.sock"

        self.main = Fleet(root / "main", separate=False, environ={"PODIUM_DATABASE_URL": url})
        environ = {"PODIUM_DATABASE_URL": url, "PODIUM_BESIDE": str(self.socket)}
        self.side = Fleet(root / "side", separate=False, environ=environ)

    def start(self) -> None:
        self.main.start_all()
        shutil.copy(self.main.home / "owner.token", self.side.home / "owner.token")
        self.side.start_all()
        eventually(self.answers)

    def answers(self) -> bool:
        """Whether the gateway has the main server."""
        status: dict[str, Any] = self.side.call("GET", "/status")
        return bool(status["follows"]["answers"])

    def stop(self) -> None:
        if self.side.is_up("server"):
            self.side.terminate("server")
        self.main.stop()
        self.side.stop()


def address(fleet: Fleet) -> str:
    return str(json.loads((fleet.home / "server.json").read_text())["url"])


def secret(fleet: Fleet) -> str:
    return (fleet.home / "owner.token").read_text().strip()


def http(fleet: Fleet, token: str | None = None, **headers: str) -> httpx.Client:
    """Speaks to the gateway of that home; without redirects, proxies, retries."""
    given = {"authorization": f"Bearer {token or secret(fleet)}", **headers}
    return httpx.Client(base_url=address(fleet) + API, headers=given, timeout=30, trust_env=False)


def error_of(answer: httpx.Response) -> tuple[int, str]:
    return answer.status_code, str(answer.json()["error"]["code"])


class Listener(threading.Thread):
    """Follows the log by server-sent events; comes back with the last id it has seen, as a browser does."""

    def __init__(self, fleet: Fleet, after: str) -> None:
        super().__init__(daemon=True)
        self._fleet = fleet
        self._last = after
        self._over = threading.Event()
        self.seen: list[int] = []
        self.connections = 0

    def run(self) -> None:
        while not self._over.is_set():
            try:
                self._listen()
            except (httpx.HTTPError, OSError, ValueError):
                self._over.wait(0.05)

    def _listen(self) -> None:
        with (
            http(self._fleet) as client,
            client.stream("GET", "/events/stream", headers={"last-event-id": self._last}) as answer,
        ):
            self.connections += answer.status_code == 200
            for line in answer.iter_lines():
                name, _, value = line.partition(": ")
                if name == "data":
                    self.seen.append(json.loads(value)["seq"])
                elif name == "id":
                    self._last = value
                if self._over.is_set():
                    return

    def stop(self) -> None:
        self._over.set()
        self.join(30)


@contextmanager
def listening(fleet: Fleet, after: str) -> Iterator[Listener]:
    made = Listener(fleet, after)
    made.start()
    try:
        yield made
    finally:
        made.stop()
