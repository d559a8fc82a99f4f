"""The tables of moves, the document that draws them and the one function that moves."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from pathlib import Path

import pytest

from podium.kernel.errors import IllegalMove
from podium.kernel.states import (
    CHANGE_MOVES,
    INQUIRY_MOVES,
    MESSAGE_MOVES,
    RUN_MOVES,
    RUN_TERMINAL,
    TASK_MOVES,
    TASK_TERMINAL,
    Evidence,
    RunState,
    State,
    TaskState,
    move,
)

NOW = datetime(2026, 1, 1, tzinfo=UTC)
EVIDENCE = Evidence(source="test", seq=7, at=NOW)
LIFECYCLE = Path(__file__).parents[3] / "docs" / "lifecycle.md"


def arrows_of(heading: str) -> set[tuple[str, str]]:
    section = LIFECYCLE.read_text().split(f"## {heading} ", 1)[1].split("\n## ", 1)[0]
    return set(re.findall(r"^  (\w+) --> (\w+)", section, flags=re.MULTILINE))


@pytest.mark.parametrize(
    ("heading", "moves"),
    [
        ("Task", TASK_MOVES),
        ("Run", RUN_MOVES),
        ("Change", CHANGE_MOVES),
        ("Inquiry", INQUIRY_MOVES),
        ("Message", MESSAGE_MOVES),
    ],
)
def test_the_lifecycle_document_draws_exactly_the_legal_moves(heading, moves):
    legal = {(str(source), str(target)) for source, targets in moves.items() for target in targets}
    assert arrows_of(heading) == legal


def test_every_state_of_a_set_has_a_row_in_its_table():
    assert set(TASK_MOVES) == set(TaskState)
    assert set(RUN_MOVES) == set(RunState)


def test_terminal_states_are_those_the_design_names():
    assert {str(state) for state in TASK_TERMINAL} == {"done", "failed", "cancelled"}
    assert {str(state) for state in RUN_TERMINAL} == {"succeeded", "failed", "cancelled", "lost"}


def test_nothing_leaves_a_terminal_state():
    ended = State(word=RunState.CANCELLED, since=NOW, evidence=EVIDENCE)
    for target in RunState:
        with pytest.raises(IllegalMove):
            move(RUN_MOVES, ended, target, EVIDENCE)


def test_a_move_names_its_evidence_and_its_reason():
    queued = State(word=RunState.QUEUED, since=NOW, evidence=Evidence(source="x", seq=1, at=NOW))
    leased = move(RUN_MOVES, queued, RunState.LEASED, EVIDENCE, "slot")
    assert (leased.word, leased.reason, leased.evidence) == (RunState.LEASED, "slot", EVIDENCE)
