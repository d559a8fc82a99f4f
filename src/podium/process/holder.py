"""The holder: the small process between an agent and its spools. It outlives us and needs nobody.

Standard library only, a few megabytes, one per launch. It is a subreaper in a session of its own, feeds
the agent's stdin from `in`, lets stdout and stderr be appended to `out` and `err`, and when the agent has
ended it ends the agent's whole tree and writes `exit`. It parses no frame and talks to nobody. SIGTERM to
it means the same as a kill line: everything below dies, `exit` is still written.
"""

from __future__ import annotations

import contextlib
import ctypes
import errno
import fcntl
import os
import select
import signal
import time

from podium.process import cgroup, layout, procfs
from podium.process.agent import HANDLED, IGNORED, answer, start_agent, write_whole
from podium.process.relay import Relay

NET_S = 5.0
"""Safety net behind the bell and SIGCHLD: an input line whose bell was lost is found after this long."""
KILL_LIMIT_S = 10.0
"""How long KILL is repeated before what cannot be killed (setuid, uninterruptible) is left and counted."""
KILL_ROUND_S = 0.01
PR_SET_CHILD_SUBREAPER = 36

_libc = ctypes.CDLL(None, use_errno=True)


def get_ready(keep: set[int]) -> int:
    """Turn this process into one that can hold a run; returns the descriptor that signals wake.

    Own session, /dev/null as 0-2, nothing else open but `keep`, signals installed, subreaper. Separate from
    `hold`, because the template does this ahead of time.
    """
    if os.getpid() != os.getsid(0):
        with contextlib.suppress(PermissionError):  # run by hand, as the leader of a shell's job
            os.setsid()
    null = os.open(os.devnull, os.O_RDWR)
    for number in (0, 1, 2):
        os.dup2(null, number)
    first = 3
    for kept in sorted(keep):
        os.closerange(first, kept)
        first = kept + 1
    os.closerange(first, os.sysconf("SC_OPEN_MAX"))
    if _libc.prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0):
        raise OSError(ctypes.get_errno(), "cannot become a subreaper")
    return _install_signals()


def _install_signals() -> int:
    wake, write_end = os.pipe()
    os.set_blocking(wake, False)
    os.set_blocking(write_end, False)
    signal.set_wakeup_fd(write_end, warn_on_full_buffer=False)
    # Whoever started us may have blocked signals; ours would then never come.
    signal.pthread_sigmask(signal.SIG_SETMASK, ())
    for number in IGNORED:
        signal.signal(number, signal.SIG_IGN)
    for number in HANDLED:
        signal.signal(number, lambda *_: None)
    return wake


def hold(run_dir: str, wake: int, report: int = -1, taken: int = -1, leaf: str = "") -> None:
    """Hold one run from start to end, in a process made ready; returns when `exit` stands.

    `report` is a descriptor on which one line says what became of the start: `held` (the agent exists and
    is named), `taken` (another holder has or had this run) or `error TEXT`. It and `taken` are closed once
    that is said. The agent is born into the cgroup `leaf`.
    """
    mask = os.umask(0o077)
    lock = -1
    try:
        os.chdir(run_dir)
        lock = _take_run()
        if lock < 0:
            answer(report, "taken")
            return
        holder = _Holder(wake, leaf)
        holder.start(mask)
    except (OSError, ValueError) as error:
        # Before the answer: whoever launches again at once must not find the run held by a dying process.
        if lock >= 0:
            os.close(lock)
        answer(report, f"error {error}")
        raise
    answer(report, "held")
    if taken >= 0:
        os.close(taken)
    try:
        holder.run()
    except BaseException:
        _note_own_failure()
        raise


