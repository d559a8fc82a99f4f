"""Turning a forked child into the agent. Part of the holder, so standard library only."""

from __future__ import annotations

import contextlib
import os
import signal

from podium.process import cgroup, layout, procfs

IGNORED = tuple(
    getattr(signal, name)
    for name in ("SIGHUP", "SIGINT", "SIGQUIT", "SIGPIPE", "SIGXFSZ", "SIGUSR1", "SIGUSR2", "SIGTSTP")
)
HANDLED = (signal.SIGCHLD, signal.SIGTERM)
_ALL_SIGNALS = signal.valid_signals()
# Worked out once, here, because every agent waits for it: what an agent must not inherit from anybody.
_NOT_DEFAULT = {
    *IGNORED,
    *HANDLED,
    *(number for number in _ALL_SIGNALS if signal.getsignal(number) == signal.SIG_IGN),
}


def start_agent(launch: layout.Launch, stdin: int, mask: int, leaf: str) -> int:
    """Fork the agent with `stdin`, `out` and `err`, and name it; returns its pid. `mask` is its umask,
    `leaf` the cgroup in which it is born, or empty.

    It becomes the program only when its identity stands on disk; one that cannot be executed exits with
    127. Raises OSError when there can be no process, or no file; then nothing was started.
    """
    append = os.O_WRONLY | os.O_CREAT | os.O_APPEND
    descriptors = (
        stdin,
        os.open(layout.OUTPUT, append, 0o600),
        os.open(layout.ERRORS, append, 0o600),
    )
    gate, go = os.pipe()
    # Until the child has default signals it must get none: a TERM meant for the agent would run the
    # holder's handler in it, whose wake-up pipe is the holder's own.
    before = signal.pthread_sigmask(signal.SIG_BLOCK, _ALL_SIGNALS)
    try:
        pid = cgroup.fork_into(leaf) if leaf else os.fork()
        if not pid:
            os.close(go)
            _become_agent(launch, descriptors, mask, gate)
        # Named by us while the child gets ready. Should we die here the gate never opens: it ends unborn.
        write_whole(layout.AGENT, procfs.identity_line(pid))
        os.write(go, b"!")
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
        for descriptor in (*descriptors, gate, go):
            os.close(descriptor)
    return pid


def _become_agent(launch: layout.Launch, descriptors: tuple[int, int, int], mask: int, gate: int) -> None:
    """The forked child turns into the agent, or leaves a line in `err` and ends with 127. Never returns."""
    try:
        for number, source in enumerate(descriptors):
            os.dup2(source, number)
        for number in _NOT_DEFAULT:
            signal.signal(number, signal.SIG_DFL)
        # A session of its own: `kill 0` in an agent must not reach its holder.
        os.setsid()
        os.umask(mask)
        if not os.read(gate, 1):
            return
        os.closerange(3, os.sysconf("SC_OPEN_MAX"))
        signal.pthread_sigmask(signal.SIG_SETMASK, ())
        os.chdir(launch.cwd)
        os.execvpe(launch.argv[0], launch.argv, launch.env)
    except BaseException as error:
        reason = error.strerror if isinstance(error, OSError) and error.strerror else repr(error)
        where = f" in {launch.cwd}" if not os.path.isdir(launch.cwd) else ""
        os.write(2, f"podium: cannot start {launch.argv[0]}{where}: {reason}\n".encode(errors="replace"))
    finally:
        os._exit(127)


def answer(report: int, line: str) -> None:
    """Say one line to whoever asked for the launch, if anybody did, and hang up."""
    if report < 0:
        return
    with contextlib.suppress(OSError):  # whoever asked has died; the run goes on without them
        os.write(report, line.encode(errors="replace") + b"\n")
    os.close(report)


def write_whole(name: str, data: bytes) -> None:
    """Appears complete or not at all."""
    file = os.open(name + ".new", os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    try:
        os.write(file, data)
    finally:
        os.close(file)
    os.rename(name + ".new", name)
