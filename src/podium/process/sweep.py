"""Ending whole trees. While a holder lives it does this itself; the rest is for what it left by dying.

Every function here may block up to its limit: call it in a thread.
"""

from __future__ import annotations

import os
import select
import signal
import time
from collections.abc import Callable, Iterable
from pathlib import Path

from podium.kernel.errors import PodiumError
from podium.process import cgroup, layout, procfs
from podium.process.base import Alive, ProcessIdentity
from podium.process.feed import order_kill
from podium.process.identity import identify, is_alive, open_pidfd, read_identity, signal_process
from podium.process.probe import probe

SWEEP_LIMIT_S = 5.0
ROUND_S = 0.1
MAX_MARKER_BYTES = 1024
MAX_PATH_BYTES = 4096


def kill_tree(run_dir: Path) -> int:
    """Kill everything that belongs to this launch; returns how many processes were killed from here.

    A living holder is only told to (0 is returned, `exit` follows); without one the agent, its
    descendants, its session, all that is in the run's cgroup and every process with the run's marker are
    killed.
    """
    state = probe(run_dir)
    if isinstance(state, Alive):
        try:
            order_kill(run_dir)
        except (PodiumError, OSError):
            # A full disk or a removed spool must not save anybody: to a holder TERM means the same.
            signal_process(state.holder, signal.SIGTERM)
        return 0
    agent = read_identity(run_dir / layout.AGENT)
    marker = _read_marker(run_dir)
    killed = _kill_leaf(run_dir) + (kill_below(agent) if agent else 0)
    return killed + (sweep_marker(marker) if marker else 0)


def _kill_leaf(run_dir: Path) -> int:
    """Kill what is in the leaf that the dead holder left, and remove it; returns how many were killed."""
    leaf = _leaf(run_dir)
    if leaf is None:
        return 0

    def found() -> list[ProcessIdentity]:
        # All at once, forks included; the round that follows only waits for them.
        identities = [identity for pid in cgroup.members(leaf) if (identity := identify(pid))]
        cgroup.kill(leaf)
        return identities

    killed = _kill_until_none(found)
    cgroup.remove(leaf)
    return killed


def _leaf(run_dir: Path) -> str | None:
    try:
        with (run_dir / layout.CGROUP).open("rb") as file:
            path = os.fsdecode(file.read(MAX_PATH_BYTES))
        name = cgroup.leaf_name((run_dir / layout.HOLDER).read_bytes())
    except (FileNotFoundError, ValueError):
        return None
    # The name must be that holder's: a path from before a boot, or of somebody's choosing, is nobody's.
    return path if os.path.basename(path) == name and os.path.exists(f"{path}/{cgroup.KILL}") else None


def sweep_marker(marker: bytes) -> int:
    """Kill every process of our user whose environment holds `marker` (`NAME=value`); returns how many.

    Finds what re-parented itself, in whatever session; not what cleared its environment. About 1 ms per
    100 processes. Never this process itself. Gives up after `SWEEP_LIMIT_S`.
    """
    if b"=" not in marker.strip(b"="):
        raise ValueError("a marker is NAME=value")
    return _kill_until_none(lambda: _marked(marker))


def kill_below(root: ProcessIdentity) -> int:
    """Kill one process, its descendants and the session it leads; returns how many were killed.

    Nothing happens when it is gone already: its pid and session id may be another's by now.
    """
    # Stopped, it stays their parent and keeps its session's id while the rest is killed round by round.
    if not signal_process(root, signal.SIGSTOP):
        return 0
    below = _kill_until_none(lambda: _below(root))
    return below + _kill_until_none(lambda: [root] if is_alive(root) else [])


def _below(root: ProcessIdentity) -> list[ProcessIdentity]:
    pids = {pid for pid in procfs.all_pids() if procfs.session_of(pid) == root.pid}
    pids.update(procfs.descendants(root.pid))
    return [identity for pid in pids - {root.pid, os.getpid()} if (identity := identify(pid))]


def _marked(marker: bytes) -> list[ProcessIdentity]:
    us, found = os.getuid(), []
    for pid in procfs.all_pids():
        identity = identify(pid) if pid != os.getpid() and _owner(pid) == us else None
        # The identity is taken before the environment is read and verified again before the kill, so the
        # environment read in between is that process's own.
        if identity and _has_marker(pid, marker):
            found.append(identity)
    return found


def _owner(pid: int) -> int | None:
    try:
        return os.stat(f"/proc/{pid}").st_uid
    except (FileNotFoundError, ProcessLookupError):
        return None


def _has_marker(pid: int, marker: bytes) -> bool:
    try:
        with open(f"/proc/{pid}/environ", "rb") as file:
            return b"\0" + marker + b"\0" in b"\0" + file.read() + b"\0"
    except OSError:
        return False  # gone, or not ours to look into


def _kill_until_none(find: Callable[[], list[ProcessIdentity]]) -> int:
    """Kill what `find` finds until it finds nothing: children forked meanwhile need another round."""
    seen: set[ProcessIdentity] = set()
    give_up = time.monotonic() + SWEEP_LIMIT_S
    while (found := find()) and time.monotonic() < give_up:
        seen.update(found)
        _kill(found)
    return len(seen)


def _kill(targets: Iterable[ProcessIdentity]) -> None:
    """Kill these, verified, and wait up to `ROUND_S` until they are gone."""
    opened = [descriptor for target in targets if (descriptor := open_pidfd(target)) is not None]
    poll = select.poll()
    try:
        for descriptor in opened:
            try:
                signal.pidfd_send_signal(descriptor, signal.SIGKILL)
            except (ProcessLookupError, PermissionError):
                continue
            poll.register(descriptor, select.POLLIN)
        waiting = set(opened)
        end = time.monotonic() + ROUND_S
        while waiting and (remaining := end - time.monotonic()) > 0:
            gone = {descriptor for descriptor, _ in poll.poll(remaining * 1000)}
            for descriptor in gone:
                poll.unregister(descriptor)
            waiting -= gone
    finally:
        for descriptor in opened:
            os.close(descriptor)


def _read_marker(run_dir: Path) -> bytes:
    try:
        with (run_dir / layout.MARKER).open("rb") as file:
            return file.read(MAX_MARKER_BYTES)
    except FileNotFoundError:
        return b""
