"""What people see: aligned, cut to the terminal, and never obeyed by it."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import click
import pytest
from hypothesis import given
from hypothesis import strategies as some

from podium.cli.output import Painted, ago, clean, columns, facts, one_line, pick, short, status, table
from podium.kernel.errors import NotFound

NOW = datetime(2026, 1, 1, 12, tzinfo=UTC)
HOSTILE = {
    "colours": ("\x1b[31mred\x1b[0m", "red"),
    "cleared screen": ("a\x1b[2J\x1b[Hb", "ab"),
    "window title": ("a\x1b]0;owned\x07b", "ab"),
    "link with a string terminator": ("\x1b]8;;http://evil\x1b\\text\x1b]8;;\x1b\\", "text"),
    "clipboard": ("\x1b]52;c;ZXZpbA==\x07after", "after"),
    "escape without an end": ("a\x1b]0;never ended", "a0;never ended"),
    "bare escape": ("a\x1b", "a"),
    "one-byte introducer": ("a\x9b31mb", "a31mb"),
    "carriage return": ("good\rbad", "goodbad"),
    "backspace": ("ab\x08c", "abc"),
    "bell": ("a\x07", "a"),
    "reordering": ("a\u202egnp.exe", "agnp.exe"),
    "isolates": ("\u2066a\u2069", "a"),
    "marks": ("a\u200f\u200eb", "ab"),
    "nothing wide": ("a\u200bb\ufeff", "ab"),
    "line separators": ("a\u2028b\u2029", "ab"),
    "lone surrogate": ("a\ud800b", "ab"),
    "lines and tabs stay": ("a\n\tb", "a\n\tb"),
    "letters of the world stay": ("añ漢字ж", "añ漢字ж"),
}  # fmt: skip


@pytest.mark.parametrize(("text", "left"), HOSTILE.values(), ids=HOSTILE)
def test_what_an_agent_says_cannot_drive_the_terminal(text: str, left: str) -> None:
    assert clean(text) == left


@given(some.text(max_size=200))
def test_whatever_is_cleaned_holds_no_control_and_is_clean(text: str) -> None:
    cleaned = clean(text)
    assert not {char for char in cleaned if (ord(char) < 32 and char not in "\n\t") or 127 <= ord(char) < 160}
    assert clean(cleaned) == cleaned


@given(some.text(max_size=200), some.integers(min_value=1, max_value=60))
def test_a_line_never_gets_wider_than_its_place(text: str, width: int) -> None:
    line = one_line(text, width)
    assert columns(line) <= width
    assert "\n" not in line


def test_a_cut_line_says_so() -> None:
    assert one_line("abcdef", 4) == "abc…"
    assert one_line("漢字漢字", 5) == "漢字…"
    assert one_line("abcd", 4) == "abcd"


def test_wide_letters_take_two_columns_and_accents_none() -> None:
    assert (columns("ab"), columns("漢"), columns("e\u0301"), columns("\x1b[31mab\x1b[0m")) == (
        2,
        4 - 2,
        1,
        2,
    )


@pytest.mark.parametrize(
    ("seconds", "told"),
    [
        (0, "0 s"), (59.9, "59 s"), (60, "1 min"), (3_599, "59 min"), (3_600, "1 h"), (86_400, "1 d"),
        (-5, "0 s"),
    ],
)  # fmt: skip
def test_an_age_is_told_in_its_largest_unit(seconds: float, told: str) -> None:
    assert ago(NOW - timedelta(seconds=seconds), NOW) == told


def test_no_moment_has_no_age() -> None:
    assert ago(None) == ""


def test_a_field_is_found_through_objects_and_lists() -> None:
    value = {"state": {"word": "done"}, "checks": [{"name": "tests"}], "none": None}
    assert pick(value, "state.word") == "done"
    assert pick(value, "checks.0.name") == "tests"
    assert pick(value, "none") is None


@pytest.mark.parametrize(
    ("path", "hint"),
    [
        ("stat", "there are: state, checks"),
        ("state.wrod", "there are: word"),
        ("checks.1", "there are: 0 to 0"),
        ("checks.x", "there are: 0 to 0"),
        ("state.word.x", "there are: 0 to 3"),
    ],
)
def test_a_field_that_is_not_there_names_those_that_are(path: str, hint: str) -> None:
    with pytest.raises(NotFound) as caught:
        pick({"state": {"word": "done"}, "checks": [{}]}, path)
    if path != "state.word.x":
        assert caught.value.hint == hint


def test_the_end_of_an_id_names_it() -> None:
    assert short("task_01k0000000000000000000abcd") == "00abcd"
    assert short(None) == ""


# ---- tables and facts ----------------------------------------------------------------------------------


@pytest.fixture
def terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "40")


def lines_of(capsys: pytest.CaptureFixture[str]) -> list[str]:
    return [click.unstyle(line) for line in capsys.readouterr().out.splitlines()]


@pytest.mark.usefixtures("terminal")
def test_columns_stand_below_each_other_whatever_their_colours_and_letters(capsys) -> None:
    rows = [("a", status("done"), "first"), ("漢字", status("needs you"), "second")]
    table(("ID", "STATUS", "TITLE"), rows)
    pairs = zip(lines_of(capsys), ("TITLE", "first", "second"), strict=True)
    assert [columns(line[: line.index(title)]) for line, title in pairs] == [17, 17, 17]


@pytest.mark.usefixtures("terminal")
def test_the_last_column_is_cut_to_the_terminal(capsys) -> None:
    table(("ID", "TITLE"), [("abc", "word " * 30)])
    assert max(columns(line) for line in lines_of(capsys)) <= 40


@pytest.mark.usefixtures("terminal")
def test_a_cell_cannot_drive_the_terminal(capsys) -> None:
    table(("AGENT", "TITLE"), [("\x1b]0;x\x07evil\n2nd", "\x1b[2Jtitle")])
    assert "\x1b]" not in (out := capsys.readouterr().out)
    assert "\x1b[2J" not in out
    assert click.unstyle(out).splitlines()[1] == "evil 2nd  title"


def test_an_empty_table_says_nothing(capsys) -> None:
    table(("ID", "TITLE"), [])
    assert lines_of(capsys) == ["nothing"]


def test_facts_leave_out_what_is_empty(capsys) -> None:
    facts([("task", "x"), ("reason", ""), ("run", None), ("attempt", 0)])
    assert lines_of(capsys) == ["task     x", "attempt  0"]


def test_a_fact_is_cleaned_unless_we_painted_it(capsys) -> None:
    facts([("title", "a\x1b[2Jb\nc"), ("status", Painted("\x1b[32mdone\x1b[0m"))])
    assert lines_of(capsys) == ["title   ab c", "status  done"]


def test_an_unknown_status_is_shown_as_it_is() -> None:
    assert click.unstyle(status("odd")) == "odd"
