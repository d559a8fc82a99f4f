"""How a run is compared with an earlier one, told and kept."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from bench.__main__ import main
from bench.compare import compare, dearness, over
from bench.growth import table
from bench.telling import line_of, read, saved


def plain(name: str, value: float, floor: float, *, at_least: bool = False) -> dict[str, Any]:
    return {
        "name": name, "value": value, "unit": "req/s" if at_least else "ms", "floor": floor,
        "ratio": value / floor, "budget": 10.0, "at_least": at_least, "met": True,
    }  # fmt: skip


def test_a_slower_machine_is_no_regression() -> None:
    (same,) = compare([plain("start", 20, 4)], [plain("start", 10, 2)])
    assert same.change == 1.0
    assert not same.worse


def test_a_figure_that_left_its_floor_is_marked_from_the_threshold_on() -> None:
    then = [plain("start", 10, 2)]
    (a_little,) = compare([plain("start", 12, 2)], then)
    (much,) = compare([plain("start", 26, 4)], then)
    assert (a_little.change, a_little.worse) == (1.2, False)
    assert (much.change, much.worse) == (1.3, True)
    assert compare([plain("start", 12, 2)], then, worse=1.1)[0].worse


def test_of_a_rate_less_is_worse() -> None:
    then = [plain("list", 1_000, 10_000, at_least=True)]
    (half,) = compare([plain("list", 500, 10_000, at_least=True)], then)
    (faster,) = compare([plain("list", 1_500, 10_000, at_least=True)], then)
    assert half.change == 2.0
    assert half.worse
    assert faster.change == pytest.approx(2 / 3)
    assert not faster.worse


def test_what_was_not_measured_before_has_nothing_to_be_compared_with() -> None:
    for then in ([], [plain("other", 1, 1)], [plain("start", 1, 1) | {"unit": "s"}]):
        (found,) = compare([plain("start", 10, 2)], then)
        assert (found.change, found.worse, found.words()) == (None, False, "new")


def test_a_figure_that_measured_nothing_is_no_figure() -> None:
    with pytest.raises(ValueError, match="start measured nothing"):
        dearness(plain("start", 0, 2))


def test_only_what_is_over_the_limit_fails() -> None:
    then = [plain("a", 10, 1), plain("b", 10, 1), plain("c", 10, 1)]
    compared = compare([plain("a", 16, 1), plain("b", 14, 1), plain("d", 99, 1)], then)
    assert over(compared, 1.5) == ["a"]
    assert over(compared, 2.0) == []


def test_a_saved_run_is_read_again_and_so_is_what_json_prints(tmp_path: Path) -> None:
    figures = [plain("start", 10, 2)]
    for number, content in enumerate((saved(figures), {"figures": figures})):
        path = tmp_path / f"{number}.json"
        path.write_text(json.dumps(content), encoding="utf-8")
        assert read(path) == figures


@pytest.mark.parametrize("content", ["", "[]", "{}", '{"curves": 1}'])
def test_a_file_that_holds_no_run_is_refused_in_words(tmp_path: Path, content: str) -> None:
    path = tmp_path / "run.json"
    path.write_text(content, encoding="utf-8")
    with pytest.raises(SystemExit, match="holds no run"):
        read(path)
    with pytest.raises(SystemExit, match="holds no run"):
        main(["--only", "there is no such figure", "--compare", str(tmp_path / "missing")])


def test_the_table_tells_the_change_beside_each_figure() -> None:
    figure = plain("start", 26, 4)
    (compared,) = compare([figure], [plain("start", 10, 2)])
    assert line_of(figure, compared).endswith("met     x1.30 WORSE")
    assert line_of(figure, None).endswith("met")


def test_a_run_of_nothing_fails_nobody(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "run.json"
    assert main(["--only", "there is no such figure", "--save", str(path)]) == 0
    words = ["--only", "there is no such figure", "--compare", str(path), "--fail-over", "1.1", "--json"]
    assert main(words) == 0
    assert json.loads(capsys.readouterr().out) == {"figures": [], "changes": {}}


def test_a_curve_is_a_table_with_a_row_for_each_size() -> None:
    rows = [{"size": 100.0, "list ms": 0.61}, {"size": 1_000_000.0, "list ms": 12.0}]
    assert list(table("tasks", rows)) == [
        "| tasks | list ms |", "|---|---|", "| 100 | 0.6 |", "| 1,000,000 | 12.0 |",
    ]  # fmt: skip
