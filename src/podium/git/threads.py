"""Work beside other work that is never left running behind a caller who was cancelled."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import ParamSpec, TypeVar

import anyio

P = ParamSpec("P")
T = TypeVar("T")
U = TypeVar("U")


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


async def together(first: Callable[[], Awaitable[T]], second: Callable[[], Awaitable[U]]) -> tuple[T, U]:
    """Both results, worked out at the same time. When one fails the other is cancelled, has ended, and the
    failure is raised as it is."""
    ones: list[T] = []
    twos: list[U] = []

    async def take_first() -> None:
        ones.append(await first())

    async def take_second() -> None:
        twos.append(await second())

    try:
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(take_first)
            tasks.start_soon(take_second)
    except BaseExceptionGroup as failed:
        raise failed.exceptions[0] from None
    return ones[0], twos[0]
