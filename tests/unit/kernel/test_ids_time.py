from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from podium.kernel.ids import make_id, time_of


@given(st.integers(min_value=0, max_value=2**48 - 1), st.binary(min_size=10, max_size=10))
def test_an_id_remembers_when_it_was_made(at_ms, random):
    assert time_of(make_id("run", at_ms, random)) == at_ms // 1000
