"""Lifts stored events of older shapes, one version at a time. Old events are never rewritten in the log."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

Lift = Callable[[dict[str, Any]], dict[str, Any]]


def _name_conversation(holder: dict[str, Any]) -> dict[str, Any]:
    """Version 1 called the program's own id of a conversation `session_id`; sessions have ids of ours now."""
    renamed = dict(holder)
    if "session_id" in renamed:
        renamed["conversation_id"] = renamed.pop("session_id")
    return renamed


LIFTS: dict[int, Mapping[str, Lift]] = {
    1: {
        "run.queued": lambda event: {**event, "run": _name_conversation(event["run"])},
        "run.started": _name_conversation,
        "run.session_known": _name_conversation,
    },
}
"""version → event type → function that turns its JSON into the next version's. Version 1 is the first."""


def lift(event: dict[str, Any], v: int, lifts: Mapping[int, Mapping[str, Lift]] = LIFTS) -> dict[str, Any]:
    """`event` as its type looks today, having been stored at version `v`."""
    while v in lifts:
        change = lifts[v].get(event["type"])
        if change is not None:
            event = change(event)
        v += 1
    return event
