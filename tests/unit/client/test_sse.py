from __future__ import annotations

from podium.client.sse import messages


def read(text: str) -> list[tuple[str, str, str]]:
    return [(message.kind, message.data, message.id) for message in messages(text.split("\n"))]


def test_a_message_ends_at_an_empty_line_and_keeps_the_last_id() -> None:
    text = 'id: a\ndata: {"x": 1}\n\ndata: two\ndata: lines\n\n'
    assert read(text) == [("message", '{"x": 1}', "a"), ("message", "two\nlines", "a")]


def test_an_id_alone_moves_the_cursor_once() -> None:
    assert read("retry: 5\nid: a\n\n: still here\nid: a\n\nid: b\n\n") == [
        ("message", "", "a"),
        ("message", "", "b"),
    ]


def test_a_kind_belongs_to_one_message_only() -> None:
    assert [kind for kind, _, _ in read("event: error\ndata: 1\n\ndata: 2\n\n")] == ["error", "message"]


def test_what_was_cut_off_is_dropped() -> None:
    assert read("data: whole\n\nid: b\ndata: half") == [("message", "whole", "")]


def test_one_space_after_the_colon_is_not_part_of_the_data() -> None:
    assert read("data:x\n\ndata:  y\n\n") == [("message", "x", ""), ("message", " y", "")]
