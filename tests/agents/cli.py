"""The real agent CLIs, in exact versions, installed once into a cache directory."""

from __future__ import annotations

import fcntl
import os
import re
import shutil
import subprocess
from pathlib import Path

from msgspec import Struct

INSTALL_TIMEOUT_S = 600


class CannotInstall(Exception):
    """The message is the line that mends it."""


class Cli(Struct, frozen=True, kw_only=True):
    """A program of an npm package, in one version."""

    package: str
    version: str
    name: str
    """Of its directory in the cache."""
    program: str

    @property
    def wanted(self) -> str:
        return f"{self.package}@{self.version}"

    @property
    def mend(self) -> str:
        return (
            f"npm could not install {self.wanted}: check that node and npm work and that npm reaches "
            "its registry"
        )


CLAUDE = Cli(package="@anthropic-ai/claude-code", version="2.1.329", name="claude-code", program="claude")
CODEX = Cli(package="@openai/codex", version="0.169.0", name="codex", program="codex")


def cache() -> Path:
    given = os.environ.get("PODIUM_TEST_CACHE")
    return Path(given) if given else Path.home() / ".cache" / "podium-tests"


def claude() -> Path:
    """Raises CannotInstall."""
    return installed(CLAUDE)


def codex() -> Path:
    """Raises CannotInstall."""
    return installed(CODEX)


def installed(wanted: Cli) -> Path:
    """The program, installed when it is not there yet; several test processes may ask at once.
    Raises CannotInstall."""
    folder = cache() / f"{wanted.name}-{wanted.version}"
    program = folder / "node_modules" / ".bin" / wanted.program
    cache().mkdir(parents=True, exist_ok=True)
    with (cache() / f"{wanted.name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if version_of(program) != wanted.version:
            install(wanted, folder)
    if version_of(program) != wanted.version:
        raise CannotInstall(
            f"{program} is not version {wanted.version}: remove {folder} and run the lane again"
        )
    return program


def install(wanted: Cli, folder: Path) -> None:
    """Into a directory beside, renamed when whole."""
    npm = shutil.which("npm")
    if npm is None:
        raise CannotInstall("npm is missing: install Node 20 or newer (node and npm on PATH)")
    fresh = folder.with_name(folder.name + ".new")
    for old in (fresh, folder):
        shutil.rmtree(old, ignore_errors=True)
    fresh.mkdir(parents=True)
    (fresh / "package.json").write_text('{"private": true}')
    words = [npm, "install", "--no-audit", "--no-fund", "--loglevel=error", wanted.wanted]
    try:
        done = subprocess.run(words, cwd=fresh, capture_output=True, text=True, timeout=INSTALL_TIMEOUT_S)
    except subprocess.TimeoutExpired as error:
        raise CannotInstall(wanted.mend) from error
    if done.returncode != 0:
        raise CannotInstall(f"{wanted.mend}\n{done.stderr[-2000:]}")
    fresh.rename(folder)


def version_of(program: Path) -> str | None:
    """Its own word; None when it does not run."""
    env = {"PATH": os.environ.get("PATH", "/usr/bin:/bin")}  # Codex's launcher is a script for node
    try:
        said = subprocess.run([program, "--version"], capture_output=True, text=True, timeout=120, env=env)
    except (OSError, subprocess.TimeoutExpired):
        return None
    found = re.search(r"\d+\.\d+\.\d+", said.stdout)
    return found[0] if found else None
