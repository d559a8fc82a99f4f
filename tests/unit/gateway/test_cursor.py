from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from podium.gateway import cursor
from podium.kernel.errors import InvalidRequest


@given(st.integers(min_value=0, max_value=(1 << 62) - 1))
def test_a_cursor_comes_back_as_the_number_it_was(seq: int) -> None:
    made = cursor.encode(seq)
    assert len(made) == cursor.LENGTH
    assert cursor.decode(made) == seq


@given(
    st.integers(min_value=0, max_value=(1 << 62) - 1),
    st.integers(min_value=0, max_value=cursor.LENGTH - 1),
    st.sampled_from("abcdefghijklmnopqrstuvwxyz234567"),
)
def test_one_changed_character_is_noticed(seq: int, place: int, other: str) -> None:
    made = cursor.encode(seq)
    damaged = made[:place] + other + made[place + 1 :]
    if damaged == made:
        return
    with pytest.raises(InvalidRequest):
        cursor.decode(damaged)


@given(st.text(max_size=30))
def test_no_text_breaks_it(text: str) -> None:
    try:
        seq = cursor.decode(text)
    except InvalidRequest:
        return
    assert cursor.encode(seq) == text


def test_the_oldest_place_is_told_as_a_cursor() -> None:
    assert cursor.expired(7).details == {"oldest": cursor.encode(7)}
