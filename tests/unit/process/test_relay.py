"""Cutting the input spool: what is relayed, what is obeyed, what is dropped."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from podium.process import relay as relay_module
from podium.process.relay import PIECE, Relay


class Bench:
    """A relay between a spool and a pipe, both in our hands."""

    def __init__(self, path: Path) -> None:
        self.file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND)
        self.agent, stdin = os.pipe()
        os.set_blocking(self.agent, False)
        os.set_blocking(stdin, False)
        self.stdin = stdin
        self.relay = Relay(self.file, stdin)
        self.received = b""
        self.ended = False

    def append(self, data: bytes) -> list[bytes]:
        os.write(self.file, data)
        return self.relay.scan()

    def receive(self) -> bytes:
        """Pump and read until neither side has anything left."""
        while True:
            self.relay.pump()
            try:
                piece = os.read(self.agent, 1 << 20)
            except BlockingIOError:
                return self.received
            self.received += piece
            if not piece:
                self.ended = True
                return self.received

    def close(self) -> None:
        for descriptor in (self.file, self.agent, self.stdin):
            try:
                os.close(descriptor)
            except OSError:
                continue  # closed by the relay or by the test


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    made = Bench(tmp_path / "in")
    yield made
    made.close()


def test_only_whole_lines_are_relayed(bench: Bench) -> None:
    assert bench.append(b"one\ntw") == []
    assert bench.receive() == b"one\n"
    bench.append(b"o\n")
    assert bench.receive() == b"one\ntwo\n"


def test_a_cancelled_line_is_dropped_wherever_it_was_torn(bench: Bench) -> None:
    bench.append(b"good\nhalf a li")
    bench.append(b"\x18\nnext\n")
    bench.append(b"\x18\n")
    assert bench.receive() == b"good\nnext\n"


def test_a_cancelled_control_line_is_not_obeyed(bench: Bench) -> None:
    assert bench.append(b"\x07\x18\n\x0515\x18\n") == []


def test_control_lines_come_back_in_order_and_are_not_relayed(bench: Bench) -> None:
    assert bench.append(b"a\n\x0515\nb\n\x07\n") == [b"\x0515", b"\x07"]
    assert bench.receive() == b"a\nb\n"


def test_control_lines_are_seen_behind_input_that_nobody_reads(bench: Bench) -> None:
    bench.append(b"x" * 1_000_000 + b"\n")
    bench.relay.pump()
    assert bench.relay.stdin >= 0, "the pipe is full and the relay waits for room"
    assert bench.append(b"\x059\n") == [b"\x059"]


def test_close_waits_for_what_was_appended_before_it_and_drops_what_comes_after(bench: Bench) -> None:
    bench.append(b"x" * 200_000 + b"\n")
    bench.relay.pump()
    bench.append(b"before\n\x04\nafter\n")
    assert bench.receive() == b"x" * 200_000 + b"\nbefore\n"
    assert bench.ended
    bench.append(b"much later\n")
    assert bench.receive() == b"x" * 200_000 + b"\nbefore\n"


def test_an_agent_that_hung_up_costs_nothing_more(bench: Bench) -> None:
    os.close(bench.agent)
    bench.append(b"lost\n")
    bench.relay.pump()
    assert bench.relay.stdin == -1
    assert bench.append(b"\x07\nalso lost\n") == [b"\x07"]
    bench.relay.pump()


def test_input_that_was_cut_away_is_skipped(bench: Bench) -> None:
    bench.append(b"x" * 200_000 + b"\n")
    bench.relay.pump()
    os.ftruncate(bench.file, 0)
    os.read(bench.agent, 1 << 20)
    bench.relay.pump()
    assert bench.relay.stdin == -1, "nothing is waiting for room"


def test_one_pump_writes_a_bounded_amount(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(relay_module, "PUMP_LIMIT", 1)
    bench.append(b"x" * (PIECE // 2) + b"\n")
    bench.append(b"\x18\ny\n")
    bench.relay.pump()
    assert os.read(bench.agent, 1 << 20) == b"x" * (PIECE // 2) + b"\n"
    bench.relay.pump()
    assert os.read(bench.agent, 1 << 20) == b"y\n"


def test_lines_longer_than_a_piece_arrive_whole(bench: Bench) -> None:
    lines = [
        bytes([65 + number]) * size for number, size in enumerate((PIECE - 1, PIECE, PIECE + 1, 3 * PIECE))
    ]
    bench.append(b"".join(line + b"\n" for line in lines))
    assert bench.receive() == b"".join(line + b"\n" for line in lines)


LINE = st.one_of(
    st.binary(max_size=40).map(lambda raw: raw.replace(b"\n", b"")),
    st.sampled_from([b"\x07", b"\x0515", b"\x05", b"\x04", b"\x18", b"x\x18", b"\x07\x18", b"", b"\x01odd"]),
)


@given(lines=st.lists(LINE, max_size=20), cuts=st.lists(st.integers(0, 800), max_size=5))
@example(lines=[b"\x0515", b"\x04", b"\x0515", b"late"], cuts=[])
def test_what_is_relayed_does_not_depend_on_how_it_was_written(
    tmp_path_factory: pytest.TempPathFactory, lines: list[bytes], cuts: list[int]
) -> None:
    data = b"".join(line + b"\n" for line in lines)
    alive = [line for line in lines if not line.endswith(b"\x18")]
    close = alive.index(b"\x04") if b"\x04" in alive else len(alive)
    fed = [line for line in alive[:close] if not line or line[0] >= 9]  # nothing more once it is closed
    asked = [line for line in alive if line and line[0] < 9 and len(line) <= 16 and line != b"\x04"]
    bench = Bench(tmp_path_factory.mktemp("relay") / "in")
    controls, written = [], 0
    try:
        for cut in [*sorted(cuts), len(data)]:
            controls += bench.append(data[written : max(cut, written)])
            written = max(cut, written)
            bench.receive()
        assert bench.received == b"".join(line + b"\n" for line in fed)
        assert controls == asked, "a closed input still takes signals and the kill"
    finally:
        bench.close()
