"""Starting agents: prepares run directories and has the template fork holders. One Launcher per worker."""

from __future__ import annotations

import contextlib
import fcntl
import os
import select
import socket
import struct
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import anyio

from podium.kernel.errors import InvalidRequest, SpawnFailed
from podium.process import layout
from podium.process.base import LaunchSpec, NotStarted
from podium.process.feed import fenced_input, write_all
from podium.process.probe import probe

REPORT_TIMEOUT_S = 20.0
"""A holder answers within 2 ms; on a machine that swaps it may take long, and then it is merely late."""
TEMPLATE_EXIT_S = 5.0
_INHERITED = ("PATH", "LD_LIBRARY_PATH", "LANG", "LC_ALL", "TMPDIR")
_FLOCK = struct.Struct("hhqqi4x")


class Launcher:
    """Owns the template process, and no agent: whatever it launched lives on without it.

    `async with Launcher()` starts and closes it. All methods may be called from several tasks at once.
    """

    def __init__(self) -> None:
        self._guard = threading.Lock()
        self._template: _Template | None = None
        self._closed = False

    async def __aenter__(self) -> Launcher:
        await self.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def start(self) -> None:
        """Warm the template. Launching works without it, 20 ms slower the first time."""
        await anyio.to_thread.run_sync(self._ready_template)

    async def launch(self, spec: LaunchSpec) -> None:
        """Start one agent, detached; returns when its process exists and is named.

        Idempotent by run directory: when that has or ever had a holder nothing happens. A program that
        cannot be executed is no error here: the run exits with 127 and the reason in `err`. Raises
        SpawnFailed when no holder could be started (launching again is safe), InvalidRequest for a spec
        that no process can have, StorageFull. Once begun it is not cancelled: at most
        twice `REPORT_TIMEOUT_S`.
        """
        await anyio.to_thread.run_sync(self._launch, spec)

    async def close(self) -> None:
        """End the template; agents and holders live on. Idempotent."""
        with anyio.CancelScope(shield=True):
            await anyio.to_thread.run_sync(self._close)

    @property
    def template_pid(self) -> int | None:
        """For diagnosis; None before the first launch."""
        return self._template.process.pid if self._template else None

    def _ready_template(self) -> _Template:
        with self._guard:
            if self._closed:
                raise SpawnFailed("the launcher is closed")
            if self._template and self._template.process.poll() is not None:
                self._template.end()
                self._template = None
            if self._template is None:
                self._template = _Template()
            return self._template

    def _close(self) -> None:
        with self._guard:
            self._closed = True
            template, self._template = self._template, None
            if template:
                template.end()

    def _launch(self, spec: LaunchSpec) -> None:
        try:
            launch = layout.Launch(str(spec.cwd), list(spec.argv), spec.env, spec.sweep_grace_s).encode()
        except ValueError as error:
            raise InvalidRequest(f"cannot launch: {error}") from error
        lines = spec.initial_input
        if lines and not lines.endswith(b"\n"):
            raise InvalidRequest("the initial input must consist of whole lines")
        if spec.close_stdin:
            lines += layout.CLOSE + b"\n"
        spec.run_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
        # The fence of `in` also makes two launches of one run take turns.
        with fenced_input(spec.run_dir, create=True) as spool:
            if not isinstance(probe(spec.run_dir), NotStarted):
                return
            with _no_holder_can_start(spec.run_dir) as free:
                if free:
                    _prepare(spec, launch, lines, spool)
            self._fork_holder(spec.run_dir)

    def _fork_holder(self, run_dir: Path) -> None:
        # Twice, because the template may have died since the last launch, with our request in its socket.
        for _ in range(2):
            answer = self._ready_template().ask(run_dir)
            word, _, reason = answer.partition(" ")
            if word in ("held", "taken"):
                return
            if word == "error":
                raise SpawnFailed(f"the holder could not start: {reason}")
            if not isinstance(probe(run_dir), NotStarted):
                return
        raise SpawnFailed("no holder came up", hint="see holder.err in the run directory")


class _Template:
    """The template process and our end of its socket."""

    def __init__(self) -> None:
        # One packet per request, so requests from several threads cannot mix.
        self._channel, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        main = Path(__file__).with_name("__main__.py")
        try:
            self.process = subprocess.Popen(
                [sys.executable, "-I", "-S", str(main), "template", str(theirs.fileno())],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                pass_fds=[theirs.fileno()],
                env={name: os.environ[name] for name in _INHERITED if name in os.environ},
                start_new_session=True,
            )
        except OSError as error:
            self._channel.close()
            raise SpawnFailed(f"the template could not start: {error}") from error
        finally:
            theirs.close()

    def ask(self, run_dir: Path) -> str:
        """What the new holder says; empty when neither it nor the template did."""
        ours, theirs = os.pipe()
        try:
            try:
                socket.send_fds(self._channel, [os.fsencode(run_dir)], [theirs])
            except OSError:
                return ""
            finally:
                os.close(theirs)
            poll = select.poll()
            poll.register(ours, select.POLLIN)
            if not poll.poll(REPORT_TIMEOUT_S * 1000):
                return ""
            return os.read(ours, 4096).decode(errors="replace").strip()
        finally:
            os.close(ours)

    def end(self) -> None:
        """Close the socket, which ends the process, and reap it."""
        self._channel.close()
        try:
            self.process.wait(TEMPLATE_EXIT_S)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()


@contextlib.contextmanager
def _no_holder_can_start(run_dir: Path) -> Iterator[bool]:
    """Take the holders' lock for a moment; yields False when a holder has it already.

    A worker killed after asking its template may have a holder on the way. While we have the lock that
    holder cannot begin, so `in` and `launch` can be rewritten; afterwards either of the two may win.
    """
    lock = os.open(run_dir / layout.LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        try:
            # An open-file-description lock: a plain POSIX one would be lost at any close in this process.
            wanted = _FLOCK.pack(fcntl.F_WRLCK, os.SEEK_SET, 0, 0, 0)
            fcntl.fcntl(lock, fcntl.F_OFD_SETLK, wanted)
        except (BlockingIOError, PermissionError):
            yield False
        else:
            # Again, now that nothing can change under us.
            yield isinstance(probe(run_dir), NotStarted)
    finally:
        os.close(lock)


def _prepare(spec: LaunchSpec, launch: bytes, lines: bytes, spool: int) -> None:
    """Fill the run directory. Nobody has read `in` yet, so an attempt cut short is simply overwritten."""
    os.ftruncate(spool, 0)
    write_all(spool, lines)
    for name in (layout.HOLDER, layout.CGROUP):  # of one that died before its agent was born
        (spec.run_dir / name).unlink(missing_ok=True)
    with contextlib.suppress(FileExistsError):
        os.mkfifo(spec.run_dir / layout.BELL, 0o600)
    marker = spec.env.get(layout.MARKER_VARIABLE)
    if marker:
        _write(spec.run_dir / layout.MARKER, f"{layout.MARKER_VARIABLE}={marker}".encode())
    for name in (layout.OUTPUT, layout.ERRORS):
        os.close(os.open(spec.run_dir / name, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o600))
    _write(spec.run_dir / layout.LAUNCH, launch)


def _write(path: Path, data: bytes) -> None:
    file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
    try:
        write_all(file, data)
    finally:
        os.close(file)
