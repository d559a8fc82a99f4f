"""The glossary says what the code says: its nouns, its states, its statuses."""

from __future__ import annotations

import inspect
import re
from pathlib import Path

import pytest
from msgspec import Struct

from podium.kernel import inquiry, nouns, session
from podium.kernel.states import (
    RUN_TERMINAL,
    TASK_TERMINAL,
    ChangeState,
    InquiryState,
    MessageState,
    RunState,
    TaskState,
)
from podium.kernel.status import STATUSES

TEXT = (Path(__file__).resolve().parents[3] / "GLOSSARY.md").read_text()
PARTS = {"Attach", "CheckResult", "CancelIntent", "KeptOutput", "McpServer", "Answer"}
"""Parts of other nouns, explained with them."""


def row(section: str, word: str) -> str:
    return next(line for line in section.splitlines() if line.startswith(f"| {word} |"))


def section(title: str) -> str:
    return TEXT.split(f"\n## {title}\n")[1].split("\n## ")[0]


def test_every_noun_of_the_kernel_is_explained() -> None:
    ours = {
        name
        for room in (nouns, inquiry, session)
        for name, kind in inspect.getmembers(room, inspect.isclass)
        if issubclass(kind, Struct) and kind.__module__ == room.__name__
    }
    assert sorted(name for name in ours - PARTS if f"| **{name}** |" not in TEXT) == []


@pytest.mark.parametrize(
    ("noun", "states", "terminal"),
    [
        ("Task", TaskState, TASK_TERMINAL),
        ("Run", RunState, RUN_TERMINAL),
        ("Inquiry", InquiryState, frozenset(InquiryState) - {InquiryState.OPEN}),
        ("Message", MessageState, frozenset({MessageState.COMPLETED, MessageState.UNDELIVERED})),
        ("Change", ChangeState, frozenset({ChangeState.LANDED, ChangeState.REJECTED, ChangeState.ARCHIVED})),
    ],
)
def test_the_states_listed_are_the_states_there_are(noun, states, terminal) -> None:
    listed = row(section("States"), noun).split("|")[2]
    assert [str(state) for state in states if not re.search(rf"\b{state}\b", listed)] == []
    before, _, after = listed.partition(";")
    assert [
        str(state) for state in states if state not in terminal and not re.search(rf"\b{state}\b", before)
    ] == []
    assert [str(state) for state in terminal if not re.search(rf"\b{state}\b", after)] == []


def test_the_statuses_listed_are_the_statuses_there_are() -> None:
    rows = [line.split("|")[1].strip() for line in section("Status").splitlines() if line.startswith("| ")]
    assert tuple(rows[1:]) == STATUSES


def test_the_reasons_listed_are_the_reasons_there_are() -> None:
    rows = [line.split("|")[1] for line in section("Reasons").splitlines() if line.startswith("| ")]
    assert {word.strip() for cell in rows[1:] for word in cell.split(",")} == set(nouns.Reason)
