"""Raw output is in the spool or in a piece at every moment, and whole at the end."""

from __future__ import annotations

import gzip
import os

import pytest

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
    whole = archive.finish()
    assert whole is not None
    assert gzip.decompress(whole.read_bytes()) == expected


def test_a_restart_goes_on_behind_the_last_whole_piece(tmp_path, spool, monkeypatch):
    expected = spool.read_bytes()
    OutputArchive(spool, tmp_path).save(module.PIECE_BYTES)
    (tmp_path / "out-0000000004194304-0000000008388608.part").write_bytes(b"torn")
    again = OutputArchive(spool, tmp_path)
    assert again.saved_to() == module.PIECE_BYTES
    again.save(9 * 1024 * 1024)
    whole = OutputArchive(spool, tmp_path).finish()
    assert whole is not None
    assert gzip.decompress(whole.read_bytes()) == expected


def test_an_agent_that_wrote_nothing_leaves_no_artifact(tmp_path):
    assert OutputArchive(tmp_path / "out", tmp_path).finish() is None
    (tmp_path / "out").touch()
    assert OutputArchive(tmp_path / "out", tmp_path).finish() is None
