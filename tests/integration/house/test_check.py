"""`./podium check` runs the real tools and says what failed and how to mend it."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

import pytest

from tools import check
from tools.bootstrap import Failed

ROOT = Path(__file__).resolve().parents[3]
NAMES = ["lint", "format", "types", "floors", "house"]


@pytest.fixture
def small_house(tmp_path: Path) -> Path:
    """A house of two rooms with our own configuration, and the tools of the running environment."""
    for room in ("kernel", "engine"):
        (tmp_path / "src" / "podium" / room).mkdir(parents=True)
        (tmp_path / "src" / "podium" / room / "__init__.py").write_text(f'"""The {room}."""\n')
    (tmp_path / "src" / "podium" / "__init__.py").write_text('"""A small house."""\n')
    shutil.copytree(ROOT / "tools", tmp_path / "tools", ignore=shutil.ignore_patterns("__pycache__"))
    (tmp_path / "bench").mkdir()
    (tmp_path / "bench" / "__init__.py").write_text('"""Nothing to measure."""\n')
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    (tmp_path / ".venv").symlink_to(sys.prefix)
    return tmp_path


def verdicts(printed: str) -> dict[str, str]:
    """What was said about each check."""
    lines = [line.split() for line in printed.splitlines() if line.startswith(("ok ", "FAILED "))]
    return {name: verdict for verdict, name in lines}


def test_a_house_in_order_passes_every_check(small_house: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert check.main([], small_house) == 0
    printed = capsys.readouterr()
    assert (verdicts(printed.out), printed.err) == (dict.fromkeys(NAMES, "ok"), "")
    assert "functions 0: none" in printed.out


def test_each_kind_of_fault_fails_its_check_and_is_told_how_to_mend(
    small_house: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    room = small_house / "src" / "podium" / "kernel"
    (room / "lint.py").write_text("import os\n")
    (room / "format.py").write_text("x  =  1\n")
    (room / "types.py").write_text("def f(x): return x\n")
    (room / "floors.py").write_text("from podium import engine\n\n__all__ = ['engine']\n")
    (room / "house.py").write_text("service = 1\n")
    assert check.main([], small_house) == 1
    printed = capsys.readouterr()
    assert verdicts(printed.out) == dict.fromkeys(NAMES, "FAILED")
    assert printed.out.count("to mend: ") == len(NAMES)
    assert "podium.kernel.floors" in printed.out
    assert "src/podium/kernel/house.py:1: word: service says 'service'" in printed.out
    assert printed.err == "podium: 5 of 5 checks failed\n"


def test_check_takes_no_arguments(small_house: Path) -> None:
    with pytest.raises(Failed, match="check takes no arguments"):
        check.main(["--fast"], small_house)
