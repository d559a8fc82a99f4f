"""Ending an agent politely, then less politely, and knowing that it ended."""

from __future__ import annotations

import contextlib
import signal
from collections.abc import Awaitable, Callable
from pathlib import Path

import anyio

from podium.kernel.errors import PodiumError
from podium.process.base import Alive, HolderGone, HolderState, NotStarted, ProcessIdentity
from podium.process.feed import signal_agent
from podium.process.identity import signal_process, wait_gone
from podium.process.probe import probe
from podium.process.sweep import kill_tree

KILL_WAIT_S = 15.0
"""Longer than the holder's own limit for its sweep."""


async def stop(
    run_dir: Path,
    *,
    interrupt: Callable[[], Awaitable[None]] | None = None,
    grace_s: tuple[float, float] = (5.0, 5.0),
) -> HolderState:
    """End one run: `interrupt`, then TERM to the agent, then KILL to the whole tree.

    `interrupt` asks in the agent's own protocol; it and the wait for its effect get `grace_s[0]` seconds,
    TERM gets `grace_s[1]`; the step is skipped when the run ends before. Returns the state reached:
    Exited, or Vanished with nothing left when the holder had died; bounded by the sum of both graces and
    twice `KILL_WAIT_S`. Idempotent. Cancelled, it leaves the run wherever it is: call it again.
    """
    state = probe(run_dir)
    if isinstance(state, NotStarted):
        return state
    if isinstance(state, Alive):
        await _end_held(run_dir, state.holder, interrupt, grace_s)
    state = probe(run_dir)
    if isinstance(state, HolderGone):
        # Nobody relays any more: straight to the signal, the agent has seen the end of its input.
        signal_process(state.agent, signal.SIGTERM)
        signal_process(state.agent, signal.SIGCONT)
        await wait_gone(state.agent, grace_s[1])
    if not isinstance(state, Alive):
        await anyio.to_thread.run_sync(kill_tree, run_dir)
    return probe(run_dir)


async def _end_held(
    run_dir: Path,
    holder: ProcessIdentity,
    interrupt: Callable[[], Awaitable[None]] | None,
    grace_s: tuple[float, float],
) -> None:
    """Wait on the holder, not on the agent: it dies last, right after writing `exit`."""
    if interrupt is not None:
        with anyio.move_on_after(grace_s[0]):
            with contextlib.suppress(PodiumError, OSError):  # an agent that cannot be asked is told
                await interrupt()
            if await wait_gone(holder, grace_s[0]):
                return
    await anyio.to_thread.run_sync(_terminate, run_dir)
    if await wait_gone(holder, grace_s[1]):
        return
    await anyio.to_thread.run_sync(kill_tree, run_dir)
    if await wait_gone(holder, KILL_WAIT_S):
        return
    # Something stopped the holder itself. It gets a chance to go on; then the sweep from outside.
    signal_process(holder, signal.SIGCONT)
    if not await wait_gone(holder, KILL_WAIT_S):
        signal_process(holder, signal.SIGKILL)
        await wait_gone(holder, KILL_WAIT_S)


def _terminate(run_dir: Path) -> None:
    try:
        signal_agent(run_dir, signal.SIGTERM)
        signal_agent(run_dir, signal.SIGCONT)
    except (PodiumError, OSError):
        return  # a full disk: the kill that follows does not need the spool
