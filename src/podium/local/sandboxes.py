"""Which sandbox Codex has for its commands, found where it looks itself: on PATH, then beside its program."""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Literal

from msgspec import Struct

RESOURCE = "codex-resources/bwrap"
TRY_TIMEOUT_S = 5
TRY = ("--unshare-user", "--unshare-pid", "--ro-bind", "/", "/", "--", "/bin/true")
"""What it always does, around a program that ends at once."""


class Sandbox(Struct, frozen=True, kw_only=True):
    """`refused`: why it cannot work on this machine, in its own words."""

    whose: Literal["system", "bundled", "macos", "none"]
    path: str = ""
    refused: str = ""


def sandbox_of(program: str, environ: Mapping[str, str]) -> Sandbox:
    """Of the Codex at `program`. On Linux the sandbox is tried for some milliseconds."""
    if sys.platform == "darwin":
        return Sandbox(whose="macos", path="/usr/bin/sandbox-exec")
    system = shutil.which("bwrap", path=environ.get("PATH", ""))
    if system is not None:
        return Sandbox(whose="system", path=system, refused=_refused(system))
    bundled = next((str(path) for path in _places(Path(program).resolve()) if path.is_file()), None)
    if bundled is not None:
        return Sandbox(whose="bundled", path=bundled, refused=_refused(bundled))
    return Sandbox(whose="none")


def _places(program: Path) -> Iterator[Path]:
    """Beside the program; npm's launcher is a script, the program then stands in a package of its own."""
    yield program.parent / RESOURCE
    yield program.parent.parent / RESOURCE
    package = program.parent.parent
    beside, below = package.parent.glob("codex-linux-*"), package.glob("node_modules/@openai/codex-linux-*")
    for around in (package, *beside, *below):
        yield from sorted(around.glob(f"vendor/*/{RESOURCE}"))


def _refused(bwrap: str) -> str:
    try:
        done = subprocess.run(
            [bwrap, *TRY], capture_output=True, timeout=TRY_TIMEOUT_S, stdin=subprocess.DEVNULL
        )
    except (OSError, subprocess.SubprocessError) as error:
        return str(error)
    said = done.stderr.decode(errors="replace").strip().splitlines()
    return "" if done.returncode == 0 else (said[0] if said else f"it ended with {done.returncode}")[:300]
