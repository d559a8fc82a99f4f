"""The documents keep their own promises: one meaning per word, no dead links, no places of one machine."""

from __future__ import annotations

import re
from collections import Counter
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[3]
DOCUMENTS = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md"), *ROOT.glob("changes/*.md")])
KINDS = {"added", "changed", "fixed", "removed", "security"}


def section(title: str) -> str:
    """The part of the glossary under a heading."""
    return (ROOT / "GLOSSARY.md").read_text().split(f"\n## {title}\n")[1].split("\n## ")[0]


def first_column(text: str) -> list[str]:
    rows = [line.split("|")[1].strip().strip("*") for line in text.splitlines() if line.startswith("| ")]
    return rows[1:]


def test_every_noun_is_explained_exactly_once() -> None:
    counted = Counter(word.lower() for word in first_column(section("Nouns")))
    assert len(counted) > 50
    assert [word for word, times in counted.items() if times > 1] == []


def test_nouns_whose_states_are_listed_are_nouns_of_ours() -> None:
    assert set(first_column(section("States"))) <= set(first_column(section("Nouns")))


def test_a_word_of_another_system_is_translated_once() -> None:
    counted = Counter(first_column(section("Words of the systems that Podium replaces")))
    assert [word for word, times in counted.items() if times > 1] == []


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_no_link_to_a_file_is_dead(document: Path) -> None:
    links = re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", document.read_text())
    assert [link for link in links if not (document.parent / link).exists()] == []


def test_every_change_is_one_short_sentence_of_a_known_kind() -> None:
    fragments = [path for path in (ROOT / "changes").iterdir() if path.name != "README.md"]
    for fragment in fragments:
        _topic, kind, suffix = fragment.name.split(".")
        assert (kind in KINDS, suffix) == (True, "md"), fragment.name
        text = fragment.read_text().strip()
        assert "\n" not in text, fragment.name
        assert len(text.split()) <= 40, fragment.name


def test_decisions_are_numbered_without_a_gap() -> None:
    numbers = sorted(int(path.name[:4]) for path in (ROOT / "docs" / "decisions").glob("*.md"))
    assert numbers == list(range(len(numbers)))


def test_the_licence_is_the_whole_of_apache_2() -> None:
    text = (ROOT / "LICENSE").read_text()
    assert "Version 2.0, January 2004" in text
    assert "END OF TERMS AND CONDITIONS" in text
