"""Reading needs bounded memory: measured as the growth of a fresh process's peak."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from podium.process import layout

MAX_GROWTH_KB = 32 * 1024
SHORT_LINES = int(os.environ.get("TEST_SPOOL_LINES", "10000000"))
GIB = 1024 * 1024 * 1024

READ = """
import resource, sys, pathlib
sys.path.append(sys.argv[1])
from podium.process.spool import SpoolReader
path = pathlib.Path(sys.argv[2])
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
frames = kept = cut = 0
with SpoolReader(path) as reader:
    while True:
        batch = reader.read(final=True)
        for frame in batch.frames:
            frames += 1
            kept += len(frame.data)
            cut += frame.truncated
        if not batch.more:
            break
    assert reader.offset == path.stat().st_size
print(frames, kept, cut, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)
"""


def read_in_fresh_process(spool: Path) -> tuple[int, int, int, int]:
    source = str(Path(layout.__file__).parents[2])
    told = subprocess.check_output([sys.executable, "-c", READ, source, str(spool)], timeout=100)
    frames, kept, truncated, growth_kb = (int(word) for word in told.split())
    return frames, kept, truncated, growth_kb


@pytest.mark.parametrize("ending", [b"\nnext\n", b""])
def test_a_line_of_a_gibibyte_becomes_one_truncated_frame(tmp_path: Path, ending: bytes) -> None:
    spool = tmp_path / "out"
    with spool.open("wb") as file:
        file.truncate(GIB)
        file.seek(GIB)
        file.write(ending)
    frames, kept, truncated, growth_kb = read_in_fresh_process(spool)
    assert (frames, kept, truncated) == (2 if ending else 1, 8 * 1024 * 1024 + len(ending.strip()), 1)
    assert growth_kb <= MAX_GROWTH_KB


def test_ten_million_short_lines_are_read_in_bounded_memory(tmp_path: Path) -> None:
    spool = tmp_path / "out"
    with spool.open("wb") as file:
        for _ in range(SHORT_LINES // 100_000):
            file.write(b"short\n" * 100_000)
    frames, kept, truncated, growth_kb = read_in_fresh_process(spool)
    assert (frames, kept, truncated) == (SHORT_LINES, SHORT_LINES * 5, 0)
    assert growth_kb <= MAX_GROWTH_KB
