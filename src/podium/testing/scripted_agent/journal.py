"""The agent's own record of what it did: `<session>.jsonl`, appended and synced one line at a time.

Independent of Podium: tests and the fault bench count the `end` lines to find work lost or done twice.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from datetime import UTC, datetime


class Journal:
    """Appends `begin` and `end` of steps; knows what earlier processes of the session had recorded.

    Each record is one write to an O_APPEND file, then fsync: a record is either whole or ignored, and an
    `end` that was written is never forgotten. Without a folder nothing is kept and nothing is resumed.
    """

    def __init__(self, folder: str | None, session: str, environment: Mapping[str, str]) -> None:
        self._labels = {
            "session": session,
            "run": environment.get("PODIUM_RUN", ""),
            "task": environment.get("PODIUM_TASK", ""),
        }
        self._begins: dict[str, int] = {}
        self._ends: list[str] = []
        self._descriptor: int | None = None
        if folder is not None:
            os.makedirs(folder, exist_ok=True)
            path = os.path.join(folder, f"{session}.jsonl")
            flags = os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC
            self._descriptor = os.open(path, flags, 0o600)
            self._read_back(folder)

    @property
    def last_ended(self) -> str | None:
        """The step after which the session goes on."""
        return self._ends[-1] if self._ends else None

    def attempts(self, step: str) -> int:
        """How often the step was begun, this time included."""
        return self._begins.get(step, 0)

    def begin(self, step: str) -> bool:
        """Record the start; True when an earlier process had begun this step and not ended it."""
        again = self._begins.get(step, 0) > 0 and step not in self._ends
        self._begins[step] = self._begins.get(step, 0) + 1
        self._append(step, "begin")
        return again

    def end(self, step: str) -> None:
        self._ends.append(step)
        self._append(step, "end")

    def _append(self, step: str, phase: str) -> None:
        if self._descriptor is None:
            return
        at = datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
        record = {**self._labels, "step": step, "phase": phase, "at": at, "pid": os.getpid()}
        os.write(self._descriptor, json.dumps(record).encode() + b"\n")
        os.fsync(self._descriptor)

    def _read_back(self, folder: str) -> None:
        assert self._descriptor is not None
        content = b""
        while piece := os.pread(self._descriptor, 1 << 20, len(content)):
            content += piece
        if not content:
            directory = os.open(folder, os.O_RDONLY)
            os.fsync(directory)  # else a power cut may forget the file that the records were synced into
            os.close(directory)
        elif not content.endswith(b"\n"):
            os.write(self._descriptor, b"\n")  # ends a line that a crash tore, so that ours starts clean
        for line in content.splitlines():
            try:
                record = json.loads(line)
                step, phase = str(record["step"]), record["phase"]
            except (ValueError, KeyError, TypeError):
                continue  # the torn line
            if phase == "begin":
                self._begins[step] = self._begins.get(step, 0) + 1
            elif phase == "end":
                self._ends.append(step)
