"""Raw output is in the spool or in a piece at every moment, and whole at the end."""

from __future__ import annotations

import gzip
import os
import tracemalloc

import pytest

from podium.gateway.kept import read_part
from podium.kernel.errors import Unavailable
from podium.worker import archive as module
from podium.worker.archive import OutputArchive


@pytest.fixture
def spool(tmp_path):
    path = tmp_path / "out"
    path.write_bytes(os.urandom(5 * 1024 * 1024) + b"x" * (7 * 1024 * 1024) + b"the end")
    return path


def test_the_pieces_together_are_the_output_to_the_byte(tmp_path, spool):
    expected = spool.read_bytes()
    archive = OutputArchive(spool, tmp_path)
    archive.save(6 * 1024 * 1024)
    assert spool.stat().st_size == len(expected)
    assert spool.read_bytes()[:4096] == b"\0" * 4096, "what is compressed is freed"
    whole, size = archive.finish()
    assert size == len(expected)
    assert gzip.decompress(whole.read_bytes()) == expected


def test_a_restart_goes_on_behind_the_last_whole_piece(tmp_path, spool, monkeypatch):
    expected = spool.read_bytes()
    OutputArchive(spool, tmp_path).save(module.PIECE_BYTES)
    (tmp_path / "out-0000000004194304-0000000008388608.part").write_bytes(b"torn")
    again = OutputArchive(spool, tmp_path)
    assert again.saved_to() == module.PIECE_BYTES
    again.save(9 * 1024 * 1024)
    whole, size = OutputArchive(spool, tmp_path).finish()
    assert size == len(expected)
    assert gzip.decompress(whole.read_bytes()) == expected


def test_an_agent_that_wrote_nothing_leaves_an_empty_file(tmp_path):
    for _ in range(2):
        whole, size = OutputArchive(tmp_path / "out", tmp_path).finish()
        assert (gzip.decompress(whole.read_bytes()), size) == (b"", 0)
        (tmp_path / "out").touch()


def test_output_is_read_wherever_it_is_now(tmp_path, spool):
    expected = spool.read_bytes()
    archive = OutputArchive(spool, tmp_path)
    archive.save(6 * 1024 * 1024)
    seam = module.PIECE_BYTES
    for offset in (
        0,
        1,
        seam - 3,
        seam,
        6 * 1024 * 1024 - 1,
        6 * 1024 * 1024,
        len(expected) - 7,
        len(expected),
    ):
        data, size = archive.read(offset, 10)
        assert size == len(expected)
        assert expected[offset : offset + 10].startswith(data)
        assert data or offset == len(expected)
    with pytest.raises(FileNotFoundError):
        OutputArchive(tmp_path / "err", tmp_path).read(0, 1)


@pytest.mark.parametrize("indexed", [True, False])
def test_any_part_of_what_was_kept_is_read_as_it_was_written(tmp_path, spool, indexed):
    """Also of files that an earlier Podium packed, whose members do not say how long they are."""
    expected = spool.read_bytes()
    whole, _ = OutputArchive(spool, tmp_path).finish()
    if not indexed:
        parts = (expected[: 5 * 1024 * 1024], expected[5 * 1024 * 1024 :])
        whole.write_bytes(b"".join(gzip.compress(part, 3) for part in parts))
    for offset in (0, 4 * 1024 * 1024 - 5, 4 * 1024 * 1024, 9_999_999, len(expected) - 3, len(expected)):
        for limit in (1, 10, 700_000):
            assert read_part(whole, offset, limit) == expected[offset : offset + limit]


def test_a_damaged_file_is_told_and_little_memory_is_used(tmp_path):
    bomb = tmp_path / "bomb.gz"
    bomb.write_bytes(gzip.compress(b"x" * (200 * 1024 * 1024)))
    tracemalloc.start()
    assert read_part(bomb, 150 * 1024 * 1024, 100) == b"x" * 100
    assert tracemalloc.get_traced_memory()[1] < 4 * 1024 * 1024
    tracemalloc.stop()
    bomb.write_bytes(b"no gzip")
    with pytest.raises(Unavailable):
        read_part(bomb, 0, 10)
