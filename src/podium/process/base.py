"""The written contract of process/: how agents are started, found again, spoken to and ended.

An agent belongs to its holder, never to the worker. All that a worker knows about one stands in the run
directory (`layout`) and in /proc; so a worker that was killed and started again knows the same as before.
"""

from __future__ import annotations

from pathlib import Path
from typing import Protocol

from msgspec import Struct


class ProcessIdentity(Struct, frozen=True, kw_only=True):
    """One process, for ever: a pid alone is given to others later."""

    pid: int
    started: int
    """Clock ticks since boot, field 22 of /proc/PID/stat."""
    boot_id: str


class LaunchSpec(Struct, frozen=True, kw_only=True):
    """One launch of an agent. `env` is the complete environment; nothing is inherited."""

    run_dir: Path
    """Absolute, of this launch alone; created when missing."""
    cwd: Path
    argv: tuple[str, ...]
    """argv[0] is looked up on the PATH of `env`."""
    env: dict[str, str]
    initial_input: bytes = b""
    """Whole lines that stand in the input spool before the agent starts."""
    close_stdin: bool = False
    """Close the agent's stdin after the initial input."""
    sweep_grace_s: float = 2.0
    """What the agent leaves behind gets this long between TERM and KILL."""


class NotStarted(Struct, frozen=True, kw_only=True, tag="not_started"):
    """No holder ever had this run: launching is safe."""


class Alive(Struct, frozen=True, kw_only=True, tag="alive"):
    """A holder has the run. `agent` is None in the moment before the agent exists."""

    holder: ProcessIdentity
    agent: ProcessIdentity | None


class HolderGone(Struct, frozen=True, kw_only=True, tag="holder_gone"):
    """The holder died, its agent runs on without input: wait for it or end it, then sweep."""

    agent: ProcessIdentity


class Exited(Struct, frozen=True, kw_only=True, tag="exited"):
    """The holder finished its work. From here on nothing changes any more."""

    code: int
    """Exit code of the agent; -N when signal N ended it; 127 when it could not be started (see `err`)."""
    left: int
    """Processes that the agent left behind, all ended."""
    survivors: int
    """Processes that could not be ended (setuid, uninterruptible): normally 0."""
    out_size: int
    """Bytes in `out`, final."""
    at: float
    """Seconds since 1970, UTC."""


class Vanished(Struct, frozen=True, kw_only=True, tag="vanished"):
    """Holder and agent are both dead and neither said how: the last frame in `out` decides."""


HolderState = NotStarted | Alive | HolderGone | Exited | Vanished


class Frame(Struct, frozen=True, kw_only=True):
    """One line of a spool, without its newline."""

    offset: int
    end: int
    """Where the next frame starts; `end - offset` may exceed `len(data)` when truncated."""
    data: bytes
    truncated: bool
    """Longer than the limit (the rest was skipped), or the last line of a writer that died within it."""


class Batch(Struct, frozen=True, kw_only=True):
    """What one bounded read found."""

    frames: tuple[Frame, ...]
    more: bool
    """False when everything that the spool holds has been delivered."""
    cut: bool = False
    """The spool is shorter than what was read: somebody truncated it. Nothing after this can be trusted."""


class Watch(Protocol):
    """Tells which directories changed. Directories only, one instance for a whole worker.

    `add` and `remove` are idempotent; a directory removed from disk drops out by itself. `changed` waits
    for at least one change and returns all directories changed since the last call: a hint to look, never
    a fact, and it may name a directory in which nothing is new. One waiter at a time. Cancelling
    `changed` loses nothing. Read first, then wait: what happened before `add` is not reported.
    """

    def add(self, directory: Path) -> None: ...

    def remove(self, directory: Path) -> None: ...

    async def changed(self) -> frozenset[Path]: ...

    def close(self) -> None: ...


__all__ = [
    "Alive",
    "Batch",
    "Exited",
    "Frame",
    "HolderGone",
    "HolderState",
    "LaunchSpec",
    "NotStarted",
    "ProcessIdentity",
    "Vanished",
    "Watch",
]
