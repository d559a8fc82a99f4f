"""Learning of commits that another process made: PostgreSQL's NOTIFY, sent in the Writer's transaction."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import psycopg

from podium.store.postgresql_seat import CHANNEL

FIRST_PAUSE_S = 0.05
MAX_PAUSE_S = 2.0


async def follow(arguments: dict[str, Any]) -> AsyncIterator[int]:
    """The newest event's number at once, then again after every commit of events, whoever made it.

    Numbers may be left out (only the newest counts) and, after the connection was lost, come again: it is
    made anew with growing pauses for as long as somebody listens. Cancel, or close the iterator, to end.
    """
    pause_s = FIRST_PAUSE_S
    while True:
        try:
            async with await psycopg.AsyncConnection.connect(**arguments, autocommit=True) as connection:
                # First listen, then look: what is committed in between is seen by one of the two.
                await connection.execute(f"LISTEN {CHANNEL}")
                found = await connection.execute("SELECT COALESCE(MAX(seq), 0) FROM events")
                row = await found.fetchone()
                pause_s = FIRST_PAUSE_S
                yield int(row[0]) if row else 0
                async for notice in connection.notifies():
                    yield int(notice.payload)
        except psycopg.OperationalError:
            await asyncio.sleep(pause_s)
            pause_s = min(pause_s * 2, MAX_PAUSE_S)
