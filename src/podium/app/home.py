"""`$PODIUM_HOME`: everything Podium writes is in there, and one daemon at a time owns it."""

from __future__ import annotations

import contextlib
import fcntl
import os
import socket
from collections.abc import Iterator
from pathlib import Path

from podium import __version__
from podium.kernel.errors import Conflict, Unavailable
from podium.kernel.ids import IdMaker, WorkerId, parse_id


class Home:
    def __init__(self, path: Path) -> None:
        self.path = path
        self.lock = path / "lock"
        self.bus_socket = path / "bus.sock"
        self.log = path / "podium.log"

    def open(self) -> None:
        """Make the directory, private to this user. Raises Unavailable when it cannot be used."""
        try:
            self.path.mkdir(parents=True, exist_ok=True, mode=0o700)
            probe = self.path / f".write-test-{os.getpid()}"
            probe.touch(mode=0o600)
            probe.unlink()
        except OSError as error:
            raise Unavailable(
                f"{self.path} cannot be used: {error.strerror}",
                hint="set PODIUM_HOME to a directory that you may write",
            ) from error

    @contextlib.contextmanager
    def owned(self, name: str = "lock") -> Iterator[None]:
        """Be the only daemon (or, with another name, the only worker) on this home while inside.

        Raises Conflict at once when another process has it. The kernel lets go at any death.
        """
        path = self.path / name
        handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                pid = os.pread(handle, 32, 0).decode(errors="replace").strip() or "?"
                raise Conflict(
                    f"{self.path} is in use by another Podium (pid {pid})",
                    hint="podium status shows it, podium down ends it; or set another PODIUM_HOME",
                ) from None
            os.ftruncate(handle, 0)
            os.pwrite(handle, f"{os.getpid()}\n".encode(), 0)
            yield
        finally:
            os.close(handle)

    def worker_dir(self, name: str = "worker") -> Path:
        return self.path / name

    def worker_id(self, ids: IdMaker, name: str = "worker") -> WorkerId:
        """The stable id of the worker that lives in this home: made once."""
        path = self.worker_dir(name) / "id"
        try:
            return WorkerId(parse_id("worker", path.read_text(encoding="ascii").strip()))
        except FileNotFoundError:
            path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            made = WorkerId(ids.new("worker"))
            part = path.with_suffix(".part")
            part.write_text(made, encoding="ascii")
            os.replace(part, path)
            return made


def node_name() -> str:
    return socket.gethostname() or "localhost"


def default_capacity(free_memory_bytes: int) -> int:
    """At least 2, otherwise one for each core, as far as 512 MiB each are free."""
    cores = os.cpu_count() or 1
    by_memory = free_memory_bytes // (512 * 1024**2) if free_memory_bytes else cores
    return max(2, min(cores, by_memory))


def hint_beside(home: Home, url: str, main: str) -> str:
    """What to tell whoever started a gateway that follows."""
    told = [f"Podium {__version__} on {url} follows the server at {main}."]
    if not (home.path / "owner.token").exists() and "PODIUM_TOKEN" not in os.environ:
        file = home.path / "owner.token"
        told.append(
            "This home has no token of its own. Make one on the home of that server (podium tokens add NAME "
            f"--kind operator), and set PODIUM_TOKEN or put it into {file} (mode 0600)."
        )
    told.append(f"For a browser: podium login, there, and then open {url}/#login=CODE.")
    return "\n".join(told)
