"""The mischief of the scripted agent is real: floods are as long, children as stubborn as they say."""

from __future__ import annotations

import contextlib
import os
import select
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from .conftest import Bench

linux_only = pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="reads /proc")


def flooded(bench: Bench, **fields: Any) -> bytes:
    """What a flood step writes between the first frame and the last."""
    agent = bench.start({"id": "f", "do": "flood", **fields})
    assert agent.process.stdout is not None
    written = agent.process.stdout.read()
    assert agent.process.wait(30) == 0
    _init, _, rest = written.partition(b"\n")
    return rest[: rest.rindex(b'{"type":"result"')]


def test_many_short_lines(bench: Bench) -> None:
    assert flooded(bench, kind="lines", lines=100_001, bytes_per_line=3) == b"xxx\n" * 100_001


def test_many_frames(bench: Bench) -> None:
    assert flooded(bench, kind="says", lines=3, bytes_per_line=1) == b'{"type": "say", "text": "x"}\n' * 3


def test_one_long_line(bench: Bench) -> None:
    assert flooded(bench, kind="line", bytes=5_000_001) == b"x" * 5_000_001 + b"\n"


def test_bytes_that_are_no_text(bench: Bench) -> None:
    assert flooded(bench, kind="binary", bytes=512) == bytes(range(256)) * 2 + b"\n"
    bench.journal.unlink()
    written = flooded(bench, kind="invalid_utf8")
    with pytest.raises(UnicodeDecodeError):
        written.decode()


def test_json_deeper_than_any_parser_goes(bench: Bench) -> None:
    assert flooded(bench, kind="deep_json", depth=100_000) == b"[" * 100_000 + b"]" * 100_000 + b"\n"


def test_a_flood_on_stderr_leaves_stdout_alone(bench: Bench) -> None:
    assert flooded(bench, kind="lines", lines=10, stream="stderr") == b""


def test_a_reader_that_went_away_ends_it_quietly(bench: Bench) -> None:
    agent = bench.start({"id": "f", "do": "flood", "kind": "line", "bytes": 10_000_000})
    assert agent.process.stdout is not None
    assert agent.process.stderr is not None
    agent.process.stdout.close()
    assert agent.process.stderr.read() == b""
    assert agent.process.wait(30) == 1


@pytest.fixture
def children(bench: Bench) -> Iterator[Any]:
    """Fork children by traits; they are killed after the test."""
    pids: list[int] = []

    def fork(*traits: list[str]) -> list[int]:
        step = {"id": "f", "do": "fork", "seconds": 60, **({"children": traits} if traits else {})}
        agent = bench.start(step, {"id": "h", "do": "hang"})
        output = agent.read_until("tool_return")["output"]
        pids.extend(int(pid) for pid in output.split())
        return pids

    yield fork
    for pid in pids:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)


def stat(pid: int) -> list[str]:
    """Fields of /proc/PID/stat from the state on: state, parent, group, session …"""
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()


@linux_only
def test_the_usual_six_children_stay(children: Any) -> None:
    pids = children()
    assert len(set(pids)) == 6
    assert {stat(pid)[0] for pid in pids} <= {"S", "R"}


@linux_only
def test_a_double_forked_child_has_another_parent_and_its_own_session(bench: Bench, children: Any) -> None:
    plain, away = children([], ["double_fork", "setsid"])
    agent = bench.started[0].process.pid
    assert int(stat(plain)[1]) == agent
    assert int(stat(away)[1]) != agent
    assert stat(plain)[3] == stat(agent)[3] != stat(away)[3]


@linux_only
def test_a_child_with_a_clean_environment_cannot_be_found_by_its_environment(children: Any) -> None:
    plain, clean = children([], ["clean_env"])
    assert b"PODIUM_RUN=run_1" in Path(f"/proc/{plain}/environ").read_bytes()
    assert Path(f"/proc/{clean}/environ").read_bytes() == b""


@linux_only
def test_a_child_holds_the_output_open_unless_it_closed_everything(children: Any) -> None:
    holding, closed = children([], ["close_fds"])
    assert os.path.exists(f"/proc/{holding}/fd/1")
    assert not os.path.exists(f"/proc/{closed}/fd/1")


@linux_only
def test_a_child_that_ignores_term_outlives_it(children: Any) -> None:
    stubborn, meek = children(["double_fork", "ignore_term"], ["double_fork"])
    gone = os.pidfd_open(meek)
    for pid in (stubborn, meek):
        os.kill(pid, signal.SIGTERM)
    try:
        # Not our child: whoever adopted it may be slow to reap it, so its end is seen through the pidfd.
        assert select.select([gone], [], [], 10)[0]
    finally:
        os.close(gone)
    assert stat(stubborn)[0] in {"S", "R"}


def test_a_hang_that_ignores_everything_needs_a_kill(bench: Bench) -> None:
    ignore = ["term", "eof", "interrupt"]
    agent = bench.start({"id": "h", "do": "hang", "ignore": ignore})
    agent.read_until("tool_call")
    agent.process.terminate()
    agent.send('{"type": "interrupt"}')
    assert agent.process.stdin is not None
    agent.process.stdin.close()
    gone = os.pidfd_open(agent.process.pid)
    try:
        assert not select.select([gone], [], [], 0.2)[0]
    finally:
        os.close(gone)
    agent.process.kill()
    assert agent.process.wait(30) == -signal.SIGKILL
