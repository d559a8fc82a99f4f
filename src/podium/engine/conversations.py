"""What a session offers to those who would go on with it."""

from __future__ import annotations

from collections.abc import Mapping

from msgspec import Struct

from podium.harness.registry import harness_class
from podium.kernel.errors import InvalidRequest
from podium.kernel.ids import RunId
from podium.kernel.nouns import Run
from podium.kernel.session import Session
from podium.kernel.states import RUN_TERMINAL


class ForkPoint(Struct, frozen=True, kw_only=True):
    """Where a copy of the conversation can begin. `end`: behind everything said so far, in `run_id` last."""

    at: str
    run_id: RunId


def fork_points(session: Session, last: Run, harnesses: Mapping[str, str]) -> tuple[ForkPoint, ...]:
    """Of a session whose latest run is `last`; none while that is at work or when its program cannot copy."""
    try:
        harness = harness_class(session.harness, harnesses)
    except InvalidRequest:
        return ()  # it was configured once and is no longer
    if last.state.word not in RUN_TERMINAL or not getattr(harness, "forks", False):
        return ()
    return (ForkPoint(at="end", run_id=last.id),)
