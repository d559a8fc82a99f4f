"""Which process is meant: start time and boot id beside the pid, signals only through a verified pidfd."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path

import anyio

from podium.process import procfs
from podium.process.base import ProcessIdentity

MAX_IDENTITY_BYTES = 256


def identify(pid: int) -> ProcessIdentity | None:
    """The identity of a living process; None when there is none (a zombie is none)."""
    started = procfs.running_since(pid)
    return None if started is None else ProcessIdentity(pid=pid, started=started, boot_id=procfs.boot_id())


def read_identity(path: Path) -> ProcessIdentity | None:
    """What a run directory says; None when the file is missing or not an identity."""
    try:
        with path.open("rb") as file:
            pid, started, boot = file.read(MAX_IDENTITY_BYTES).decode("ascii").split()
        return ProcessIdentity(pid=int(pid), started=int(started), boot_id=boot)
    except (FileNotFoundError, ValueError):
        return None


def is_alive(identity: ProcessIdentity) -> bool:
    """True when exactly this process runs. A zombie, another start time or another boot: dead."""
    return (
        identity.pid > 0
        and procfs.running_since(identity.pid) == identity.started
        and procfs.boot_id() == identity.boot_id
    )


def open_pidfd(identity: ProcessIdentity) -> int | None:
    """A descriptor that can only ever mean this process; None when it is gone. The caller closes it."""
    try:
        descriptor = os.pidfd_open(identity.pid)
    except (ProcessLookupError, ValueError):
        return None
    # Verified after opening: from here on the pid cannot slip to another process under our hands.
    if is_alive(identity):
        return descriptor
    os.close(descriptor)
    return None


def signal_process(identity: ProcessIdentity, number: int) -> bool:
    """Signal exactly this process; False when it is gone or not ours to signal. Never hits another."""
    descriptor = open_pidfd(identity)
    if descriptor is None:
        return False
    try:
        signal.pidfd_send_signal(descriptor, number)
    except (ProcessLookupError, PermissionError):
        return False
    finally:
        os.close(descriptor)
    return True


async def wait_gone(identity: ProcessIdentity, timeout_s: float) -> bool:
    """Wait until this process has ended; False after `timeout_s`. Works for processes not our children."""
    descriptor = open_pidfd(identity)
    if descriptor is None:
        return True
    try:
        with anyio.move_on_after(timeout_s):
            await anyio.wait_readable(descriptor)
            return True
        return False
    finally:
        os.close(descriptor)


def age_s(identity: ProcessIdentity) -> float:
    """Seconds since the process started, on the clock that its start was taken from: no wall clock."""
    started_s = identity.started / os.sysconf("SC_CLK_TCK")
    return max(0.0, time.clock_gettime(time.CLOCK_BOOTTIME) - started_s)
