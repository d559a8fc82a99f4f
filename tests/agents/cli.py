"""The real agent CLIs, in exact versions, installed once into a cache directory."""

from __future__ import annotations

import fcntl
import os
import shutil
import subprocess
from pathlib import Path

CLAUDE = "@anthropic-ai/claude-code@2.1.329"
VERSION = "2.1.329"
MEND = f"npm could not install {CLAUDE}: check that node and npm work and that npm reaches its registry"
INSTALL_TIMEOUT_S = 600


class CannotInstall(Exception):
    """The message is the line that mends it."""


def cache() -> Path:
    given = os.environ.get("PODIUM_TEST_CACHE")
    return Path(given) if given else Path.home() / ".cache" / "podium-tests"


def claude() -> Path:
    """The program, installed when it is not there yet; several test processes may ask at once.
    Raises CannotInstall."""
    folder = cache() / f"claude-code-{VERSION}"
    program = folder / "node_modules" / ".bin" / "claude"
    cache().mkdir(parents=True, exist_ok=True)
    with (cache() / "claude-code.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if version_of(program) != VERSION:
            install(folder)
    if version_of(program) != VERSION:
        raise CannotInstall(f"{program} is not version {VERSION}: remove {folder} and run the lane again")
    return program


def install(folder: Path) -> None:
    """Into a directory beside, renamed when whole."""
    npm = shutil.which("npm")
    if npm is None:
        raise CannotInstall("npm is missing: install Node 20 or newer (node and npm on PATH)")
    fresh = folder.with_name(folder.name + ".new")
    for old in (fresh, folder):
        shutil.rmtree(old, ignore_errors=True)
    fresh.mkdir(parents=True)
    (fresh / "package.json").write_text('{"private": true}')
    words = [npm, "install", "--no-audit", "--no-fund", "--loglevel=error", CLAUDE]
    try:
        done = subprocess.run(words, cwd=fresh, capture_output=True, text=True, timeout=INSTALL_TIMEOUT_S)
    except subprocess.TimeoutExpired as error:
        raise CannotInstall(MEND) from error
    if done.returncode != 0:
        raise CannotInstall(f"{MEND}\n{done.stderr[-2000:]}")
    fresh.rename(folder)


def version_of(program: Path) -> str | None:
    """Its own word; None when it does not run."""
    try:
        said = subprocess.run([program, "--version"], capture_output=True, text=True, timeout=120, env={})
    except (OSError, subprocess.TimeoutExpired):
        return None
    return said.stdout.split(" ")[0].strip() or None
