"""`./podium bench`: becomes `python -m bench` in the clone's environment."""

from __future__ import annotations

import os
from pathlib import Path


def main(arguments: list[str], root: Path) -> int:
    """Does not return: the campaign's signals, terminal and exit code are its own."""
    python = str(root / ".venv" / "bin" / "python")
    os.execve(python, [python, "-P", "-m", "bench", *arguments], {**os.environ, "PYTHONPATH": str(root)})
