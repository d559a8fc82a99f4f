"""Whole frames, once, in order, from any offset, whatever the pieces and the limits."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from podium.process.base import Batch, Frame
from podium.process.spool import SpoolReader, read_tail

HUGE = 1 << 20


def frame(offset: int, data: bytes, *, end: int | None = None, truncated: bool = False) -> Frame:
    return Frame(
        offset=offset, end=offset + len(data) + 1 if end is None else end, data=data, truncated=truncated
    )


@pytest.fixture
def spool(tmp_path: Path) -> Path:
    path = tmp_path / "out"
    path.write_bytes(b"")
    return path


def append(spool: Path, data: bytes) -> None:
    with spool.open("ab") as file:
        file.write(data)


def drain(reader: SpoolReader, *, final: bool = False) -> list[Frame]:
    frames: list[Frame] = []
    while True:
        batch = reader.read(final=final)
        frames += batch.frames
        if not batch.more:
            return frames


def test_whole_lines_come_once_with_their_place(spool: Path) -> None:
    with SpoolReader(spool) as reader:
        append(spool, b"one\n\nthree")
        assert reader.read() == Batch(frames=(frame(0, b"one"), frame(4, b"")), more=False)
        assert reader.read() == Batch(frames=(), more=False)
        append(spool, b" and more\n")
        assert reader.read().frames == (frame(5, b"three and more"),)
        assert reader.offset == 20


def test_a_missing_spool_is_empty_until_it_appears(tmp_path: Path) -> None:
    with SpoolReader(tmp_path / "later") as reader:
        assert reader.read(final=True) == Batch(frames=(), more=False)
        append(tmp_path / "later", b"here\n")
        assert reader.read().frames == (frame(0, b"here"),)


def test_reading_goes_on_at_the_end_of_any_frame(spool: Path) -> None:
    append(spool, b"a\nbb\nccc\n")
    with SpoolReader(spool) as reader:
        everything = drain(reader)
    for position, last in enumerate(everything):
        with SpoolReader(spool, last.end) as again:
            assert drain(again) == everything[position + 1 :]


def test_a_torn_tail_is_delivered_only_when_the_writer_is_gone(spool: Path) -> None:
    append(spool, b"whole\nhal")
    with SpoolReader(spool) as reader:
        assert drain(reader) == [frame(0, b"whole")]
        assert reader.read(final=True).frames == (frame(6, b"hal", end=9, truncated=True),)
        assert reader.read(final=True) == Batch(frames=(), more=False)
        assert reader.offset == 9


def test_a_line_beyond_the_limit_keeps_its_beginning_and_its_true_end(spool: Path) -> None:
    append(spool, b"x" * 25 + b"\nshort\n" + b"y" * 11 + b"\n" + b"z" * 10 + b"\n")
    with SpoolReader(spool, max_line=10) as reader:
        assert drain(reader) == [
            frame(0, b"x" * 10, end=26, truncated=True),
            frame(26, b"short"),
            frame(32, b"y" * 10, end=44, truncated=True),
            frame(44, b"z" * 10),
        ]


def test_a_line_beyond_the_limit_may_arrive_piece_by_piece(spool: Path) -> None:
    with SpoolReader(spool, max_line=4) as reader:
        for letter in b"abcdefgh":
            append(spool, bytes([letter]))
            assert reader.read() == Batch(frames=(), more=False)
        append(spool, b"\n")
        assert reader.read().frames == (frame(0, b"abcd", end=9, truncated=True),)


def test_one_call_delivers_no_more_than_its_limits_and_says_that_there_is_more(spool: Path) -> None:
    append(spool, b"a\n" * 10)
    with SpoolReader(spool, max_frames=4) as reader:
        batches = [reader.read() for _ in range(3)]
        assert [len(batch.frames) for batch in batches] == [4, 4, 2]
        assert [batch.more for batch in batches] == [True, True, False]
    with SpoolReader(spool, max_bytes=6) as reader:
        assert [len(reader.read().frames) for _ in range(4)] == [3, 3, 3, 1]


def test_a_full_batch_at_the_very_end_promises_nothing(spool: Path) -> None:
    append(spool, b"a\nb\n")
    with SpoolReader(spool, max_frames=2) as reader:
        assert not reader.read().more


def test_a_full_batch_still_delivers_the_torn_tail_in_the_next_one(spool: Path) -> None:
    append(spool, b"a\nb\nc")
    with SpoolReader(spool, max_frames=2) as reader:
        first = reader.read(final=True)
        assert (len(first.frames), first.more) == (2, True)
        second = reader.read(final=True)
        assert second == Batch(frames=(frame(4, b"c", end=5, truncated=True),), more=False)


def test_a_spool_that_was_cut_is_reported_and_never_trusted_again(spool: Path) -> None:
    append(spool, b"one\ntwo\n")
    with SpoolReader(spool) as reader:
        drain(reader)
        spool.write_bytes(b"new\n")
        assert reader.read() == Batch(frames=(), more=False, cut=True)
        append(spool, b"grown beyond where it was\n")
        assert reader.read(final=True) == Batch(frames=(), more=False, cut=True)


def test_a_spool_cut_while_nobody_read_is_noticed_by_the_next_reader(spool: Path) -> None:
    append(spool, b"one\n")
    with SpoolReader(spool, 8) as reader:
        assert reader.read().cut


def test_bytes_are_bytes(spool: Path) -> None:
    odd = b"\x00\xff\r\x1b[0m\xc3"
    append(spool, odd + b"\n")
    with SpoolReader(spool) as reader:
        assert drain(reader) == [frame(0, odd)]


@given(
    lines=st.lists(st.binary(max_size=30).map(lambda raw: raw.replace(b"\n", b"")), max_size=20),
    tail=st.binary(max_size=20).map(lambda raw: raw.replace(b"\n", b"")),
    cuts=st.lists(st.integers(0, 700), max_size=6),
    max_line=st.integers(1, 40),
    max_frames=st.integers(1, 5),
    max_bytes=st.integers(1, 50),
)
def test_frames_do_not_depend_on_how_the_bytes_arrive_or_are_asked_for(
    tmp_path_factory: pytest.TempPathFactory,
    lines: list[bytes],
    tail: bytes,
    cuts: list[int],
    max_line: int,
    max_frames: int,
    max_bytes: int,
) -> None:
    data = b"".join(line + b"\n" for line in lines) + tail
    expected, at = [], 0
    for line in lines:
        end = at + len(line) + 1
        expected.append(frame(at, line[:max_line], end=end, truncated=len(line) > max_line))
        at = end
    if tail:
        expected.append(frame(at, tail[:max_line], end=len(data), truncated=True))

    spool = tmp_path_factory.mktemp("spool") / "out"
    got, written = [], 0
    with SpoolReader(spool, max_line=max_line, max_frames=max_frames, max_bytes=max_bytes) as reader:
        for cut in [*sorted(cuts), len(data)]:
            append(spool, data[written : max(cut, written)])
            written = max(cut, written)
            got += drain(reader)
        got += drain(reader, final=True)
    assert got == expected


def test_the_tail_of_a_file_is_bounded(spool: Path) -> None:
    append(spool, b"x" * HUGE + b"end")
    assert read_tail(spool, 5) == b"xxend"
    assert read_tail(spool, HUGE * 2) == b"x" * HUGE + b"end"
    assert read_tail(spool.parent / "missing") == b""
