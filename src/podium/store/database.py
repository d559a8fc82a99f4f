"""The port to a database: what the store asks of SQLite and PostgreSQL alike.

Tables and queries are the same for both (`schema.py`, `queries.py`). What differs stands behind `Database`
and `Seat`: opening, being the only one who writes, durability, and what an error means.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

from sqlalchemy import Connection, Engine

from podium.kernel.errors import NewerDatabase, PodiumError, Unavailable
from podium.store.schema import HEAD


class Database(ABC):
    """One database. `place` names it to people and holds no password."""

    place: str
    follows: bool
    """Whether one process learns of another's commits: `follow` works."""

    @abstractmethod
    def open(self) -> None:
        """Check the version, migrate if older. Raises NewerDatabase (nothing touched) if newer, Conflict
        when a migration is due while another server works, Unavailable."""

    @abstractmethod
    def check(self) -> None:
        """As `open` for one who only reads: raises Unavailable unless the version is exactly ours."""

    @abstractmethod
    def seat(self) -> Seat:
        """The Writer's place, not taken yet."""

    @abstractmethod
    def writing_engine(self) -> Engine:
        """One connection that may write, without the right of a seat: for migrations and copies."""

    @abstractmethod
    def reading_engine(self) -> Engine:
        """One connection for the reader thread; cannot write."""

    @abstractmethod
    def era(self, connection: Connection, boot_id: str) -> str:
        """Changes whenever commits that were not fully durable may be lost. `boot_id`: the machine's."""

    @abstractmethod
    def is_away(self, error: BaseException) -> bool:
        """Whether the connection is gone, so that only a new one can help."""

    @abstractmethod
    def is_locked(self, error: BaseException) -> bool:
        """Whether another program holds what we need."""

    @abstractmethod
    def told(self, error: Exception) -> PodiumError:
        """What a caller is told about a failure of the database."""

    def follow(self) -> AsyncIterator[int]:
        """The newest event's number, again whenever somebody committed events."""
        raise Unavailable(f"{self.place} cannot be followed from another process")


@dataclass(frozen=True, kw_only=True)
class Resumed:
    """What was found when a lost connection was replaced."""

    committed: bool
    """Whether the transaction that was being committed when the connection went is there."""
    last_seq: int
    era: str


class Seat(ABC):
    """The Writer's place at its database: one connection and the right to be the only one who writes.

    Used by one thread at a time. The order of one transaction is begin, seal, commit; or rollback.
    """

    connection: Connection
    epoch: str | None = None
    """What this Writer marks a shared database with (`meta.epoch_of`); None where nobody else could look."""

    @abstractmethod
    def take(self) -> None:
        """Connect and become the only Writer. Raises Conflict when another is, naming it; Unavailable."""

    @abstractmethod
    def begin(self, *, durable: bool) -> None:
        """`durable`: the commit survives a crash of the machine; otherwise only one of ours."""

    @abstractmethod
    def seal(self, *, wrote: bool, last_seq: int | None) -> None:
        """The last thing before COMMIT. If the transaction `wrote`, note in it that it is ours; `last_seq`:
        the last of the events it holds. Raises Superseded or Unavailable when the right to write is lost."""

    @abstractmethod
    def commit(self) -> None:
        """Raises InDoubt when it is not known whether it happened."""

    @abstractmethod
    def rollback(self) -> None:
        """Also when BEGIN itself failed, or the connection is gone."""

    @abstractmethod
    def resume(self) -> Resumed:
        """One attempt to take the seat again after its connection was lost. Raises Superseded for good,
        anything else for now."""

    @abstractmethod
    def leave(self) -> None:
        """Close the connection; the right to write ends with it."""


class Lost(Unavailable):
    """The connection to the database is gone."""


class InDoubt(Exception):
    """The connection went between COMMIT and its answer."""


class Superseded(Unavailable):
    """Somebody else wrote to this database; this server must not go on."""


def version_is_current(found: str | None) -> bool:
    """Raises NewerDatabase for one that this Podium does not know."""
    if found is not None and found > HEAD:
        raise NewerDatabase(
            f"the database is at version {found}, this Podium knows up to {HEAD}",
            hint="install the newer Podium, or start with a backup made by this one",
        )
    return found == HEAD


def must_be_current(found: str | None) -> None:
    """For one who only reads. Raises Unavailable."""
    if not version_is_current(found):
        raise Unavailable(
            f"the database is at version {found or 'none'}, not {HEAD}", hint="start its server first"
        )


def database_at(home: Path, url: str | None, who: str = "podium") -> Database:
    """The database of a home: its own SQLite file, or the PostgreSQL database that the URL names.

    `who` is what others are told who holds it. Raises Unavailable when the driver is missing.
    """
    if url is None:
        from podium.store.sqlite import SqliteDatabase

        return SqliteDatabase(home / "podium.db")
    from podium.store.postgresql import PostgresqlDatabase

    return PostgresqlDatabase(url, who)
