"""Names and formats of a run directory, shared by holder and worker. Standard library only, by contract.

One directory per launch, 0700, outside any sandbox:

| name         | written by | holds                                                                  |
|--------------|------------|------------------------------------------------------------------------|
| `in`         | worker     | input spool, append only; its flock is the fence between writers        |
| `out`, `err` | agent      | output spools, append only; the byte offset is the sequence             |
| `bell`       | worker     | FIFO; a byte in it makes the holder look at `in`                        |
| `lock`       | holder     | POSIX lock for the holder's life: at most one holder per directory      |
| `launch`     | worker     | argv and environment, 0600; the holder removes it before the agent runs |
| `marker`     | worker     | `PODIUM_RUN=…`, by which leftovers of a dead holder are found           |
| `holder`     | holder     | identity line `pid starttime boot_id`, by rename                        |
| `agent`      | holder     | the same of the agent; stands before its program is loaded              |
| `cgroup`     | holder     | path of the run's cgroup v2 leaf, where the machine lets us have one    |
| `exit`       | holder     | how it ended (JSON), by rename, last of all                             |
| `holder.err` | holder     | a traceback, only when the holder itself failed                         |
"""

from __future__ import annotations

import os

INPUT = "in"
OUTPUT = "out"
ERRORS = "err"
BELL = "bell"
LOCK = "lock"
LAUNCH = "launch"
MARKER = "marker"
HOLDER = "holder"
AGENT = "agent"
CGROUP = "cgroup"
EXIT = "exit"
HOLDER_ERRORS = "holder.err"

MARKER_VARIABLE = "PODIUM_RUN"

# Control lines of `in`. A JSON line never starts with a byte below 9, so these cannot be confused with one.
CLOSE = b"\x04"
SIGNAL = b"\x05"
KILL = b"\x07"
CANCEL = b"\x18"
FIRST_DATA_BYTE = 9


class Launch:
    """What a holder needs to start its agent, as it travels in the file `launch`."""

    __slots__ = ("argv", "cwd", "env", "grace_s")

    def __init__(self, cwd: str, argv: list[str], env: dict[str, str], grace_s: float) -> None:
        self.cwd = cwd
        self.argv = argv
        self.env = env
        self.grace_s = grace_s

    def encode(self) -> bytes:
        """NUL-separated fields. Raises ValueError for what the kernel could not pass on anyway."""
        fields = [self.cwd, str(self.grace_s), str(len(self.argv)), *self.argv]
        fields += [f"{name}={value}" for name, value in self.env.items()]
        if not self.argv:
            raise ValueError("argv is empty")
        if any("\0" in field for field in fields):
            raise ValueError("argv, cwd and environment cannot hold NUL")
        if any(not name or "=" in name for name in self.env):
            raise ValueError("the name of a variable is empty or holds '='")
        return b"\0".join(os.fsencode(field) for field in fields)

    @classmethod
    def decode(cls, data: bytes) -> Launch:
        """The inverse of `encode`."""
        cwd, grace, count, *rest = (os.fsdecode(field) for field in data.split(b"\0"))
        argv, pairs = rest[: int(count)], rest[int(count) :]
        env = {name: value for name, _, value in (pair.partition("=") for pair in pairs)}
        return cls(cwd, argv, env, float(grace))
