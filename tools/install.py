"""Install locked packages into `.venv`: with uv when it works, else with venv and pip.

Only wheels, only with the hashes of the lock, no dependency resolution, no isolated builds: nothing that
is not in the lock is fetched. Podium itself is installed editable with the build tools of the lock.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Protocol

from tools.bootstrap import Failed, base_python, digest, is_current, stamp_of

INSTALL_TIMEOUT_S = 1800
MISLEADING = frozenset(
    {"VIRTUAL_ENV", "PYTHONHOME", "PYTHONPATH", "UV_SYSTEM_PYTHON", "UV_PYTHON", "UV_PROJECT_ENVIRONMENT"}
    | {"PIP_USER", "PIP_TARGET", "PIP_PREFIX", "PIP_REQUIRE_VIRTUALENV", "PIP_NO_DEPS", "PIP_PYTHON"}
)
"""Variables of the caller's that would send packages somewhere else than to `.venv`."""


def say(text: str) -> None:
    print(f"podium: {text}", file=sys.stderr, flush=True)


class Installer(Protocol):
    """One way to make `.venv` and fill it. Each method raises Failed."""

    name: str

    def make(self, venv: Path) -> None: ...

    def install(self, venv: Path, lock: Path) -> None: ...

    def install_podium(self, venv: Path, root: Path) -> None: ...


def run(argv: Sequence[str], lock_fd: int) -> None:
    """Run one step quietly; Failed carries its last line.

    The child inherits the start lock: should we be killed, whoever comes next waits for the child's end
    instead of installing into the same directory.
    """
    environment = {name: value for name, value in os.environ.items() if name not in MISLEADING}
    environment |= {"UV_PYTHON_DOWNLOADS": "never", "PIP_DISABLE_PIP_VERSION_CHECK": "1"}
    environment |= {"PODIUM_SKIP_UI": "1"}  # the page is built apart, by tools/ui.py
    try:
        done = subprocess.run(
            argv,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            timeout=INSTALL_TIMEOUT_S,
            pass_fds=(lock_fd,),
        )
    except subprocess.TimeoutExpired as error:
        raise Failed(
            f"installing took longer than {INSTALL_TIMEOUT_S} s; check the network, run this again"
        ) from error
    except OSError as error:
        raise Failed(f"cannot run {argv[0]}: {error.strerror}; install it or take it off PATH") from error
    if done.returncode != 0:
        lines = [line.strip() for line in done.stdout.decode(errors="replace").splitlines() if line.strip()]
        raise Failed(lines[-1][:300] if lines else f"{argv[0]} ended with {done.returncode}")


class Uv:
    """uv: seconds instead of half a minute."""

    name = "uv"

    def __init__(self, program: str, lock_fd: int) -> None:
        self._uv, self._lock_fd = program, lock_fd

    def make(self, venv: Path) -> None:
        argv = [self._uv, "venv", "--quiet", "--no-config", "--no-project", "--no-python-downloads"]
        run([*argv, "--python", base_python(), str(venv)], self._lock_fd)

    def install(self, venv: Path, lock: Path) -> None:
        run([*self._pip(venv), "--require-hashes", "--no-build", "-r", str(lock)], self._lock_fd)

    def install_podium(self, venv: Path, root: Path) -> None:
        run([*self._pip(venv), "--no-build-isolation", "--offline", "-e", str(root)], self._lock_fd)

    def _pip(self, venv: Path) -> list[str]:
        return [self._uv, "pip", "install", "--quiet", "--python", str(venv / "bin" / "python"), "--no-deps"]


class Pip:
    """The standard library's venv and the pip that comes with it."""

    name = "pip"

    def __init__(self, lock_fd: int) -> None:
        self._lock_fd = lock_fd

    def make(self, venv: Path) -> None:
        try:
            run([base_python(), "-m", "venv", str(venv)], self._lock_fd)
        except Failed as error:
            version = f"{sys.version_info[0]}.{sys.version_info[1]}"
            raise Failed(
                f"{error}; install uv, or apt install python{version}-venv, and run this again"
            ) from error

    def install(self, venv: Path, lock: Path) -> None:
        run([*self._pip(venv), "--require-hashes", "--only-binary", ":all:", "-r", str(lock)], self._lock_fd)

    def install_podium(self, venv: Path, root: Path) -> None:
        run([*self._pip(venv), "--no-build-isolation", "--no-index", "-e", str(root)], self._lock_fd)

    def _pip(self, venv: Path) -> list[str]:
        return [str(venv / "bin" / "python"), "-I", "-m", "pip", "install", "--quiet", "--no-deps"]


def installers(lock_fd: int) -> list[Installer]:
    """What to try, in order. A uv that cannot even say its version does not count."""
    found: list[Installer] = []
    program = shutil.which("uv")
    if program is not None:
        try:
            run([program, "--version"], lock_fd)
            found.append(Uv(program, lock_fd))
        except Failed:
            say("the uv on PATH does not run; using venv and pip")
    return [*found, Pip(lock_fd)]


@contextmanager
def start_lock(root: Path) -> Iterator[int]:
    """One installing start at a time per clone; the kernel drops it with its last holder.

    The lock sits on the bootstrap script because that file always exists and is never replaced by us.
    """
    descriptor = os.open(root / "podium", os.O_RDONLY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield descriptor
    finally:
        os.close(descriptor)


def usable(venv: Path, installer: Installer) -> bool:
    """True when `.venv` can be kept: same place, same Python, complete, made for this installer."""
    try:
        made_for = (venv / "podium-venv.stamp").read_text()
    except FileNotFoundError:
        return False
    return made_for == identity(venv, installer) and (venv / "bin" / "python").exists()


def identity(venv: Path, installer: Installer) -> str:
    return f"{venv}\n{sys.version_info[:2]}\n{installer.name}\n"


def fill(root: Path, stale: Sequence[Path], installer: Installer) -> None:
    """Bring `.venv` to the state of the locks; each stamp is the last thing written for its lock."""
    venv = root / ".venv"
    if not usable(venv, installer):
        shutil.rmtree(venv, ignore_errors=True)
        installer.make(venv)
        (venv / "podium-venv.stamp").write_text(identity(venv, installer))
        stale = [root / "requirements" / "runtime.txt", *(lock for lock in stale if lock.stem != "runtime")]
    for lock in stale:
        stamp_of(root, lock).unlink(missing_ok=True)
        installer.install(venv, lock)
        if lock.stem == "runtime":
            installer.install_podium(venv, root)
        stamp_of(root, lock).write_text(digest(root, lock))


def bring_up_to_date(root: Path, stale: Sequence[Path]) -> None:
    """Install what is stale. Raises Failed when no installer could; prints one line when it works."""
    with start_lock(root) as lock_fd:
        stale = [lock for lock in stale if not is_current(root, lock)]
        if not stale:
            return
        began = time.monotonic()
        choices = installers(lock_fd)
        for installer in choices:
            words = " and ".join(lock.stem for lock in stale)
            say(f"installing {words} packages into .venv with {installer.name} …")
            try:
                fill(root, stale, installer)
            except Failed as error:
                if installer is choices[-1]:
                    raise Failed(f"{error}; mend that (network, disk, index), then run this again") from error
                say(f"{installer.name} could not ({error}); trying venv and pip")
            else:
                say(f"ready after {time.monotonic() - began:.0f} s")
                return
