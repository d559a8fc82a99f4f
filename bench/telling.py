"""What a run says at its end: a table or JSON, a file for later runs, how it compares with an earlier one."""

from __future__ import annotations

import json
import os
import time
from argparse import ArgumentParser, Namespace
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from bench.compare import WORSE, Compared, compare, over

Figures = Sequence[dict[str, Any]]


def add_options(parser: ArgumentParser) -> None:
    parser.add_argument("--json", action="store_true", help="one JSON object instead of a table")
    parser.add_argument("--save", type=Path, metavar="FILE", help="keep this run for --compare")
    parser.add_argument(
        "--compare", type=Path, metavar="FILE", help="how much dearer each figure became, by its own floor"
    )
    parser.add_argument(
        "--worse", type=float, default=WORSE, metavar="RATIO", help=f"mark from here on (default {WORSE})"
    )
    parser.add_argument(
        "--fail-over", type=float, metavar="RATIO", help="exit 1 when a figure became dearer than that"
    )


def tell(figures: Figures, chosen: Namespace) -> int:
    """Print, save, compare; returns the exit code. Raises SystemExit for a FILE that holds no run."""
    compared = compare(figures, read(chosen.compare), worse=chosen.worse) if chosen.compare else []
    if chosen.save:
        chosen.save.write_text(json.dumps(saved(figures), indent=1) + "\n", encoding="utf-8")
    if chosen.json:
        changes = {one.name: one.change for one in compared}
        print(json.dumps({"figures": figures, **({"changes": changes} if chosen.compare else {})}))
    else:
        for index, figure in enumerate(figures):
            print(line_of(figure, compared[index] if compared else None))
    failed = over(compared, chosen.fail_over) if chosen.fail_over else []
    return 1 if failed else 0


def saved(figures: Figures) -> dict[str, Any]:
    """A run with what else is good to know about its moment."""
    at = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
    return {"at": at, "cores": os.cpu_count(), "load": list(os.getloadavg()), "figures": list(figures)}


def read(path: Path) -> list[dict[str, Any]]:
    """The figures of a saved run, or of what `--json` printed."""
    try:
        found: list[dict[str, Any]] = json.loads(path.read_text(encoding="utf-8"))["figures"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise SystemExit(f"{path} holds no run of the bench: {error}") from error
    return found


def line_of(figure: dict[str, Any], compared: Compared | None) -> str:
    met = "met" if figure["met"] else "MISSED"
    return (
        f"{figure['name']:<44} {figure['value']:>10,.2f} {figure['unit']:<9}"
        f" floor {figure['floor']:>9,.2f}  ratio {figure['ratio']:>6.2f}"
        f"  budget {figure['budget']:>9,.2f}  {met:<6}" + (f"  {compared.words()}" if compared else "")
    ).rstrip()
