from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from podium.kernel.errors import InvalidRequest
from podium.kernel.ids import KINDS, kind_of, make_id, parse_id

moments = st.integers(min_value=0, max_value=2**48 - 1)
entropy = st.binary(min_size=10, max_size=10)


@given(st.sampled_from(sorted(KINDS)), moments, entropy)
def test_an_id_tells_its_kind_and_parses_only_as_that_kind(kind, at_ms, random):
    made = make_id(kind, at_ms, random)
    assert kind_of(made) == kind
    assert parse_id(kind, made) == made
    other = next(iter(KINDS - {kind}))
    with pytest.raises(InvalidRequest):
        parse_id(other, made)


@given(moments, moments, entropy, entropy)
def test_ids_sort_by_their_time(first, second, a, b):
    if first < second:
        assert make_id("task", first, a) < make_id("task", second, b)


@pytest.mark.parametrize(
    "raw",
    ["", "task_", "task_../../etc", "task_01J", "TASK_" + "0" * 26, "task_" + "u" * 26, "x_" + "0" * 26],
)
def test_what_is_no_id_has_no_kind(raw):
    assert kind_of(raw) is None