def _take_run() -> int:
    """The run's lock, held until we die; -1 when the run has or had another holder."""
    lock = os.open(layout.LOCK, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        # A POSIX lock names its holder to F_GETLK, is not inherited by the agent, and ends with us.
        fcntl.lockf(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except (BlockingIOError, PermissionError):
        return -1
    if os.path.exists(layout.HOLDER) or os.path.exists(layout.EXIT):
        return -1
    return lock


def _note_own_failure() -> None:
    import traceback  # only here: it is large

    with open(layout.HOLDER_ERRORS, "a", encoding="utf-8") as file:
        traceback.print_exc(file=file)


class _Holder:
    """The state of one held run. Everything is relative to the run directory, which is our cwd."""

    def __init__(self, wake: int, leaf: str) -> None:
        with open(layout.LAUNCH, "rb") as file:
            self._launch = layout.Launch.decode(file.read())
        # Open for both directions: a FIFO without a writer would be readable (end of file) for ever.
        self._bell = os.open(layout.BELL, os.O_RDWR | os.O_NONBLOCK)
        self._spool = os.open(layout.INPUT, os.O_RDONLY)
        self._wake = wake
        self._leaf = leaf
        self._status: int | None = None
        self._killed = False
        self._childless = False

    def start(self, mask: int) -> None:
        """Start the agent. When that fails nothing has happened and the run may be launched again."""
        # The environment may hold secrets: they leave the disk before the agent exists.
        os.unlink(layout.LAUNCH)
        write_whole(layout.HOLDER, procfs.identity_line(os.getpid()))
        try:
            if self._leaf:
                write_whole(layout.CGROUP, os.fsencode(self._leaf))
            stdin, feed = os.pipe()
            os.set_blocking(feed, False)
            self._agent = start_agent(self._launch, stdin, mask, self._leaf)
        except OSError:
            os.unlink(layout.HOLDER)
            raise
        self._relay = Relay(self._spool, feed)

    def run(self) -> None:
        """Relay until the agent has ended or a kill is ordered; then sweep and write `exit`."""
        while self._status is None and not self._killed:
            self._obey()
            self._relay.pump()
            self._reap()
            if self._status is None and not self._killed:
                self._wait(NET_S)
        left, survivors = self._sweep()
        self._write_exit(left, survivors)

    def _wait(self, seconds: float) -> None:
        """Until the bell, a signal, or room in the agent's stdin; `seconds` at most."""
        poll = select.poll()
        poll.register(self._wake, select.POLLIN)
        poll.register(self._bell, select.POLLIN)
        if self._relay.stdin >= 0:
            poll.register(self._relay.stdin, select.POLLOUT)
        ready = [number for number, _ in poll.poll(seconds * 1000)]
        if self._bell in ready:
            os.read(self._bell, 4096)
        if self._wake in ready and signal.SIGTERM in os.read(self._wake, 4096):
            self._killed = True

    def _obey(self) -> None:
        for line in self._relay.scan():
            if line == layout.KILL:
                self._killed = True
            elif line.startswith(layout.SIGNAL) and self._status is None:
                try:
                    # The agent is our unreaped child, so its pid cannot have been given to another.
                    os.kill(self._agent, int(line[1:]))
                except (ValueError, OSError):
                    continue  # not a signal number, or not ours to signal: nothing to obey

    def _reap(self) -> None:
        while True:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                self._childless = True
                return
            if not pid:
                return
            if pid == self._agent:
                self._status = status

    def _sweep(self) -> tuple[int, int]:
        """End every descendant: TERM, grace, KILL. Returns how many there were beside the agent, and are.

        Orphans come to us because we are a subreaper, so "no child left" means that the tree is gone.
        """
        self._reap()
        below = [pid for pid in procfs.descendants(os.getpid()) if pid != self._agent]
        if not self._killed:
            for pid in below:
                # A stopped process would not see the TERM before the grace has passed.
                _send(pid, signal.SIGTERM)
                _send(pid, signal.SIGCONT)
            self._wait_childless(self._launch.grace_s)
        if self._leaf and not self._childless:
            cgroup.kill(self._leaf)
        give_up = time.monotonic() + KILL_LIMIT_S
        while not self._childless and time.monotonic() < give_up:
            for pid in procfs.descendants(os.getpid()):
                _send(pid, signal.SIGKILL)
            self._wait_childless(KILL_ROUND_S, until_killed=False)
        return len(below), len(procfs.descendants(os.getpid())) if not self._childless else 0

    def _wait_childless(self, seconds: float, *, until_killed: bool = True) -> None:
        end = time.monotonic() + seconds
        while True:
            self._reap()
            remaining = end - time.monotonic()
            if self._childless or remaining <= 0 or (until_killed and self._killed):
                return
            self._wait(min(remaining, NET_S))
            self._obey()

    def _write_exit(self, left: int, survivors: int) -> None:
        code = os.waitstatus_to_exitcode(self._status) if self._status is not None else -signal.SIGKILL
        text = (
            f'{{"code": {code}, "left": {left}, "survivors": {survivors}, '
            f'"out_size": {os.stat(layout.OUTPUT).st_size}, "at": {time.time():.6f}}}\n'
        )
        while True:
            try:
                write_whole(layout.EXIT, text.encode())
                return
            except OSError as error:
                if error.errno not in (errno.ENOSPC, errno.EDQUOT, errno.EIO):
                    raise
                # Disk full: this line is the only truth about the end, so it waits for room.
                self._wait(NET_S)


def _send(pid: int, number: int) -> None:
    try:
        os.kill(pid, number)
    except (ProcessLookupError, PermissionError):
        return
