"""Arms a fault point: `PODIUM_FAULT=name:count` makes this process kill itself at the count-th passing."""

from __future__ import annotations

import os
import signal
from collections.abc import Mapping

from podium.kernel import faultpoint
from podium.kernel.errors import InvalidRequest


def arm_from_environment(environ: Mapping[str, str]) -> None:
    """Raises InvalidRequest for a point that does not exist: killing nowhere would prove nothing."""
    asked = environ.get("PODIUM_FAULT")
    if not asked:
        return
    name, _, count = asked.partition(":")
    if name not in faultpoint.POINTS:
        raise InvalidRequest(f"there is no fault point {name!r}", hint=", ".join(sorted(faultpoint.POINTS)))
    remaining = int(count or "1")

    def hook(point: str) -> None:
        nonlocal remaining
        if point == name:
            remaining -= 1
            if remaining <= 0:
                os.kill(os.getpid(), signal.SIGKILL)

    faultpoint.arm(hook)
