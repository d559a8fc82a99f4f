"""Disk work off the event loop that is never left running behind a caller who was cancelled."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import ParamSpec, TypeVar

import anyio

P = ParamSpec("P")
T = TypeVar("T")


async def in_thread(work: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    """The result of `work`. A cancellation is delivered only once the thread has ended: whoever repairs a
    half-made directory next must not meet it there."""
    running = asyncio.ensure_future(asyncio.to_thread(work, *args, **kwargs))
    try:
        return await asyncio.shield(running)
    except asyncio.CancelledError:
        with anyio.CancelScope(shield=True):  # a cancelled scope would cancel this wait again
            await asyncio.wait([running])
        raise
