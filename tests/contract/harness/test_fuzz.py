"""No bytes that an agent can print raise in a decoder, whatever they are made of."""

from __future__ import annotations

import os
import random

import pytest

from podium.harness.base import About, Frame, Partial
from podium.harness.registry import HARNESSES, harness_class
from podium.kernel.ids import RunId, TaskId
from podium.testing import harness_conformance as conformance

CASES = int(os.environ.get("PODIUM_TEST_FUZZ_CASES", "20000"))
"""For each harness. A million once in a while: docs/reference/faults.md says when and how."""
PIECES = (
    *(b"\0", b"\xff\xfe", b"\xed\xa0\x80", b"\xef\xbb\xbf", b"\\ud800", b"\\u0000", b"NaN", b"-Infinity"),
    *(b"1e999", b"9" * 5_000, b"[" * 2_000, b'{"a":' * 2_000, b"null", b'"', b"\\", b"{", b"}", b":", b","),
    *(b'"type":"result"', b'"type":', b'"message":', "{}".encode("utf-16")),
)


def mutated(chance: random.Random, line: bytes, others: list[bytes]) -> bytes:
    """A line with up to four things done to it: bits turned, bytes cut, pieces and other lines put in."""
    data = bytearray(line)
    for _ in range(chance.randint(1, 4)):
        place = chance.randrange(len(data) + 1)
        match chance.randrange(5):
            case 0 if data:
                data[place % len(data)] ^= 1 << chance.randrange(8)
            case 1:
                del data[place : place + chance.randint(1, 40)]
            case 2:
                data[place:place] = chance.choice(PIECES)
            case 3:
                other = chance.choice(others)
                start = chance.randrange(len(other) + 1)
                data[place:place] = other[start : start + chance.randint(1, 200)]
            case _:
                data[place:place] = chance.randbytes(chance.randint(1, 8))
    return bytes(data)


@pytest.mark.timeout(1200)
@pytest.mark.parametrize("name", sorted(HARNESSES))
def test_mutated_lines_of_real_agents_are_decoded_or_passed_over(name: str) -> None:
    golden = [found for known in sorted(HARNESSES) for found in conformance.goldens(known)]
    lines = [frame for found in golden for frame in found.frames if len(frame) < 8_000]
    chance = random.Random(20_261_128)
    about = About(task_id=TaskId("task_fuzz"), run_id=RunId("run_fuzz"))
    harness = harness_class(name)(about)  # type: ignore[call-arg]
    state, told = harness.begin(), 0
    for number in range(CASES):
        data = mutated(chance, chance.choice(lines), lines)
        state, facts = harness.decode(state, Frame(data=data, truncated=number % 7 == 0))
        assert all(isinstance(fact, Partial) or fact.run_id == "run_fuzz" for fact in facts), data
        told += len(facts)
        if number % 500 == 499:
            state = harness.begin()
    assert told > CASES // 100, "the lines are still near enough to real ones to say something"
