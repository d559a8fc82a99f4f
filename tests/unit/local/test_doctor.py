"""Every finding has an id, and what is wrong has a next step."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from podium.local.doctor import Finding, examine


def findings(home: Path) -> dict[str, Finding]:
    found = list(examine(home))
    assert len({finding.id for finding in found}) == len(found)
    return {finding.id: finding for finding in found}


def test_a_home_that_does_not_exist_yet_is_no_fault(tmp_path: Path) -> None:
    found = findings(tmp_path / "home")
    assert (found["home"].ok, found["home"].next_step) == (None, "podium up makes it")
    assert found["space"].ok is not None
    assert not (tmp_path / "home").exists()


def test_without_a_server_the_next_step_starts_one(tmp_path: Path) -> None:
    found = findings(tmp_path)
    assert found["home"].ok is True
    assert found["server"].ok is None
    assert "podium up" in found["server"].next_step
    assert "workers" not in found


def test_a_missing_git_is_bad_and_says_what_to_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    found = findings(tmp_path)
    assert (found["git"].ok, found["git"].next_step) == (False, "install git")
    assert found["agent-claude"].ok is None
    assert found["agent-claude"].next_step


@pytest.mark.parametrize(
    ("said", "ok"), [("git version 2.30.1", False), ("git version 2.47.3", True), ("?", False)]
)
def test_an_old_git_is_bad(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, said: str, ok: bool) -> None:
    program = tmp_path / "git"
    program.write_text(f"#!/bin/sh\necho '{said}'\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    finding = findings(tmp_path)["git"]
    assert finding.ok is ok
    assert ok or finding.next_step


@pytest.mark.skipif(os.geteuid() == 0, reason="nothing is forbidden to root")
def test_a_home_that_is_not_ours_is_bad(tmp_path: Path) -> None:
    home = tmp_path / "home"
    home.mkdir(mode=0o000)
    found = findings(home)
    assert (found["home"].ok, bool(found["home"].next_step)) == (False, True)


def test_isolation_is_never_called_more_than_it_is(tmp_path: Path) -> None:
    assert findings(tmp_path)["isolation"].found.startswith("bare")


def test_what_ends_a_process_tree_is_named_by_what_this_machine_allows(tmp_path: Path) -> None:
    finding = findings(tmp_path)["tree-kill"]
    assert finding.ok is True
    assert finding.found.startswith("process tree: holder sweep + ")
    assert "marker walk" in finding.found
    assert ("+ cgroup v2 leaf" in finding.found) is not bool(finding.next_step)
