"""All figures of the budget, each set-up taken only when one of its figures is wanted."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from bench import (
    figure_http,
    figure_run,
    figure_start,
    figure_store,
    figure_stream,
    figure_talk,
)
from bench.figure import Measurement

MEASUREMENTS: tuple[Measurement, ...] = (
    *figure_start.MEASUREMENTS,
    *figure_run.MEASUREMENTS,
    *figure_stream.MEASUREMENTS,
    *figure_talk.MEASUREMENTS,
    *figure_store.MEASUREMENTS,
    *figure_http.MEASUREMENTS,
)


def measure(only: list[str], *, full: bool = False) -> list[dict[str, Any]]:
    """Each figure as {"name", "value", "unit", "floor", "ratio", "budget", "met"}.

    `only`: words of which one must be in the name; empty: all. `full`: also what takes minutes.
    """
    return list(_taken(only, full=full))


def _taken(only: list[str], *, full: bool) -> Iterator[dict[str, Any]]:
    for measurement in MEASUREMENTS:
        if (full or not measurement.full) and any(wanted(name, only) for name in measurement.names):
            for figure in measurement.take():
                if wanted(figure.name, only):
                    yield figure.plain()


def wanted(name: str, only: list[str]) -> bool:
    return not only or any(word in name for word in only)
