"""An agent's limits: total time, silence, output. Reaching one is remembered on disk before the agent is
stopped, so that a restart in between does not mistake the killed agent for a lost one."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from podium.kernel.clock import Clock
from podium.kernel.nouns import Limits, Reason
from podium.worker.home import RunHome


class Limiter:
    def __init__(self, limits: Limits, clock: Clock, home: RunHome, already_s: float) -> None:
        self._limits = limits
        self._clock = clock
        self._home = home
        self._began = self._heard = clock.monotonic()
        self._already_s = already_s
        self._waits_since: float | None = None
        self._noted = home.limit() is not None

    def wait_for_person(self, waits: bool) -> None:
        """Time in which the agent waits for a person counts against no limit."""
        now = self._clock.monotonic()
        if waits and self._waits_since is None:
            self._waits_since = now
        elif not waits and self._waits_since is not None:
            self._began += now - self._waits_since
            self._heard = now
            self._waits_since = None

    def heard(self) -> None:
        """The agent has written something."""
        self._heard = self._clock.monotonic()

    def allows(self, output_bytes: int) -> bool:
        """So much output; or it was too much already."""
        return output_bytes <= self._limits.output_bytes or self._noted

    def check(self, output_bytes: int) -> bool:
        """Whether a limit is reached now, noted the first time; True only that time."""
        if self._noted or self._waits_since is not None:
            return False
        now = self._clock.monotonic()
        if output_bytes > self._limits.output_bytes:
            reason = Reason.LIMIT_OUTPUT
        elif self._already_s + now - self._began > self._limits.run_s:
            reason = Reason.LIMIT_TIME
        elif now - self._heard > self._limits.idle_s:
            reason = Reason.LIMIT_IDLE
        else:
            return False
        self._home.note_limit(reason)
        self._noted = True
        return True

    def reached(self) -> Reason | None:
        word = self._home.limit()
        return None if word is None else Reason(word)

    def detail(self, reason: Reason) -> str:
        return {
            Reason.LIMIT_OUTPUT: f"more than {self._limits.output_bytes} bytes of output",
            Reason.LIMIT_TIME: f"longer than {self._limits.run_s:g} s",
            Reason.LIMIT_IDLE: f"no output for {self._limits.idle_s:g} s",
        }[reason]

    def next_check_s(self) -> float:
        """How long nothing needs to be checked, seen from now."""
        if self._waits_since is not None:
            return self._limits.idle_s
        return max(0.01, self._left_s())

    def is_due(self) -> bool:
        """Whether a limit of time is reached."""
        return self._waits_since is None and not self._noted and self._left_s() <= 0

    def _left_s(self) -> float:
        now = self._clock.monotonic()
        idle = self._limits.idle_s - (now - self._heard)
        total = self._limits.run_s - (self._already_s + now - self._began)
        return min(idle, total)


class Alarm:
    """Calls after a while. One that rings early costs a look; a timer for each line of an agent cost
    more than its decoding (measured)."""

    def __init__(self, ring: Callable[[], None]) -> None:
        self._called = ring
        self._timer: asyncio.TimerHandle | None = None

    @property
    def is_set(self) -> bool:
        """Whether it is still to ring."""
        return self._timer is not None

    def ring_after(self, seconds: float) -> None:
        """Once; it must not be set."""
        self._timer = asyncio.get_running_loop().call_later(seconds, self._ring)

    def __enter__(self) -> Alarm:
        return self

    def __exit__(self, *_: object) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _ring(self) -> None:
        self._timer = None
        self._called()
