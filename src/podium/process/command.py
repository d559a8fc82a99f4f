"""Short programs (git, checks) run to their end: `execute` implements `kernel.execution.Execute`.

Not for agents: nothing here outlives the worker. No holder stands between, so a descendant that leaves
the session, clears its environment and closes its output is not found; agents get a holder for that.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import secrets
import signal
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import IO

import anyio

from podium.kernel.errors import SpawnFailed
from podium.kernel.execution import Completed
from podium.process.identity import identify
from podium.process.sweep import kill_below, sweep_marker

MARKER_VARIABLE = "PODIUM_COMMAND"
READ_BYTES = 256 * 1024
CLEANUP_LIMIT_S = 15.0
HELD_OPEN_S = 0.2
"""After the program ended its output ends at once, unless somebody else still holds it open."""
DRAIN_LIMIT_S = 1.0
"""How long output may still arrive after the program and everything found of its tree has ended."""


class Output:
    """One bounded stream: keeps the first `limit` bytes, counts on."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self.data = bytearray()
        self.truncated = False

    def add(self, piece: bytes) -> None:
        room = self._limit - len(self.data)
        self.truncated = self.truncated or len(piece) > room
        self.data += piece[: max(room, 0)]


async def execute(
    argv: Sequence[str],
    *,
    cwd: Path,
    env: Mapping[str, str],
    stdin: bytes = b"",
    timeout_s: float = 60.0,
    limit_bytes: int = 16 * 1024 * 1024,
    stdout_path: Path | None = None,
) -> Completed:
    """See `Execute`. The program gets a session of its own and `PODIUM_COMMAND=<random>` in its environment.

    When it has ended, what is left of its process group is killed; whoever then still holds its output
    open is found by that variable and killed too. On timeout and cancellation the descendants, the session
    and everything with the variable are killed before this returns or raises (shielded, bounded by
    `CLEANUP_LIMIT_S`).
    """
    marker = secrets.token_hex(16)
    out, err = Output(limit_bytes), Output(limit_bytes)
    process = await _spawned(tuple(argv), cwd, {**env, MARKER_VARIABLE: marker}, bool(stdin), stdout_path)
    running = _Running(process, f"{MARKER_VARIABLE}={marker}".encode())
    try:
        timed_out = await running.finish(stdin, out, err, timeout_s)
    except BaseException:
        await running.kill()
        raise
    finally:
        running.close()
    return Completed(
        argv=tuple(argv),
        code=process.returncode,
        stdout=bytes(out.data),
        stderr=bytes(err.data),
        timed_out=timed_out,
        truncated=out.truncated or err.truncated,
    )


async def _spawned(
    argv: tuple[str, ...], cwd: Path, env: dict[str, str], feed: bool, stdout_path: Path | None
) -> subprocess.Popen[bytes]:
    """Spawn in a thread. A thread cannot be cancelled: what it starts after the caller was is killed here."""
    spawning = asyncio.ensure_future(asyncio.to_thread(_spawn, argv, cwd, env, feed, stdout_path))
    try:
        return await asyncio.shield(spawning)
    except asyncio.CancelledError:
        # Both shields: a task's own cancel() reaches through anyio's, a cancelled scope cancels every await.
        with anyio.CancelScope(shield=True):
            await asyncio.wait([spawning])
        if spawning.exception() is None:
            process = spawning.result()
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()
            for pipe in (process.stdin, process.stdout, process.stderr):
                if pipe is not None:
                    pipe.close()
        raise


def _spawn(
    argv: tuple[str, ...], cwd: Path, env: dict[str, str], feed: bool, stdout_path: Path | None
) -> subprocess.Popen[bytes]:
    """Blocking: about a millisecond, most of it with the interpreter held until the program is loaded."""
    if not argv:
        raise SpawnFailed("cannot start a program without a name")
    target: int = subprocess.PIPE
    try:
        if stdout_path is not None:
            target = os.open(stdout_path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
        return subprocess.Popen(
            argv,
            cwd=cwd,
            env=env,
            stdin=subprocess.PIPE if feed else subprocess.DEVNULL,
            stdout=target,
            stderr=subprocess.PIPE,
            bufsize=0,
            start_new_session=True,
        )
    except (OSError, ValueError) as error:
        raise SpawnFailed(f"cannot start {argv[0]}: {error}") from error
    finally:
        if target >= 0:
            os.close(target)


class _Running:
    """A started program: its pipes, its exit, its tree."""

    def __init__(self, process: subprocess.Popen[bytes], marker: bytes) -> None:
        self._process = process
        self._marker = marker
        self._pidfd = os.pidfd_open(process.pid)
        self._identity = identify(process.pid)
        self._reading = 0
        self._all_read = anyio.Event()

    async def finish(self, stdin: bytes, out: Output, err: Output, timeout_s: float) -> bool:
        """Feed, read and wait until the program has ended and its output is complete; True on timeout."""
        async with anyio.create_task_group() as pipes:
            for stream, output in ((self._process.stdout, out), (self._process.stderr, err)):
                if stream:
                    self._reading += 1
                    pipes.start_soon(self._read, stream.fileno(), output)
            if self._process.stdin:
                pipes.start_soon(self._write, self._process.stdin, stdin)
            with anyio.move_on_after(timeout_s) as deadline:
                await anyio.wait_readable(self._pidfd)
            if deadline.cancelled_caught:
                await self.kill()
            else:
                self._reap()
            await self._drain()
            pipes.cancel_scope.cancel()
        return deadline.cancelled_caught

    def _reap(self) -> None:
        # The group first: until the program is reaped its group id cannot be another's.
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()

    async def _drain(self) -> None:
        with anyio.move_on_after(HELD_OPEN_S):
            await self._all_read.wait()
            return
        with anyio.move_on_after(DRAIN_LIMIT_S):
            # Again and again: whoever is just becoming another program shows no environment in that moment.
            while not self._all_read.is_set():
                await anyio.to_thread.run_sync(sweep_marker, self._marker)
                with anyio.move_on_after(HELD_OPEN_S):
                    await self._all_read.wait()

    async def kill(self) -> None:
        """End the whole tree and reap the program; shielded and bounded."""
        with anyio.move_on_after(CLEANUP_LIMIT_S, shield=True):
            if self._process.returncode is None:
                if self._identity:
                    await anyio.to_thread.run_sync(kill_below, self._identity)
                with contextlib.suppress(ProcessLookupError, PermissionError):
                    os.killpg(self._process.pid, signal.SIGKILL)
                await anyio.wait_readable(self._pidfd)
                self._process.wait()
            await anyio.to_thread.run_sync(sweep_marker, self._marker)

    async def _read(self, pipe: int, output: Output) -> None:
        os.set_blocking(pipe, False)
        while True:
            await anyio.wait_readable(pipe)
            piece = os.read(pipe, READ_BYTES)
            if not piece:
                break
            output.add(piece)
        self._reading -= 1
        if not self._reading:
            self._all_read.set()

    async def _write(self, pipe: IO[bytes], data: bytes) -> None:
        os.set_blocking(pipe.fileno(), False)
        rest = memoryview(data)
        with contextlib.suppress(BrokenPipeError):  # a program need not read what it is given
            while rest:
                await anyio.wait_writable(pipe.fileno())
                rest = rest[os.write(pipe.fileno(), rest) :]
        pipe.close()

    def close(self) -> None:
        """Close our ends. The program is reaped by now."""
        os.close(self._pidfd)
        for stream in (self._process.stdin, self._process.stdout, self._process.stderr):
            if stream:
                stream.close()
