"""Harnesses by name: short name → dotted path. Any dotted path is accepted; being installed gives nothing."""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module
from typing import Any

from podium.harness.base import Harness
from podium.kernel.errors import InvalidRequest

HARNESSES: Mapping[str, str] = {
    "claude_code": "podium.harness.claude_code:ClaudeCode",
    "codex": "podium.harness.codex:Codex",
    "command": "podium.harness.command:CommandHarness",
    "scripted": "podium.harness.scripted:Scripted",
}
_MEMBERS = (
    "State", "validate", "launch", "begin", "decode", "due", "say", "answer", "key_of", "waits", "was_deaf",
    "is_over", "outcome", "interrupt", "joins_said", "modes", "config_files", "resumes", "forks",
)  # fmt: skip


def harness_class(name: str, configured: Mapping[str, str] | None = None) -> type[Harness[Any]]:
    """The implementation behind a short name, ours or of the configuration (which goes first), or behind a
    `package.module:Class` path. Raises InvalidRequest: which are known, or why a path cannot be loaded."""
    known = {**HARNESSES, **(configured or {})}
    path, names = known.get(name, name), ", ".join(sorted(known))
    if ":" not in path:
        raise InvalidRequest(f"there is no harness {name!r}", hint=f"choose one of: {names}")
    try:
        module, _, attribute = path.partition(":")
        found: type[Harness[Any]] = getattr(import_module(module), attribute)
    except Exception as error:  # whatever a module of somebody else's does while it is imported
        raise InvalidRequest(
            f"the harness {name!r} cannot be loaded from {path}: {error}",
            hint=f"install its package where Podium runs, or choose one of: {names}",
        ) from error
    missing = [member for member in _MEMBERS if not hasattr(found, member)]
    if missing:
        raise InvalidRequest(
            f"{path} is no harness: it lacks {', '.join(missing)}",
            hint="the contract stands in podium.harness.base",
        )
    return found


def check_harnesses(configured: Mapping[str, str], origin: str) -> None:
    """Load everything that the configuration names. Raises InvalidRequest, naming the origin."""
    for name in sorted(configured):
        try:
            harness_class(name, configured)
        except InvalidRequest as error:
            error.message = f"{origin}: harnesses.{name}: {error.message}"
            raise
