"""Disk space given back and reserved, without moving a single offset."""

from __future__ import annotations

import ctypes
import errno
import os
from pathlib import Path

import pytest

from podium.kernel.errors import StorageFull
from podium.process import space
from podium.process.space import punch, reserve
from podium.process.spool import SpoolReader

PAGE = os.sysconf("SC_PAGESIZE")


@pytest.fixture
def spool(tmp_path: Path) -> Path:
    path = tmp_path / "out"
    path.write_bytes(b"x" * 99 + b"\n")
    return path


def grow(spool: Path, lines: int) -> None:
    with spool.open("ab") as file:
        file.write((b"y" * 99 + b"\n") * lines)


def blocks(spool: Path) -> int:
    return spool.stat().st_blocks * 512


def test_punching_frees_space_and_keeps_every_offset(spool: Path) -> None:
    grow(spool, 10_000)
    with SpoolReader(spool) as reader:
        half = reader.read().frames[-1].end
        before, size = blocks(spool), spool.stat().st_size
        freed = punch(spool, half)
        if not freed:
            pytest.skip("this file system cannot punch holes")
        assert (freed, spool.stat().st_size) == (half - half % PAGE, size)
        assert blocks(spool) <= before - freed + 2 * PAGE
        grow(spool, 1)
        first, *_ = reader.read().frames
        assert (first.offset, first.data) == (half, b"y" * 99)
    with SpoolReader(spool, half) as again:
        assert again.read().frames[0] == first


def test_less_than_a_page_is_not_punched(spool: Path) -> None:
    assert punch(spool, 0) == 0
    assert punch(spool, PAGE - 1) == 0
    assert spool.read_bytes() == b"x" * 99 + b"\n"


def test_a_reserve_takes_space_and_changes_neither_size_nor_appends(spool: Path) -> None:
    before = blocks(spool)
    if not reserve(spool, 1024 * 1024):
        pytest.skip("this file system cannot reserve")
    assert spool.stat().st_size == 100
    assert blocks(spool) >= before + 1024 * 1024
    grow(spool, 1)
    assert spool.read_bytes() == b"x" * 99 + b"\n" + b"y" * 99 + b"\n"


def test_a_reserve_that_does_not_fit_is_a_full_disk(spool: Path) -> None:
    with pytest.raises((StorageFull, OSError)) as refusal:
        reserve(spool, 1 << 52)
    assert isinstance(refusal.value, StorageFull) or refusal.value.errno == 27, (
        "EFBIG: beyond the file system"
    )


def test_what_has_no_blocks_at_all_is_an_error(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "fifo")
    reader = os.open(tmp_path / "fifo", os.O_RDONLY | os.O_NONBLOCK)
    try:
        with pytest.raises(OSError, match="Illegal seek"):
            punch(tmp_path / "fifo", PAGE)
    finally:
        os.close(reader)


def test_where_the_file_system_cannot_nothing_happens(spool: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> int:
        ctypes.set_errno(errno.EOPNOTSUPP)
        return -1

    monkeypatch.setattr(space._libc, "fallocate", refuse)
    assert punch(spool, PAGE) == 0
    assert not reserve(spool)
