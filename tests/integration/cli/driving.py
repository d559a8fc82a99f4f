"""The command line as processes of its own, told where a server under test is."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import anyio

from tests.integration.gateway.serving import Serving

ROOT = Path(__file__).resolve().parents[3]
PODIUM = (sys.executable, "-P", "-m", "podium.app")


def environ(rig: Serving) -> dict[str, str]:
    return {
        "PATH": os.environ["PATH"], "HOME": str(rig.home), "PODIUM_HOME": str(rig.home),
        "PODIUM_URL": rig.url, "PYTHONPATH": str(ROOT / "src"), "COLUMNS": "200",
    }  # fmt: skip


async def podium(rig: Serving, *words: str, cwd: Path | None = None, stdin: str = "") -> tuple[int, str, str]:
    """(exit code, stdout, stderr)."""
    with anyio.fail_after(60):
        done = await anyio.run_process(
            [*PODIUM, *words], input=stdin.encode(), env=environ(rig), cwd=cwd or rig.home, check=False
        )
    return done.returncode, done.stdout.decode(), done.stderr.decode()
