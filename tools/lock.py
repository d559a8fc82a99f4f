"""`./podium lock [--upgrade]`: write requirements/*.txt again from pyproject.toml.

The locks serve Python 3.11 to 3.13 on every system, carry a hash for every file and name no host: where
packages come from is the business of the machine that installs them.
"""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

from tools.bootstrap import Failed

COMMON = ("--universal", "--python-version", "3.11", "--generate-hashes", "--no-header", "--no-annotate")
HOSTLESS = ("--no-emit-index-url", "--no-emit-find-links", "--no-python-downloads", "--quiet")


def lock(root: Path, name: str, arguments: list[str]) -> None:
    """Resolve one lock. Raises Failed with uv's last line."""
    uv = shutil.which("uv")
    if uv is None:
        raise Failed("making locks needs uv on PATH; install it, then run ./podium lock again")
    output = f"requirements/{name}.txt"
    done = subprocess.run(
        [uv, "pip", "compile", *COMMON, *HOSTLESS, *arguments, "--output-file", output],
        cwd=root,
        capture_output=True,
        text=True,
    )
    if done.returncode != 0:
        raise Failed(f"{output}: {' '.join(done.stderr.split())[-300:]}")
    if "://" in (root / output).read_text():
        raise Failed(f"{output} names a host; remove the direct reference from pyproject.toml")


def main(arguments: list[str], root: Path) -> int:
    """Without --upgrade, versions that still fit stay. Returns 0; raises Failed."""
    if unknown := [word for word in arguments if word != "--upgrade"]:
        raise Failed(f"unknown argument {unknown[0]!r}; usage: ./podium lock [--upgrade]")
    # A clone gets the driver of PostgreSQL too: setting the URL is then all there is to do. It is loaded
    # only when that is set.
    lock(root, "runtime", ["pyproject.toml", "--extra", "postgresql", "--group", "build", *arguments])
    # The constraint keeps both locks on one version of whatever they share.
    lock(root, "dev", ["--group", "dev", "--constraint", "requirements/runtime.txt", *arguments])
    shared = ["--constraint", "requirements/runtime.txt", "--constraint", "requirements/dev.txt"]
    lock(root, "ui", ["--group", "ui", *shared, *arguments])
    lock(root, "node", ["--group", "node", *arguments])
    print("wrote requirements/{runtime,dev,ui,node}.txt")
    return 0
