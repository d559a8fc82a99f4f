"""Every route answers as its own description says, whatever it is asked: row W7 of the threat list."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from podium.testing.fleet import Fleet

CASES = 25
"""For each route and kind of check; ten thousand cases in all are run by hand (docs/reference/faults.md)."""
NOT_ASKED = "stream|/wait|shutdown|rotate|revoke|logout"
"""They do not end, end the server, or void the token that asks."""
CONFIG = Path(__file__).parents[1] / "schemathesis.toml"


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Fleet]:
    """Without a worker: what is opened stays queued."""
    made = Fleet(tmp_path / "home", separate=True)
    made.names = ("server",)
    made.start_all()
    yield made
    made.stop()


@pytest.mark.timeout(900)
def test_every_route_keeps_to_its_description_under_fuzzing(server: Fleet, tmp_path: Path) -> None:
    document = tmp_path / "openapi.json"
    document.write_text(json.dumps(server.call("GET", "/openapi.json")))
    server.call("POST", "/projects", {"name": "shop"})
    server.call("POST", "/tasks", {"prompt": "x", "agent": "scripted", "project": "shop"})
    token = server.call("POST", "/tokens", {"name": "fuzz", "kind": "owner"})["secret"]
    words = [
        Path(sys.executable).parent / "schemathesis",
        f"--config-file={CONFIG}",
        "run",
        document,
        f"--url={server._url}",
        f"--header=Authorization: Bearer {token}",
        f"--max-examples={CASES}",
        f"--exclude-path-regex={NOT_ASKED}",
        "--continue-on-failure",
        "--no-color",
    ]
    done = subprocess.run(words, capture_output=True, text=True, cwd=tmp_path)
    assert done.returncode == 0, done.stdout[-20_000:] + done.stderr[-2_000:]
    assert server.call("GET", "/health") == {"status": "ok"}
