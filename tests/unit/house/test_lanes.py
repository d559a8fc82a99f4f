"""Lanes: which directories of tests run, and what is said when one cannot."""

from __future__ import annotations

from pathlib import Path

import pytest

from tools import test as lanes
from tools.bootstrap import Failed


@pytest.fixture
def clone(tmp_path: Path) -> Path:
    """A tree with tests in some lanes."""
    for lane in ("unit", "integration", "faults"):
        (tmp_path / "tests" / lane / "deep").mkdir(parents=True)
        (tmp_path / "tests" / lane / "deep" / "test_something.py").touch()
    (tmp_path / "tests" / "security").mkdir()
    return tmp_path


def test_without_words_the_default_lanes_that_have_tests_are_run(clone: Path) -> None:
    assert lanes.chosen(clone, []) == ["unit", "integration"]


def test_all_adds_the_lanes_that_need_more(clone: Path) -> None:
    assert lanes.chosen(clone, ["--all"]) == ["unit", "integration", "faults"]


def test_lanes_run_in_one_order_whatever_the_order_of_words(clone: Path) -> None:
    assert lanes.chosen(clone, ["faults", "unit"]) == ["unit", "faults"]


def test_an_unknown_lane_is_answered_with_the_known_ones(clone: Path) -> None:
    with pytest.raises(Failed, match=r"no lane 'units'; usage: .*unit, contract, integration"):
        lanes.chosen(clone, ["units"])


def test_a_lane_without_tests_is_an_error_when_asked_for(clone: Path) -> None:
    with pytest.raises(Failed, match="security has no tests"):
        lanes.chosen(clone, ["security"])


def test_a_tree_without_tests_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(Failed, match="no tests"):
        lanes.chosen(tmp_path, [])


@pytest.mark.parametrize(
    ("words", "meant"),
    [
        ([], "sqlite"),
        (["--all"], "both"),
        (["unit", "--database", "postgresql"], "postgresql"),
        (["--all", "--database", "sqlite"], "sqlite"),
    ],
)
def test_all_means_both_databases_unless_one_is_named(
    words: list[str], meant: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PODIUM_TEST_DATABASE_URL", "postgresql://h/n")
    found, rest = lanes.database_of(words)
    assert found == meant
    assert set(rest) <= {"unit", "--all"}


def test_a_database_that_is_not_here_or_not_known_fails_with_what_to_do(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(lanes, "PLACES", ())
    monkeypatch.setenv("PATH", "")
    with pytest.raises(Failed, match="apt install postgresql"):
        lanes.database_of(["--all"])
    with pytest.raises(Failed, match="no database 'mysql'"):
        lanes.database_of(["--database", "mysql"])
    assert lanes.database_of([]) == ("sqlite", [])


def put_program(folder: Path, name: str, prints: str) -> None:
    folder.mkdir(exist_ok=True)
    (folder / name).write_text(f"#!/bin/sh\necho '{prints}'\n")
    (folder / name).chmod(0o755)


def test_a_lane_that_cannot_run_fails_with_the_line_that_mends_it(
    clone: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (clone / "tests" / "agents").mkdir()
    (clone / "tests" / "agents" / "test_claude.py").touch()
    programs = clone / "bin"
    monkeypatch.setenv("PATH", str(programs))
    with pytest.raises(Failed, match="lane agents cannot run: git is missing: apt install git"):
        lanes.chosen(clone, ["agents"])
    put_program(programs, "git", "git version 2.39.5")
    with pytest.raises(Failed, match="lane agents cannot run: node is missing: install Node 20"):
        lanes.chosen(clone, ["agents"])
    put_program(programs, "node", "v18.1.0")
    put_program(programs, "npm", "9.0.0")
    with pytest.raises(Failed, match=r"node v18\.1\.0 is too old: install Node 20"):
        lanes.chosen(clone, ["--all"])
    put_program(programs, "node", "v20.19.0")
    assert lanes.chosen(clone, ["agents"]) == ["agents"]
