"""`./podium check`: everything that is checked without running the product. Exit 1 when anything fails."""

from __future__ import annotations

import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from tools import house
from tools.bootstrap import Failed

CHECK_TIMEOUT_S = 600


@dataclass(frozen=True, kw_only=True)
class Check:
    """A program that exits 0 when all is well; `mend` is what to do when it does not."""

    name: str
    argv: tuple[str, ...]
    mend: str


CHECKS = (
    Check(
        name="lint", argv=("ruff", "check", "."), mend="ruff check --fix . mends what can be mended by itself"
    ),
    Check(name="format", argv=("ruff", "format", "--check", "."), mend="run: .venv/bin/ruff format ."),
    Check(name="types", argv=("mypy",), mend="give the named lines the types they lack"),
    Check(
        name="floors",
        argv=("lint-imports", "--no-cache"),
        mend="move the code to its floor, or ask for it by a Protocol (pyproject.toml lists the floors)",
    ),
)


def run(check: Check, root: Path) -> tuple[bool, str]:
    """Whether it passed, and what it printed."""
    program, *rest = check.argv
    try:
        done = subprocess.run(
            [str(root / ".venv" / "bin" / program), *rest],
            cwd=root,
            env={**os.environ, "PYTHONPATH": f"{root / 'src'}{os.pathsep}{root}"},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=CHECK_TIMEOUT_S,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        return False, str(error)
    return done.returncode == 0, done.stdout


def report(name: str, passed: bool, text: str, mend: str) -> bool:
    print(f"{'ok    ' if passed else 'FAILED'} {name}")
    if not passed:
        print(text.rstrip())
        print(f"       to mend: {mend}", flush=True)
    return passed


def main(arguments: list[str], root: Path) -> int:
    """Run all checks, print one line each and the output of those that failed. Raises Failed on usage."""
    if arguments:
        raise Failed(f"check takes no arguments, not {arguments[0]!r}; usage: ./podium check")
    with ThreadPoolExecutor(max_workers=2) as pool:
        outcomes = list(pool.map(lambda check: run(check, root), CHECKS))
    passed = [
        report(check.name, good, text, check.mend)
        for check, (good, text) in zip(CHECKS, outcomes, strict=True)
    ]
    found = house.findings(root / "src" / "podium")
    lines = "\n".join(str(finding) for finding in found)
    passed.append(report("house", not found, lines, "split what is long; pass time, chance and states in"))
    print(f"       {house.sizes(root / 'src' / 'podium')}")
    if not all(passed):
        print(f"podium: {passed.count(False)} of {len(passed)} checks failed", file=sys.stderr)
    return 0 if all(passed) else 1
