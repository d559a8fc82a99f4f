"""`bench.host` as a process, ready."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from bench.served import program, scratch
from podium.testing.databases import chosen


@contextmanager
def hosted(rate: int) -> Iterator[tuple[Path, int]]:
    """(its home, its pid) while it serves and takes in `rate` events a second."""
    with scratch() as folder:
        home = folder / "home"
        with program("host", str(home), str(rate), chosen.url(home) or "") as child:
            assert child.stdout is not None
            if child.stdout.readline() != "healthy\n":
                raise RuntimeError("the host did not start")
            yield home, child.pid
            assert child.stdin is not None
            child.stdin.close()
            child.wait(timeout=20)
