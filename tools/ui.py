"""`./podium ui`: build the web page of a clone. `./podium up` and its like do it too, when it is needed.

Theirs is quiet when nothing has changed (a look at names, sizes and times of the sources), and never stops
a start: without a page everything else works, and the page's address says what to type. What failed is not
tried again for a while, so that a machine without a network is not kept waiting at every start.
"""

from __future__ import annotations

import fcntl
import hashlib
import importlib.util
import os
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType

from tools.bootstrap import Failed

AGAIN_AFTER_S = 600.0
SKIP = "PODIUM_SKIP_UI"


def builder(root: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location("podium_ui_build", root / "ui" / "build.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def web_of(root: Path) -> Path:
    return root / "src" / "podium" / "gateway" / "web"


def glance(root: Path) -> str:
    """Changes when a source or the page may have changed; reads no file."""
    seen = hashlib.sha256()
    paths = [web_of(root) / "index.html", *_files(root / "ui")]
    for path in paths:
        try:
            found = path.stat()
        except FileNotFoundError:
            continue
        seen.update(f"{path}\0{found.st_size}\0{found.st_mtime_ns}\n".encode())
    return seen.hexdigest()


def _files(folder: Path) -> Iterator[Path]:
    for entry in sorted(os.scandir(folder), key=lambda entry: entry.name):
        if entry.name in {"node_modules", "codegen", "__pycache__"}:
            continue
        if entry.is_dir():
            yield from _files(Path(entry.path))
        else:
            yield Path(entry.path)


def before_serving(root: Path) -> None:
    """Build the page if it is not current. Says what it does; a failure is one line and stops nothing."""
    if os.environ.get(SKIP) or not (root / "ui").is_dir():
        return
    stamp = root / ".venv" / "podium-ui.stamp"
    try:
        done, failed_at = [*stamp.read_text().split(), "0"][:2]
    except (FileNotFoundError, ValueError):
        done, failed_at = "", "0"
    now = glance(root)
    if done == now and (failed_at == "0" or time.time() - float(failed_at) < AGAIN_AFTER_S):
        return
    try:
        bring_up_to_date(root)
    except Failed as error:
        print(f"podium: starting without the dashboard: {error}", file=sys.stderr, flush=True)
        stamp.write_text(f"{glance(root)} {time.time():.0f}")
    else:
        stamp.write_text(glance(root))


def bring_up_to_date(root: Path) -> bool:
    """True when something was built. Raises Failed, in one line that says what to do."""
    made = builder(root)
    ui, web = root / "ui", web_of(root)
    with building(root) as lock_fd:
        if made.is_current(ui, web):
            return False
        began = time.monotonic()
        print("podium: building the dashboard …", file=sys.stderr, flush=True)
        npm = npm_of(root, made, lock_fd)
        try:
            made.build(ui, web, npm)
        except made.CannotBuild as error:
            raise Failed(f"{error} (./podium ui)") from error
        print(f"podium: dashboard ready after {time.monotonic() - began:.0f} s", file=sys.stderr, flush=True)
    return True


@contextmanager
def building(root: Path) -> Iterator[int]:
    """One build at a time per clone."""
    descriptor = os.open(root / "ui" / "build.py", os.O_RDONLY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield descriptor
    finally:
        os.close(descriptor)


def npm_of(root: Path, made: ModuleType, lock_fd: int) -> list[str]:
    """argv of npm, of the machine or of the locked wheel. Raises Failed."""
    npm: list[str] | None = made.npm_of_machine()
    return npm or _npm_of_wheel(root, made, lock_fd)


def _npm_of_wheel(root: Path, made: ModuleType, lock_fd: int) -> list[str]:
    """Of the locked wheel in `.venv`, installed now if it is not there. Raises Failed."""
    from tools import install

    venv = root / ".venv"

    def found() -> list[str] | None:
        npm: list[str] | None = made.npm_of_wheel(
            [str(path) for path in venv.glob("lib/python3*/site-packages")]
        )
        return npm

    if (npm := found()) is not None:
        return npm
    print(f"podium: no {made.NODE_NEEDED} on PATH; getting Node as a Python package …", file=sys.stderr)
    for installer in install.installers(lock_fd):
        try:
            installer.install(venv, root / "requirements" / "node.txt")
        except Failed as error:
            failure = error
        else:
            break
    else:
        raise Failed(f"{failure}; install {made.NODE_NEEDED}, then: ./podium ui")
    if (npm := found()) is None:
        raise Failed(
            f"the Node package does not fit this machine; install {made.NODE_NEEDED}, then: ./podium ui"
        )
    return npm


def main(arguments: list[str], root: Path) -> int:
    """Build now if it is not current. Raises Failed."""
    if arguments:
        raise Failed(f"ui takes no arguments, not {arguments[0]!r}; usage: ./podium ui")
    if not bring_up_to_date(root):
        print("podium: the dashboard is current", file=sys.stderr)
    return 0
