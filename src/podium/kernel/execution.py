"""What running a short program means, so that git/ and worker/ can ask for it without knowing process/."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Protocol

from msgspec import Struct


class Completed(Struct, frozen=True, kw_only=True):
    """A program that ran to its end (or to its deadline)."""

    argv: tuple[str, ...]
    code: int
    """Exit code; -N when signal N ended it."""
    stdout: bytes
    stderr: bytes
    timed_out: bool = False
    truncated: bool = False
    """True when output beyond the limit was dropped (the tail is dropped, the program went on)."""


class Execute(Protocol):
    """Run one program to its end, its whole process tree included.

    argv is a list, never a shell string; `env` is the complete environment. Output beyond
    `limit_bytes` per stream is read and dropped (`truncated`), except that `stdout_path` sends stdout
    to a file, unbounded, and leaves `stdout` empty. After `timeout_s`, or when the caller is cancelled,
    the tree is killed; a timeout is reported by `timed_out`, not raised.
    Raises SpawnFailed when the program cannot be started at all.
    """

    async def __call__(
        self,
        argv: Sequence[str],
        *,
        cwd: Path,
        env: Mapping[str, str],
        stdin: bytes = b"",
        timeout_s: float = 60.0,
        limit_bytes: int = 16 * 1024 * 1024,
        stdout_path: Path | None = None,
    ) -> Completed: ...
