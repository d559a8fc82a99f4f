"""What a start loads: only what serving needs."""

from __future__ import annotations

import json
import os
import subprocess

from podium.testing.fleet import PODIUM

LATE = {"alembic", "mcp", "dbos", "psycopg", "pydantic", "rich", "httpx"}
"""Loaded when first used, never on the way to healthy."""
SERVE = """
import json, os, sys, anyio
from pathlib import Path
from podium.app.daemon import Daemon
from podium.app.home import Home
from podium.kernel.config import Settings

async def main():
    async with Daemon(Home(Path(os.environ["PODIUM_HOME"])), Settings(port=0)).serving():
        print(json.dumps(sorted({name.partition(".")[0] for name in sys.modules})))

anyio.run(main)
"""


def test_an_existing_home_is_healthy_without_what_is_only_needed_later(tmp_path):
    environ = {"PATH": os.environ["PATH"], "HOME": str(tmp_path), "PODIUM_HOME": str(tmp_path / "home")}
    loaded = set()
    for _ in range(2):  # the first start makes the database, which needs Alembic
        done = subprocess.run(
            [PODIUM[0], "-c", SERVE], env=environ, capture_output=True, text=True, timeout=60
        )
        assert done.returncode == 0, done.stderr
        loaded = set(json.loads(done.stdout.splitlines()[-1]))
    assert loaded & LATE == set()
