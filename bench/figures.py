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
from bench.figure import Figure, Measurement, middle

MEASUREMENTS: tuple[Measurement, ...] = (
    *figure_start.MEASUREMENTS,
    *figure_run.MEASUREMENTS,
    *figure_stream.MEASUREMENTS,
    *figure_talk.MEASUREMENTS,
    *figure_store.MEASUREMENTS,
    *figure_http.MEASUREMENTS,
)


def measure(only: list[str], *, full: bool = False, times: int = 1) -> list[dict[str, Any]]:
    """Each figure as {"name", "value", "unit", "floor", "ratio", "budget", "at_least", "met"}.

    `only`: words of which one must be in the name; empty: all. `full`: also what takes minutes. `times`: each
    set-up is made so often, and the median of each figure counts.
    """
    return [figure.plain() for figure in _taken(only, full=full, times=times)]


def _taken(only: list[str], *, full: bool, times: int) -> Iterator[Figure]:
    for measurement in MEASUREMENTS:
        if (full or not measurement.full) and any(wanted(name, only) for name in measurement.names):
            # Together what belongs together: one set-up gives one sample of each of its figures.
            samples = [list(measurement.take()) for _ in range(times)]
            for taken in zip(*samples, strict=True):
                if wanted(taken[0].name, only):
                    yield middle(taken)


def wanted(name: str, only: list[str]) -> bool:
    return not only or any(word in name for word in only)
