"""The two ends of the pipe: frames out on stdout, lines in on stdin. No threads, no busy loops."""

from __future__ import annotations

import json
import os
import select
import time
from typing import Any

MAX_PENDING_BYTES = 1024 * 1024
"""A line on stdin longer than this is dropped: nothing that we understand is that long."""


LOOK_PIECES = 64
"""How much of stdin is taken between two steps, in reads: a peer that never stops writing cannot hold us."""


def write_all(data: bytes, descriptor: int = 1) -> None:
    """Write every byte; a partial write (a full pipe) goes on where it stopped."""
    view = memoryview(data)
    while view:
        view = view[os.write(descriptor, view) :]


def emit(kind: str, **fields: Any) -> None:
    """One frame on stdout, written at once. Fields that are None are left out, except resumed_after."""
    frame = {"type": kind, **{k: v for k, v in fields.items() if v is not None or k == "resumed_after"}}
    write_all(json.dumps(frame, ensure_ascii=False, separators=(",", ":")).encode(errors="replace") + b"\n")


class Inbox:
    """What stdin has said so far: `eof`, `interrupted` after a line {"type": "interrupt"}, the answers to
    asks by their id, and the messages of people in their order."""

    def __init__(self, descriptor: int = 0) -> None:
        self._descriptor = descriptor
        self._pending = b""
        self.eof = False
        self.interrupted = False
        self.answers: dict[str, str] = {}
        self.messages: list[dict[str, Any]] = []

    @property
    def stopped(self) -> bool:
        return self.eof or self.interrupted

    def look(self) -> None:
        """Take what is there already, the end included; never blocks."""
        for _ in range(LOOK_PIECES):
            if not self.listen(0):
                return

    def listen(self, timeout_s: float | None, *, other: int | None = None) -> bool:
        """Block until stdin has news (True), `other` is readable, or the time is over; None waits for ever.

        Several lines may be taken in one call. After EOF only `other` and the time can end the wait.
        """
        poller = select.poll()
        if not self.eof:
            poller.register(self._descriptor, select.POLLIN)
        if other is not None:
            poller.register(other, select.POLLIN)
        milliseconds = None if timeout_s is None else max(0, int(timeout_s * 1000 + 0.999))
        ready = [descriptor for descriptor, _event in poller.poll(milliseconds)]
        if self._descriptor in ready:
            self._take()
            return True
        return False

    def listen_until(self, deadline: float) -> bool:
        """Listen until a time.monotonic() deadline or a stop; True when the deadline was reached."""
        while not self.stopped:
            left = deadline - time.monotonic()
            if left <= 0:
                return True
            self.listen(left)
        return False

    def _take(self) -> None:
        try:
            piece = os.read(self._descriptor, 65536)
        except OSError:
            piece = b""
        self.eof = not piece
        *lines, self._pending = (self._pending + piece).split(b"\n")
        self._pending = self._pending[-MAX_PENDING_BYTES:]
        for line in lines:
            self._hear(line)

    def _hear(self, line: bytes) -> None:
        """Four kinds of lines mean something to us; everything else is read and passed over."""
        try:
            said = json.loads(line)
        except (ValueError, RecursionError):
            return
        match said:
            case {"type": "interrupt"}:
                self.interrupted = True
                if isinstance(said.get("id"), str):
                    emit("message", id=said["id"], state="completed")
            case {"type": "model", "id": str(name)}:
                # We have none, and take every name.
                emit("message", id=name, state="started")
                emit("message", id=name, state="completed")
            case {"type": "answer", "id": str(ask), "decision": str(decision)}:
                self.answers.setdefault(ask, decision)
            case {"type": "message", "id": str(), "text": str()}:
                self.messages.append(said)
