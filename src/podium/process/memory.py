"""How this process gives memory back: one call at the start; nothing where the allocator is not glibc."""

from __future__ import annotations

import contextlib
import ctypes

_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD, _M_ARENA_MAX = -1, -3, -8
ARENAS = 2
LARGE_BYTES = 256 * 1024
KEEP_BYTES = 1024 * 1024


def give_memory_back() -> None:
    """Large blocks go back to the system at once, and few arenas are kept.

    By default glibc makes an arena per thread and, having once freed an 8 MiB block, keeps blocks of that
    size: after one agent with a line of 1 GiB the daemon stayed 30 MiB larger.
    """
    with contextlib.suppress(OSError, AttributeError):
        libc = ctypes.CDLL(None)
        libc.mallopt(_M_ARENA_MAX, ARENAS)
        libc.mallopt(_M_MMAP_THRESHOLD, LARGE_BYTES)
        libc.mallopt(_M_TRIM_THRESHOLD, KEEP_BYTES)
