"""A follower's mailbox for text while it is being said: bounded, and each piece once."""

from __future__ import annotations

import msgspec
import pytest

from podium.bus.messages import Partials
from podium.gateway.hub import Hub
from podium.gateway.partials import MAX_WAITING, MAX_WAITING_BYTES, Mailbox, piece_of
from podium.kernel.ids import RunId, TaskId, WorkerId
from podium.store.ring import Ring

MINE = frozenset({"task_a"})


def said(
    text: str, *, item: str = "1", task: str = "task_a", run: str = "run_a", thought: bool = False
) -> Partials:
    return Partials(
        worker_id=WorkerId("w"),
        run_id=RunId(run),
        task_id=TaskId(task),
        item=item,
        text=text,
        thought=thought,
    )


def taken(mailbox: Mailbox) -> list[tuple[str, str]]:
    found = []
    while (frame := mailbox.take()) is not None:
        piece = msgspec.json.decode(frame.frame)["partial"]
        found.append((piece["item"], piece["text"]))
    return found


def test_neighbours_of_one_text_become_one_and_texts_are_not_mixed() -> None:
    mailbox = Mailbox(MINE, frozenset())
    for text, item in (("a", "1"), ("b", "1"), ("c", "2"), ("d", "1")):
        mailbox.offer(piece_of(said(text, item=item)))
    mailbox.offer(piece_of(said("e", thought=True)))
    assert taken(mailbox) == [("1", "ab"), ("2", "c"), ("1", "d"), ("1", "e")]
    assert not mailbox


def test_only_what_was_asked_for_is_taken() -> None:
    mailbox = Mailbox(MINE, frozenset({"run_b"}))
    for task, run in (("task_a", "run_a"), ("task_b", "run_b"), ("task_c", "run_c")):
        mailbox.offer(piece_of(said(task, item=task, task=task, run=run)))
    assert [item for item, _ in taken(mailbox)] == ["task_a", "task_b"]


@pytest.mark.parametrize("new_item", [False, True])
def test_who_takes_nothing_misses_pieces_and_costs_no_more(new_item: bool) -> None:
    mailbox = Mailbox(MINE, frozenset())
    for number in range(5_000):
        mailbox.offer(piece_of(said("é" * 100, item=str(number) if new_item else "1")))
    kept = taken(mailbox)
    assert 0 < sum(len(text.encode()) for _, text in kept) <= MAX_WAITING_BYTES
    assert len(kept) <= MAX_WAITING
    mailbox.offer(piece_of(said("again")))
    assert taken(mailbox) == [("1", "again")]


def test_a_hub_without_listeners_keeps_nothing() -> None:
    hub = Hub(Ring(last_seq=0), max_followers=1)
    hub.hear(said("x"))
    with hub.listening(MINE, frozenset()) as mailbox:
        hub.hear(said("y"))
        assert taken(mailbox) == [("1", "y")]
    hub.hear(said("z"))
    assert not mailbox


def test_a_piece_reads_the_same_in_both_streams() -> None:
    mailbox = Mailbox(MINE, frozenset())
    mailbox.offer(piece_of(said("two\nlines")))
    frame = mailbox.take()
    assert frame is not None
    assert frame.lines == b"event: partial\ndata: " + frame.frame.encode() + b"\n\n"
