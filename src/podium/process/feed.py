"""The input spool: the one writer of `in`, and the bell. Every function here may block: call it in a thread.

What an agent was sent is exactly the lines of `in`. A line is recorded by being written; whether its
writer lived on does not matter. Durable against the death of any process, not against loss of power.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
from collections.abc import Iterator
from pathlib import Path

from podium.kernel.errors import InvalidRequest, NotFound, StorageFull, TooLarge
from podium.process import layout

MAX_INPUT_LINE = 64 * 1024 * 1024
_OUT_OF_SPACE = (errno.ENOSPC, errno.EDQUOT)


@contextlib.contextmanager
def fenced_input(run_dir: Path, *, create: bool = False) -> Iterator[int]:
    """Hold the fence of one input spool: yields the descriptor, append and read, exclusively locked.

    Raises NotFound when the run has no spool and `create` is not set.
    """
    flags = os.O_RDWR | os.O_APPEND | os.O_CLOEXEC | (os.O_CREAT if create else 0)
    try:
        spool = os.open(run_dir / layout.INPUT, flags, 0o600)
    except FileNotFoundError:
        raise NotFound(f"{run_dir.name} has no input spool; it was never launched") from None
    try:
        fcntl.flock(spool, fcntl.LOCK_EX)
        yield spool
    finally:
        os.close(spool)


def append_input(run_dir: Path, line: bytes) -> None:
    """Append one line for the agent (the newline may be left out) and ring the bell.

    When this returns the line is recorded and will reach the agent once, however long it takes to read.
    A torn line of a writer that died is cancelled first. Raises InvalidRequest for what is not one line of
    data, TooLarge, NotFound, StorageFull (the line is then cancelled by the next append).
    """
    line = line.removesuffix(b"\n")
    if b"\n" in line:
        raise InvalidRequest("an input line cannot hold a newline")
    if line[:1] and line[0] < layout.FIRST_DATA_BYTE:
        raise InvalidRequest("an input line cannot start with a control byte")
    if line.endswith(layout.CANCEL):
        raise InvalidRequest("an input line cannot end with CAN")
    _append(run_dir, line)


def close_stdin(run_dir: Path) -> None:
    """Let the agent see the end of its input, after everything appended before."""
    _append(run_dir, layout.CLOSE)


def signal_agent(run_dir: Path, number: int) -> None:
    """Have the holder signal the agent process; overtakes input that the agent has not read."""
    _append(run_dir, layout.SIGNAL + str(int(number)).encode())


def order_kill(run_dir: Path) -> None:
    """Have the holder kill the whole tree at once; overtakes input that the agent has not read."""
    _append(run_dir, layout.KILL)


def _append(run_dir: Path, line: bytes) -> None:
    if len(line) > MAX_INPUT_LINE:
        raise TooLarge(f"an input line may hold {MAX_INPUT_LINE} bytes, this one has {len(line)}")
    with fenced_input(run_dir) as spool:
        repair_tail(spool)
        write_all(spool, line + b"\n")
    ring(run_dir)


def repair_tail(spool: int) -> None:
    """End a torn last line so that the holder drops it. Never truncates: the holder may have read it."""
    size = os.fstat(spool).st_size
    if size and os.pread(spool, 1, size - 1) != b"\n":
        write_all(spool, layout.CANCEL + b"\n")


def write_all(spool: int, data: bytes) -> None:
    """Write everything or raise StorageFull."""
    view = memoryview(data)
    try:
        while view:
            view = view[os.write(spool, view) :]
    except OSError as error:
        if error.errno in _OUT_OF_SPACE:
            raise StorageFull from error
        raise


def ring(run_dir: Path) -> None:
    """Make the holder look at its input. Ring once per adoption: the last worker may have died before it did.

    Never fails and never blocks: nobody listening, or a bell already full, needs no ringing.
    """
    with contextlib.suppress(OSError):
        bell = os.open(run_dir / layout.BELL, os.O_WRONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        try:
            os.write(bell, b"!")
        finally:
            os.close(bell)


def sent_lines(run_dir: Path) -> Iterator[tuple[int, bytes]]:
    """Everything the agent was or will be sent: `(offset, line without newline)`, in order.

    Cancelled lines, control lines and a torn tail are left out. No spool: nothing was sent.
    """
    try:
        file = (run_dir / layout.INPUT).open("rb")
    except FileNotFoundError:
        return
    with file:
        offset = 0
        for raw in file:
            line = raw.removesuffix(b"\n")
            data = line != raw and not line.endswith(layout.CANCEL)
            if data and not (line and line[0] < layout.FIRST_DATA_BYTE):
                yield offset, line
            offset += len(raw)
