"""A cgroup v2 leaf per run: the one fence that no process of an agent gets out of by itself.

Standard library only: holders use it too. Nothing here is ever required. Where the machine gives us no
leaf, or takes one back, the holder's sweep and the marker walk stand as they do without.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import select
import signal
import struct

from podium.process import procfs

PREFIX = "podium-"
PROCESSES = "cgroup.procs"
KILL = "cgroup.kill"
PROBE_LIMIT_S = 1.0
MAX_BYTES = 64 * 1024
MAX_DEPTH = 32
"""How deep groups made below a leaf are looked for; what is deeper still ends with the leaf's own kill."""
_BOOT = 8
_CLONE3 = 435
_CLONE_INTO_CGROUP = 0x200000000
_CLONE_ARGS = struct.Struct("11Q")
"""struct clone_args: flags first, exit_signal fifth, cgroup last."""
# Not CDLL, which lets go of the interpreter's lock: the child would come back without it.
_libc = ctypes.PyDLL(None)
_libc.syscall.argtypes = (ctypes.c_long, ctypes.c_char_p, ctypes.c_size_t)
_libc.syscall.restype = ctypes.c_long


def find_parent() -> str:
    """The directory below which runs can have leaves; empty when nowhere. About 1 ms, forks once.

    That is the group that this process sits in or, for root, the top. It is not asked what it allows: a
    leaf is made there, and a process is born in it and killed with it.
    """
    for mount, root in _mounts():
        own = _own_group(mount, root)
        for parent in dict.fromkeys([own] if os.geteuid() else [own, mount]):
            if parent and _works(parent):
                return parent
    return ""


def make_leaf(parent: str) -> str:
    """The leaf of this process's run below `parent`; empty when it cannot be made."""
    path = f"{parent}/{leaf_name(procfs.identity_line(os.getpid()))}"
    try:
        os.mkdir(path, 0o700)
    except OSError:
        return ""
    return path


def fork_into(leaf: str) -> int:
    """`os.fork` with the child born in that group, or in ours where that fails. One thread only.

    Moving a process there after its birth waits for the whole kernel, 0.6 to 8 ms (measured); being born
    there costs 0.06 ms. Python's own preparations for a child are left out: this one is to `exec` or end.
    """
    try:
        group = os.open(leaf, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except OSError:
        return os.fork()
    try:
        asked = _CLONE_ARGS.pack(_CLONE_INTO_CGROUP, 0, 0, 0, signal.SIGCHLD, 0, 0, 0, 0, 0, group)
        pid = int(_libc.syscall(_CLONE3, asked, _CLONE_ARGS.size))
    finally:
        os.close(group)
    return pid if pid >= 0 else os.fork()


def leaf_name(identity: bytes) -> str:
    """Of the holder with this identity line. No two holders share one, not even across boots."""
    pid, started, boot = identity.decode("ascii").split()
    return f"{PREFIX}{boot[:_BOOT]}-{pid}-{started}"


def kill(path: str) -> None:
    """Kill every process in this group and below it. Nothing when it is gone."""
    with contextlib.suppress(OSError):
        _write(f"{path}/{KILL}", "1")


def members(path: str, depth: int = MAX_DEPTH) -> list[int]:
    """Pids in this group and below it; none when it is gone."""
    try:
        with open(f"{path}/{PROCESSES}", "rb") as file:
            found = [int(word) for word in file.read().split()]
    except OSError:
        found = []
    for child in _groups_in(path) if depth else ():
        found += members(child, depth - 1)
    return found


def remove(path: str, depth: int = MAX_DEPTH) -> bool:
    """Remove the group and what an agent made below it; False while somebody is in there."""
    for child in _groups_in(path) if depth else ():
        remove(child, depth - 1)
    try:
        os.rmdir(path)
    except FileNotFoundError:
        return True
    except OSError:
        return False
    return True


def tidy(parent: str) -> None:
    """Remove empty leaves whose holders are gone: of one that was killed, nobody else does."""
    boot = procfs.boot_id()[:_BOOT]
    for path in _groups_in(parent):
        name = os.path.basename(path)
        words = name.removeprefix(f"{PREFIX}{boot}-").split("-")
        ours = name.startswith(f"{PREFIX}{boot}-") and len(words) == 2 and words[0].isdigit()
        if ours and str(procfs.running_since(int(words[0]))) != words[1]:
            remove(path)


def _groups_in(path: str) -> list[str]:
    try:
        with os.scandir(path) as entries:
            return [entry.path for entry in entries if entry.is_dir(follow_symlinks=False)]
    except OSError:
        return []


def _mounts() -> list[tuple[str, str]]:
    """(place, which group is its top) of every cgroup v2 file system. On mixed machines it is not the
    one at /sys/fs/cgroup but below it."""
    found = []
    with (
        contextlib.suppress(OSError),
        open("/proc/self/mountinfo", encoding="utf-8", errors="replace") as file,
    ):
        for line in file:
            about, _, kind = line.partition(" - ")
            if kind.startswith("cgroup2 "):
                words = about.split(" ")
                found.append((words[4].replace("\\040", " "), words[3]))
    return found


def _own_group(mount: str, root: str) -> str:
    try:
        with open("/proc/self/cgroup", encoding="utf-8", errors="replace") as file:
            lines = file.read(MAX_BYTES).splitlines()
    except OSError:
        return ""
    own = next((line[3:] for line in lines if line.startswith("0::")), "")
    below = own.removeprefix(root.rstrip("/"))
    path = (mount + below).rstrip("/")
    return path if own and "/.." not in own and os.path.isdir(path) else ""


def _works(parent: str) -> bool:
    leaf = f"{parent}/{PREFIX}probe-{os.getpid()}"
    try:
        os.mkdir(leaf, 0o700)
    except OSError:
        return False
    try:
        return os.path.exists(f"{leaf}/{KILL}") and _kills(leaf)
    finally:
        remove(leaf)


def _kills(leaf: str) -> bool:
    """Whether a process can be born there, is one of its members, and ends with it."""
    pid = fork_into(leaf)
    if not pid:
        try:
            signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())
            select.poll().poll(PROBE_LIMIT_S * 2000)
        finally:
            os._exit(0)
    watched = os.pidfd_open(pid)
    try:
        born_there = members(leaf) == [pid]
        kill(leaf)
        poll = select.poll()
        poll.register(watched, select.POLLIN)
        return born_there and bool(poll.poll(PROBE_LIMIT_S * 1000))
    finally:
        os.close(watched)
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)


def _write(path: str, text: str) -> None:
    file = os.open(path, os.O_WRONLY | os.O_CLOEXEC)
    try:
        os.write(file, text.encode())
    finally:
        os.close(file)
