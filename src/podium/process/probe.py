"""Who is dead? The state of a launch as a function of its files and /proc, and of nothing else."""

from __future__ import annotations

import fcntl
import os
import struct
from pathlib import Path

import msgspec

from podium.process import layout, procfs
from podium.process.base import (
    Alive,
    Exited,
    HolderGone,
    HolderState,
    NotStarted,
    ProcessIdentity,
    Vanished,
)
from podium.process.identity import identify, is_alive, read_identity

MAX_EXIT_BYTES = 4096
_FLOCK = struct.Struct("hhqqi4x")
"""struct flock on 64-bit Linux: type, whence, start, len, pid."""


class _ExitFile(msgspec.Struct, frozen=True, kw_only=True):
    code: int
    left: int
    survivors: int
    out_size: int
    at: float


def probe(run_dir: Path) -> HolderState:
    """The state of this launch, now. A handful of small reads, no waiting.

    Exited and Vanished are final; a missing directory is NotStarted.
    """
    finished = _read_exit(run_dir)
    if finished:
        return finished
    agent = read_identity(run_dir / layout.AGENT)
    holder = read_identity(run_dir / layout.HOLDER)
    owner = lock_owner(run_dir)
    if holder is None:
        # The lock comes first in a holder's life: between it and its identity file it is starting.
        starting = identify(owner) if owner else None
        if starting:
            return Alive(holder=starting, agent=None)
        # It may have written everything, and even ended, since the first look.
        return _settled(run_dir, agent) if (run_dir / layout.HOLDER).exists() else NotStarted()
    if is_alive(holder) and owner in (holder.pid, None):
        return Alive(holder=holder, agent=agent)
    return _settled(run_dir, agent)


def goes_on(run_dir: Path, holder: ProcessIdentity) -> bool:
    """Whether the holder that `probe` has found alive still is, and is not done: two looks instead of six
    files. False says only that the whole look is due."""
    # The boot was compared when it was found, and cannot have changed under this very process.
    return procfs.running_since(holder.pid) == holder.started and not os.path.exists(run_dir / layout.EXIT)


def _settled(run_dir: Path, agent: ProcessIdentity | None) -> HolderState:
    """The holder is dead. Look at `exit` again: it may have been written since, as its last act."""
    finished = _read_exit(run_dir)
    if finished:
        return finished
    agent = agent or read_identity(run_dir / layout.AGENT)
    if agent is None and not (run_dir / layout.EXIT).exists():
        # It died before it had named its agent, and only a named one is ever let through the gate: no
        # program was started, so starting one now is the first time.
        return NotStarted()
    if agent is not None and is_alive(agent):
        return HolderGone(agent=agent)
    return Vanished()


def _read_exit(run_dir: Path) -> Exited | None:
    try:
        with (run_dir / layout.EXIT).open("rb") as file:
            told = msgspec.json.decode(file.read(MAX_EXIT_BYTES), type=_ExitFile)
    except (FileNotFoundError, msgspec.MsgspecError):
        return None
    return Exited(
        code=told.code, left=told.left, survivors=told.survivors, out_size=told.out_size, at=told.at
    )


def lock_owner(run_dir: Path) -> int | None:
    """Pid of the process that holds the run's lock, from the kernel; None when nobody does.

    None as well when there is no lock file, and when its owner lives in another pid namespace.
    """
    try:
        lock = os.open(run_dir / layout.LOCK, os.O_RDWR | os.O_CLOEXEC)
    except FileNotFoundError:
        return None
    try:
        question = _FLOCK.pack(fcntl.F_WRLCK, os.SEEK_SET, 0, 0, 0)
        kind, _, _, _, pid = _FLOCK.unpack(fcntl.fcntl(lock, fcntl.F_GETLK, question))
    finally:
        os.close(lock)
    return int(pid) if kind != fcntl.F_UNLCK and pid > 0 else None
