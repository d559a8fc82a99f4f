"""What a figure says about itself, and which figures are taken."""

from __future__ import annotations

import json
import struct

import pytest

from bench import figures
from bench.figure import Figure, middle, percentile
from bench.wire import Address, Following, length_of


def figure(value: float, *, at_least: bool = False) -> Figure:
    return Figure(name="x", value=value, unit="ms", floor=2, budget=10, at_least=at_least)


@pytest.mark.parametrize(
    ("value", "at_least", "met"),
    [(9.9, False, True), (10, False, True), (10.1, False, False), (9.9, True, False), (10, True, True)],
)
def test_a_time_must_stay_below_its_budget_and_a_rate_above(value: float, at_least: bool, met: bool) -> None:
    assert figure(value, at_least=at_least).plain()["met"] is met


def test_a_figure_is_printed_beside_its_floor() -> None:
    plain = figure(5).plain()
    assert set(plain) == {"name", "value", "unit", "floor", "ratio", "budget", "at_least", "met"}
    assert plain["ratio"] == 2.5
    assert json.loads(json.dumps(plain)) == plain


def test_a_percentile_is_one_of_the_values() -> None:
    assert percentile([3, 1, 2], 0.5) == 2
    assert percentile([3, 1, 2], 0.95) == 3
    with pytest.raises(ValueError, match="nothing"):
        percentile([], 0.5)


def test_of_several_the_one_with_the_middle_distance_from_its_own_floor_counts() -> None:
    quiet = Figure(name="x", value=10, unit="ms", floor=2, budget=10)
    busy = Figure(name="x", value=30, unit="ms", floor=10, budget=10)
    odd = Figure(name="x", value=12, unit="ms", floor=1, budget=10)
    assert middle([odd, quiet, busy]) is quiet
    assert middle([busy]) is busy


def test_every_figure_has_a_name_of_its_own() -> None:
    names = [name for measurement in figures.MEASUREMENTS for name in measurement.names]
    assert len(set(names)) == len(names) >= 15


def test_only_what_is_wanted_is_taken() -> None:
    assert figures.wanted("idle memory", [])
    assert figures.wanted("idle memory", ["list", "memory"])
    assert not figures.wanted("idle memory", ["list"])
    assert figures.measure(["there is no such figure"]) == []


def test_the_length_of_an_answer_is_read_from_its_head() -> None:
    assert length_of(b"HTTP/1.1 200 OK\r\nContent-Length: 12\r\nX: y") == 12
    assert length_of(b"HTTP/1.1 204 No Content") == 0


def test_a_request_ends_with_its_body() -> None:
    request = Address("127.0.0.1", 1, "secret").request("POST", "/tasks", b"{}")
    assert request.endswith(b"Content-Length: 2\r\n\r\n{}")


@pytest.mark.parametrize("size", [1, 125, 126, 65_535, 65_536])
def test_frames_are_cut_whole_whatever_their_length(size: int) -> None:
    if size < 126:
        head = bytes((0x81, size))
    elif size < 65_536:
        head = b"\x81\x7e" + struct.pack("!H", size)
    else:
        head = b"\x81\x7f" + struct.pack("!Q", size)
    stream = Following.__new__(Following)
    whole = head + b"x" * size
    stream._rest = whole[:-1]
    assert stream._frame() is None
    stream._rest = whole + b"\x81"
    assert stream._frame() == (1, b"x" * size)
    assert stream._rest == b"\x81"
