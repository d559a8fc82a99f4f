"""A command that stops in its middle until a test lets it go on."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from podium.process.procfs import all_pids, running_since
from tests.agents.driving import shell


class Gate:
    """It writes down that it began and that it ended."""

    def __init__(self, folder: Path) -> None:
        self._fifo, self._journal = folder / "gate", folder / "journal"
        self._journal.touch()
        os.mkfifo(self._fifo)
        self._end = os.open(self._fifo, os.O_RDWR)  # with a writer there no reader sees an end

    def turn(self, name: str) -> dict[str, Any]:
        """Codex tries what was allowed in its sandbox first, and once more outside when that has failed;
        after ten seconds it would leave a command to itself."""
        note = "echo {} >> " + str(self._journal)
        steps = (
            note.format("began"),
            f"read go < {self._fifo}",
            "echo made > made.txt",
            note.format("ended"),
        )
        call = shell(f"set -e; {'; '.join(steps)}")
        more = {"yield_time_ms": 30_000} if name == "codex" else {}
        return {"calls": [{**call, "input": {**call["input"], **more}}]}

    def count(self, word: str) -> int:
        return self._journal.read_text().split().count(word)

    def let_go(self, times: int) -> None:
        os.write(self._end, b"go\n" * times)

    def processes(self) -> set[tuple[int, int | None]]:
        """Shells in the middle of the command, wherever they hang in the tree."""
        found = {(pid, running_since(pid)) for pid in all_pids() if self._is_named_by(pid)}
        return {(pid, since) for pid, since in found if since is not None}

    def _is_named_by(self, pid: int) -> bool:
        try:
            return bytes(self._fifo) in Path(f"/proc/{pid}/cmdline").read_bytes()
        except (FileNotFoundError, ProcessLookupError):
            return False
