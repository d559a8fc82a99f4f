"""The agents' programs on this machine: found, which version, logged in, when one last succeeded.

Only looks: no program is asked for its login, no credential is read. What stands where a program keeps its
login is a hint; whether it is still valid only a run can tell, so the last success is shown beside it.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path

from msgspec import Struct

VERSION_TIMEOUT_S = 20


class Program(Struct, frozen=True, kw_only=True):
    """One agent program as its user would start it."""

    name: str
    harness: str
    install: str
    keys: tuple[str, ...]
    """Variables that log it in."""
    config_dir: str
    """The variable that moves its directory."""
    folder: str
    """That directory below HOME, otherwise."""
    login_file: str
    log_in: str


PROGRAMS = (
    Program(
        name="claude",
        harness="claude_code",
        install="npm install -g @anthropic-ai/claude-code",
        keys=("ANTHROPIC_API_KEY", "ANTHROPIC_AUTH_TOKEN", "CLAUDE_CODE_OAUTH_TOKEN"),
        config_dir="CLAUDE_CONFIG_DIR",
        folder=".claude",
        login_file=".credentials.json",
        log_in="claude, then /login",
    ),
    Program(
        name="codex",
        harness="codex",
        install="npm install -g @openai/codex",
        keys=("CODEX_API_KEY", "OPENAI_API_KEY"),
        config_dir="CODEX_HOME",
        folder=".codex",
        login_file="auth.json",
        log_in="codex login",
    ),
)


class State(Struct, frozen=True, kw_only=True):
    """`path` None: not installed. `login`: where a login was seen; empty: nowhere that we know of."""

    program: Program
    path: str | None
    version: str = ""
    login: str = ""
    last_success: datetime | None = None


def look(home: Path, environ: Mapping[str, str]) -> Iterator[State]:
    """`home` is PODIUM_HOME, where the workers of this machine note successes."""
    for program in PROGRAMS:
        path = shutil.which(program.name, path=environ.get("PATH"))
        yield State(
            program=program,
            path=path,
            version=_version(path) if path else "",
            login=_login(program, environ),
            last_success=_last_success(home, program.harness),
        )


def _version(path: str) -> str:
    try:
        done = subprocess.run(
            [path, "--version"],
            capture_output=True,
            text=True,
            timeout=VERSION_TIMEOUT_S,
            stdin=subprocess.DEVNULL,
        )
    except (OSError, subprocess.SubprocessError):
        return "does not answer"
    words = [word for word in done.stdout.split() if word[:1].isdigit()]
    return words[0] if words else "unknown version"


def _login(program: Program, environ: Mapping[str, str]) -> str:
    for key in program.keys:
        if environ.get(key):
            return key
    given = environ.get(program.config_dir)
    folder = Path(given) if given else Path(environ.get("HOME", "/nonexistent")) / program.folder
    path = folder / program.login_file
    return str(path) if path.exists() else ""


def _last_success(home: Path, harness: str) -> datetime | None:
    times = []
    for folder in (home / "worker" / "successes", *home.glob("workers/*/successes")):
        try:
            times.append(os.stat(folder / harness).st_mtime)
        except OSError:
            continue
    return datetime.fromtimestamp(max(times), UTC) if times else None
