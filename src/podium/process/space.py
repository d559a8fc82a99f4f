"""Disk space of spools: giving back what was consumed, reserving what will be written. Linux fallocate."""

from __future__ import annotations

import ctypes
import errno
import os
from pathlib import Path

from podium.kernel.errors import StorageFull

RESERVE_BYTES = 1024 * 1024
_KEEP_SIZE = 0x01
_PUNCH_HOLE = 0x02
_UNSUPPORTED = (errno.EOPNOTSUPP, errno.ENOSYS, errno.EINVAL)
_libc = ctypes.CDLL(None, use_errno=True)


def punch(path: Path, upto: int) -> int:
    """Free the blocks before `upto`, rounded down to whole pages; returns how many bytes are now a hole.

    Offsets and size stay, appends go on, the hole reads as NUL: punch only what has been journalled.
    0 on file systems that cannot. Raises OSError when the disk fails.
    """
    length = upto - upto % os.sysconf("SC_PAGESIZE")
    return length if length > 0 and _allocate(path, _PUNCH_HOLE | _KEEP_SIZE, 0, length) else 0


def reserve(path: Path, length: int = RESERVE_BYTES) -> bool:
    """Reserve blocks behind the end of a spool, so that its writer outlasts a disk that fills up.

    The size does not change. False on file systems that cannot; raises StorageFull when there is no room.
    """
    return _allocate(path, _KEEP_SIZE, path.stat().st_size, length)


def _allocate(path: Path, mode: int, offset: int, length: int) -> bool:
    file = os.open(path, os.O_WRONLY | os.O_CLOEXEC)
    try:
        # Not os.posix_fallocate: it knows no modes, and where unsupported it writes zeros instead.
        failed = _libc.fallocate(file, mode, ctypes.c_int64(offset), ctypes.c_int64(length))
        code = ctypes.get_errno() if failed else 0
    finally:
        os.close(file)
    if code in (errno.ENOSPC, errno.EDQUOT):
        raise StorageFull(f"no room for {length} bytes more behind {path.name}")
    if code and code not in _UNSUPPORTED:
        raise OSError(code, os.strerror(code), str(path))
    return not code
