"""Floor 6: the composition root. The only place that knows every implementation."""

from __future__ import annotations


def main() -> int:
    """The console script."""
    from podium.app.commands import run

    return run()
