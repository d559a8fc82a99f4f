"""A request's body under limits of size and time. Errors surface where the handler reads it."""

from __future__ import annotations

import asyncio
from typing import Any

from litestar.types import Receive

from podium.kernel.errors import Timeout, TooLarge

SEND_LESS = "put long material into the repository and refer to it"


class Body:
    """Stands in for `receive`. `total_s` bounds the whole body, `gap_s` each wait for more of it.

    Raises TooLarge or Timeout. Once the body is complete, waiting (for a disconnect) is unbounded.
    """

    def __init__(self, receive: Receive, limit_bytes: int, *, gap_s: float, total_s: float | None) -> None:
        self._receive = receive
        self._limit = limit_bytes
        self._gap_s = gap_s
        self._total_s = total_s
        self._began: float | None = None
        self._size = 0
        self._complete = False

    async def __call__(self) -> Any:
        if self._complete:
            return await self._receive()
        now = asyncio.get_running_loop().time()
        self._began = self._began if self._began is not None else now
        patience_s = self._gap_s
        if self._total_s is not None:
            patience_s = min(patience_s, self._began + self._total_s - now)
        try:
            async with asyncio.timeout(patience_s):
                message: Any = await self._receive()
        except TimeoutError as error:
            raise Timeout("the body did not arrive in time") from error
        if message["type"] == "http.request":
            self._size += len(message.get("body", b""))
            if self._size > self._limit:
                raise TooLarge(
                    f"a body may have {self._limit} bytes here", hint=SEND_LESS, limit_bytes=self._limit
                )
            self._complete = not message.get("more_body", False)
        return message
