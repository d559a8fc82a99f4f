"""Text while it is being said: for followers who asked for it, never stored, with no place in the log.

Each such follower has a mailbox of bounded size; what does not fit is missed, and the event with the whole
text follows anyhow. With no follower that asks, a piece costs one look at an empty set.
"""

from __future__ import annotations

import asyncio
from collections import deque

import msgspec
from msgspec import Struct
from msgspec.structs import replace

from podium.bus.messages import Partials
from podium.gateway.sockets import text_frame
from podium.kernel.ids import RunId, TaskId

MAX_WAITING_BYTES = 64 * 1024
"""Of one follower's pieces that are not sent yet, as UTF-8; also of one piece."""
MAX_WAITING = 200
_encode = msgspec.json.Encoder().encode


class Piece(Struct, frozen=True, kw_only=True):
    """What is shown of `Partials`: the next characters of the text `item` of that run."""

    run_id: RunId
    task_id: TaskId
    item: str
    text: str
    thought: bool = False


class PartialFrame:
    """As a Chunk is sent, but moving no cursor."""

    def __init__(self, piece: Piece) -> None:
        self._json = b'{"partial":' + _encode(piece) + b"}"

    @property
    def frame(self) -> str:
        return self._json.decode()

    @property
    def wire(self) -> bytes:
        return text_frame(self._json)

    @property
    def lines(self) -> bytes:
        return b"event: partial\ndata: %s\n\n" % self._json


class Mailbox:
    """Of one follower; `stirred` is set when there is something, here or in the log."""

    def __init__(self, tasks: frozenset[str], runs: frozenset[str]) -> None:
        self._tasks = tasks
        self._runs = runs
        self._pieces: deque[Piece] = deque()
        self._bytes = 0
        self.stirred = asyncio.Event()

    def __bool__(self) -> bool:
        return bool(self._pieces)

    def offer(self, piece: Piece) -> None:
        """Take it if it is wanted and fits. Neighbours of one text become one."""
        if piece.task_id not in self._tasks and piece.run_id not in self._runs:
            return
        size = len(piece.text.encode("utf-8", "replace"))
        if self._bytes + size > MAX_WAITING_BYTES:
            return
        last = self._pieces[-1] if self._pieces else None
        if last is not None and replace(last, text="") == replace(piece, text=""):
            self._pieces[-1] = replace(last, text=last.text + piece.text)
        elif len(self._pieces) < MAX_WAITING:
            self._pieces.append(piece)
        else:
            return
        self._bytes += size
        self.stirred.set()

    def take(self) -> PartialFrame | None:
        """The oldest piece; None when there is none."""
        if not self._pieces:
            return None
        piece = self._pieces.popleft()
        self._bytes -= len(piece.text.encode("utf-8", "replace"))
        return PartialFrame(piece)


def piece_of(said: Partials) -> Piece:
    return Piece(
        run_id=said.run_id, task_id=said.task_id, item=said.item, text=said.text, thought=said.thought
    )
