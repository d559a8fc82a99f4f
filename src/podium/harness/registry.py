"""Harnesses by name: short name → dotted path. Any dotted path is accepted; being installed gives nothing."""

from __future__ import annotations

from importlib import import_module
from typing import Any

from podium.harness.base import Harness
from podium.kernel.errors import InvalidRequest

HARNESSES: dict[str, str] = {
    "claude_code": "podium.harness.claude_code:ClaudeCode",
    "command": "podium.harness.command:CommandHarness",
    "scripted": "podium.harness.scripted:Scripted",
}


def known_harnesses() -> frozenset[str]:
    return frozenset(HARNESSES)


def harness_class(name: str) -> type[Harness[Any]]:
    """The implementation behind a short name of the table, or behind a `package.module:Class` path."""
    path = HARNESSES.get(name, name)
    module, _, attribute = path.partition(":")
    try:
        found: type[Harness[Any]] = getattr(import_module(module), attribute)
    except (ImportError, AttributeError, ValueError) as error:
        known = ", ".join(sorted(HARNESSES))
        raise InvalidRequest(f"there is no harness {name!r}", hint=f"choose one of: {known}") from error
    return found
