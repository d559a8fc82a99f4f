"""What /proc says about processes. Standard library only: holders use it too. Linux."""

from __future__ import annotations

import os

TYPE_CHECKING = False
if TYPE_CHECKING:  # typing itself is too large for a holder
    from collections.abc import Callable

_STATE = 0
_PARENT = 1
_SESSION = 3
_START = 19
"""Places in /proc/PID/stat after the command name, which may itself hold spaces and parentheses."""


def boot_id() -> str:
    """Changes at every boot of the machine; pids and start times only mean something within one."""
    with open("/proc/sys/kernel/random/boot_id", "rb") as file:
        return file.read().strip().decode()


def _stat(pid: int) -> list[bytes] | None:
    try:
        with open(f"/proc/{pid}/stat", "rb") as file:
            return file.read().rpartition(b")")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return None


def start_ticks(pid: int) -> int | None:
    """Start time in clock ticks since boot (field 22); None when no such process exists."""
    fields = _stat(pid)
    return int(fields[_START]) if fields else None


def running_since(pid: int) -> int | None:
    """Like `start_ticks`, but a zombie counts as gone: an init that never reaps must not keep it alive."""
    fields = _stat(pid)
    return int(fields[_START]) if fields and fields[_STATE] not in b"ZX" else None


def session_of(pid: int) -> int | None:
    """Session id of a process that is not a zombie."""
    fields = _stat(pid)
    return int(fields[_SESSION]) if fields and fields[_STATE] not in b"ZX" else None


def identity_line(pid: int) -> bytes:
    """`pid starttime boot_id` of a process that exists."""
    return f"{pid} {start_ticks(pid)} {boot_id()}\n".encode()


def all_pids() -> list[int]:
    """Every process visible here, in no particular order."""
    return [int(name) for name in os.listdir("/proc") if name.isdigit()]


def descendants(pid: int) -> list[int]:
    """Children, their children and so on, zombies left out; parents stand before their children.

    A snapshot: what forks meanwhile may be missed, so killers repeat until it is empty. Processes that
    were re-parented away are not below `pid` any more, unless `pid` is a subreaper.
    """
    children = _children_from_files if os.path.exists("/proc/thread-self/children") else _children_from_scan()
    found: list[int] = []
    waiting = [pid]
    while waiting:
        below = children(waiting.pop())
        waiting += below
        found += below
    return [child for child in found if running_since(child) is not None]


def _children_from_files(pid: int) -> list[int]:
    found: list[int] = []
    try:
        threads = os.listdir(f"/proc/{pid}/task")
    except (FileNotFoundError, ProcessLookupError):
        return found
    for thread in threads:
        try:
            with open(f"/proc/{pid}/task/{thread}/children", "rb") as file:
                found += [int(word) for word in file.read().split()]
        except (FileNotFoundError, ProcessLookupError):
            continue
    return found


def _children_from_scan() -> Callable[[int], list[int]]:
    """The same from one pass over all processes, for kernels built without the `children` files."""
    below: dict[int, list[int]] = {}
    for pid in all_pids():
        fields = _stat(pid)
        if fields:
            below.setdefault(int(fields[_PARENT]), []).append(pid)
    return lambda pid: below.get(pid, [])
