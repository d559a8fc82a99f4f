"""Make `.venv` match the locks, then become the command that was asked for.

The fast path (nothing changed) reads one stamp per lock and calls exec: no subprocess, no lock, silent.
Before a server it also looks at the sources of the page, see tools/ui.py.
A stamp is written only after its install ended well, so being killed at any moment means no more than
doing it again. Two starts at once: the second waits for the first.
"""

from __future__ import annotations

import hashlib
import importlib
import os
import sys
from pathlib import Path
from typing import NoReturn

ROOT = Path(__file__).resolve().parent.parent
DEV_COMMANDS = frozenset({"test", "check", "lock", "bench"})
"""Commands that need the second lock (pytest, ruff …)."""
OURS = frozenset({"test", "check", "lock", "bench", "ui"})
"""Commands of a clone, done by tools/; every other word belongs to the product."""
SERVING = frozenset({"up", "demo"})
"""Commands of the product that start a server: the page is built before them."""


class Failed(Exception):
    """Podium cannot be started; the message is one line that says what to do next."""


def base_python() -> str:
    """The interpreter behind a possible virtual environment of the caller's."""
    return getattr(sys, "_base_executable", None) or sys.executable


def digest(root: Path, lock: Path) -> str:
    """Changes whenever the environment made from `lock` would differ, or would lie elsewhere."""
    seen = hashlib.sha256(f"{root}\n{sys.version_info[:2]}\n".encode())
    for path in (Path(__file__), Path(__file__).with_name("install.py"), root / "pyproject.toml", lock):
        seen.update(path.read_bytes())
        seen.update(b"\0")
    return seen.hexdigest()


def stamp_of(root: Path, lock: Path) -> Path:
    return root / ".venv" / f"podium-{lock.stem}.stamp"


def is_current(root: Path, lock: Path) -> bool:
    """True when `.venv` was completely installed from exactly this lock, here, by this Python."""
    # Not executable: the base Python that .venv points to was removed.
    if not os.access(root / ".venv" / "bin" / "python", os.X_OK):
        return False
    try:
        return stamp_of(root, lock).read_text() == digest(root, lock)
    except FileNotFoundError:
        return False


def locks_for(root: Path, command: str) -> list[Path]:
    """The lock files that `command` needs, in order of installation."""
    names = ["runtime", "dev"] if command in DEV_COMMANDS else ["runtime"]
    return [root / "requirements" / f"{name}.txt" for name in names]


def become(root: Path, *arguments: str) -> NoReturn:
    """Replace this process by the environment's Python: signals, terminal, exit code are then its own."""
    python = str(root / ".venv" / "bin" / "python")
    # -P: the working directory is the user's, and a `click.py` lying in it is not ours to import.
    os.execv(python, [python, "-P", *arguments])


def hand_over(root: Path, arguments: list[str]) -> int:
    """Do a command of ours and return its exit code, or become the product."""
    command, *rest = arguments or [""]
    if command in OURS:
        tool = importlib.import_module(f"tools.{command}")
        return int(tool.main(rest, root))
    if command in SERVING and (root / "ui").is_dir():
        from tools import ui

        ui.before_serving(root)
    become(root, "-m", "podium.app", *arguments)


def main(arguments: list[str], root: Path = ROOT) -> int:
    """The exit code of a command of ours, 1 for whatever failed before it, 130 when interrupted."""
    try:
        needed = locks_for(root, arguments[0] if arguments else "")
        stale = [lock for lock in needed if not is_current(root, lock)]
        if stale:
            from tools import install

            install.bring_up_to_date(root, stale)
        return hand_over(root, arguments)
    except Failed as error:
        print(f"podium: {error}", file=sys.stderr)
    except OSError as error:
        print(f"podium: {error}; remove .venv and run this again", file=sys.stderr)
    except KeyboardInterrupt:
        return 130
    return 1
