"""Where a worker keeps things: `runs/<run>`, `workspaces/<run>`, `mirrors/<source>`. The disk is its memory.

A run's directory exists from the moment its order is stored until the server has recorded its end; what a
restarted worker holds is exactly what it finds here.
"""

from __future__ import annotations

import hashlib
import os
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Literal, TypeVar

import msgspec
from msgspec import Struct

from podium.bus.messages import Captured, RunOrder
from podium.kernel.faultpoint import reach
from podium.kernel.ids import RunId
from podium.kernel.nouns import Outcome
from podium.worker.archive import OutputArchive

T = TypeVar("T", bound=Struct)


class RunHome:
    """The directory of one run."""

    def __init__(self, root: Path, run_id: str) -> None:
        self.run_id = RunId(run_id)
        self.path = root / run_id
        self.process = self.path / "process"
        """The holder's directory: spools, identities, exit."""
        self.files = self.path / "files"
        self._order = self.path / "order.json"
        self._captured = self.path / "captured.json"
        self._outcome = self.path / "outcome.json"
        self._session = self.path / "session"
        self._limit = self.path / "limit"
        self._halted = self.path / "halted"
        self._argv = self.path / "argv.json"
        self._taken = self.path / "taken.json"

    def archive(self, stream: Literal["out", "err"] = "out") -> OutputArchive:
        return OutputArchive(self.process / stream, self.path)

    def store_order(self, order: RunOrder) -> None:
        """From here on the run survives us; a loss of power only after `settle_order`."""
        self.path.mkdir(exist_ok=True, mode=0o700)  # never a home that was moved away or removed
        _write_bytes(self._order, msgspec.json.encode(order), durable=False)
        reach("worker.order_stored")

    def settle_order(self) -> None:
        """The order on the disk itself, before its agent exists. Blocks: call it in a thread.

        Until then a loss of power may leave half an order, which was never accepted: the server's row is the
        order, and is sent again.
        """
        with self._order.open("rb") as file:
            os.fsync(file.fileno())

    def order(self) -> RunOrder | None:
        return _read(self._order, RunOrder)

    def store_captured(self, captured: Captured) -> None:
        """The work is in the mirror and uploaded: a restart must not capture what checks left behind."""
        _write(self._captured, captured)

    def captured(self) -> Captured | None:
        return _read(self._captured, Captured)

    def store_outcome(self, outcome: Outcome) -> None:
        """How the agent ended, judged once: a restart must not come to another judgement later."""
        _write(self._outcome, outcome)

    def outcome(self) -> Outcome | None:
        return _read(self._outcome, Outcome)

    def note_argv(self, argv: tuple[str, ...]) -> None:
        """For `diagnose`; already masked."""
        _write_bytes(self._argv, msgspec.json.encode(argv), durable=False)

    def note_session(self, conversation_id: str | None) -> None:
        """Which conversation was launched, for a worker that comes back before it was told."""
        self._session.write_text(conversation_id or "", encoding="utf-8")

    def session(self) -> str | None:
        try:
            return self._session.read_text(encoding="utf-8") or None
        except FileNotFoundError:
            return None

    def note_taken(self, message_ids: Sequence[str]) -> None:
        """Messages that the conversation held already when it was launched."""
        _write_bytes(self._taken, msgspec.json.encode(list(message_ids)))

    def taken(self) -> list[str]:
        try:
            return msgspec.json.decode(self._taken.read_bytes(), type=list[str])
        except (FileNotFoundError, msgspec.MsgspecError):
            return []

    def argv(self) -> tuple[str, ...]:
        try:
            return msgspec.json.decode(self._argv.read_bytes(), type=tuple[str, ...])
        except (FileNotFoundError, msgspec.MsgspecError):
            return ()

    def note_limit(self, word: str) -> None:
        """The agent is about to be stopped for reaching a limit; the first one counts."""
        if self.limit() is None:
            self._limit.write_text(word, encoding="ascii")

    def note_halted(self) -> None:
        """The agent is stopped only because its worker stops: the run shall be resumed."""
        self._halted.touch()

    def halted(self) -> bool:
        return self._halted.exists()

    def limit(self) -> str | None:
        try:
            return self._limit.read_text(encoding="ascii") or None
        except FileNotFoundError:
            return None

    def forget(self) -> None:
        """Remove the directory; the order first, so that half a removal is not a held run."""
        self._order.unlink(missing_ok=True)
        shutil.rmtree(self.path, ignore_errors=True)


class WorkerHome:
    def __init__(self, path: Path) -> None:
        self.path = path
        self.runs = path / "runs"
        self.workspaces = path / "workspaces"
        self.mirrors = path / "mirrors"
        self.sessions = path / "sessions"
        self.logins = path / "logins"
        self.successes = path / "successes"

    def open(self) -> None:
        for folder in (self.runs, self.workspaces, self.mirrors, self.sessions, self.logins):
            folder.mkdir(parents=True, exist_ok=True, mode=0o700)

    def run(self, run_id: str) -> RunHome:
        return RunHome(self.runs, run_id)

    def note_login(self, run_id: str, login_dir: Path | None) -> None:
        """Where a run's program keeps its login and its conversation: who goes on with it needs the same."""
        if login_dir is not None:
            _write_bytes(self.logins / run_id, str(login_dir).encode())

    def note_success(self, harness: str) -> None:
        """For `doctor`: when an agent of this kind last did its work here."""
        self.successes.mkdir(mode=0o700, exist_ok=True)
        (self.successes / harness.replace("/", "_")).touch()

    def login_of(self, run_id: str | None) -> Path | None:
        if run_id is None:
            return None
        try:
            return Path((self.logins / run_id).read_text(encoding="utf-8"))
        except FileNotFoundError:
            return None

    def workspace(self, workspace_of: str) -> Path:
        return self.workspaces / workspace_of / "tree"

    def workspace_git(self, workspace_of: str) -> Path:
        """Our own git directory for a workspace, beside it and out of the agent's way."""
        return self.workspaces / workspace_of / "git"

    def mirror(self, repository: str) -> Path:
        return self.mirrors / f"{hashlib.sha256(repository.encode()).hexdigest()[:32]}.git"

    def held(self) -> list[tuple[RunHome, RunOrder]]:
        """Every run on this disk whose order is whole. Only looks: an order may be on its way to the disk."""
        homes = [self.run(folder.name) for folder in sorted(self.runs.iterdir())]
        return [(home, order) for home in homes if (order := home.order()) is not None]

    def forget_halves(self) -> None:
        """Directories without a whole order were never accepted. Only before orders are taken."""
        for folder in self.runs.iterdir():
            home = self.run(folder.name)
            if home.order() is None:
                home.forget()


def _write(path: Path, value: Struct) -> None:
    _write_bytes(path, msgspec.json.encode(value))


def _write_bytes(path: Path, data: bytes, *, durable: bool = True) -> None:
    part = path.with_suffix(".part")
    with open(part, "wb", opener=lambda name, flags: os.open(name, flags, 0o600)) as file:
        file.write(data)
        if durable:
            file.flush()
            os.fsync(file.fileno())
    os.replace(part, path)


def _read(path: Path, kind: type[T]) -> T | None:
    try:
        return msgspec.json.decode(path.read_bytes(), type=kind)
    except (FileNotFoundError, msgspec.MsgspecError):
        return None
