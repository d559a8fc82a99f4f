"""The embedded database: one file in WAL mode, written by one connection."""

from __future__ import annotations

import sqlite3
from pathlib import Path
from typing import Any

from sqlalchemy import URL, Connection, Engine, create_engine, event
from sqlalchemy.exc import DBAPIError
from sqlalchemy.pool import StaticPool

from podium.kernel.errors import PodiumError, StorageFull, Unavailable
from podium.store.database import Database, Resumed, Seat, must_be_current, version_is_current

BUSY_TIMEOUT_S = 5.0
"""How long one statement waits for another process's lock before the batch is put off."""


class SqliteDatabase(Database):
    """The file behind one store. One daemon at a time has it: the lock on the home sees to that."""

    follows = False

    def __init__(self, path: Path, *, busy_timeout_s: float = BUSY_TIMEOUT_S) -> None:
        self.path = path
        self.place = str(path)
        self._busy_timeout_s = busy_timeout_s

    def open(self) -> None:
        if version_is_current(self._version()):
            return
        from podium.store.migrate import upgrade

        engine = self.writing_engine()
        try:
            with engine.connect() as connection, connection.begin():
                upgrade(connection)
        finally:
            engine.dispose()

    def check(self) -> None:
        must_be_current(self._version())

    def seat(self) -> SqliteSeat:
        return SqliteSeat(self)

    def era(self, connection: Connection, boot_id: str) -> str:
        return boot_id

    def file(self) -> tuple[int, int] | None:
        """Which file stands at the path, by device and inode; None when there is none."""
        try:
            found = self.path.stat()
        except OSError:
            return None
        return found.st_dev, found.st_ino

    def _version(self) -> str | None:
        if not self.path.exists() or self.path.stat().st_size == 0:
            return None
        # Read-only and without SQLAlchemy: a file we may have to refuse must stay byte-identical.
        probe = self._read_only()
        try:
            row = probe.execute("SELECT version_num FROM alembic_version").fetchone()
        except sqlite3.OperationalError as error:
            if "no such table" in str(error):
                return None
            raise Unavailable(f"the database cannot be read: {error}") from error
        except sqlite3.DatabaseError as error:
            raise Unavailable(
                f"{self.path} is not a Podium database: {error}", hint="restore it with a backup"
            ) from error
        finally:
            probe.close()
        return str(row[0]) if row else None

    def writing_engine(self) -> Engine:
        """One connection; every transaction begins IMMEDIATE."""
        engine = self._engine()

        @event.listens_for(engine, "connect")
        def _set_up(connection: Any, _record: Any) -> None:
            connection.isolation_level = None
            connection.execute("PRAGMA journal_mode=WAL")
            connection.execute("PRAGMA synchronous=FULL")
            connection.execute("PRAGMA foreign_keys=ON")
            connection.execute("PRAGMA wal_autocheckpoint=4000")
            connection.execute("PRAGMA cache_size=-4096")

        @event.listens_for(engine, "begin")
        def _begin(connection: Connection) -> None:
            connection.exec_driver_sql("BEGIN IMMEDIATE")

        return engine

    def reading_engine(self) -> Engine:
        engine = self._engine().execution_options(isolation_level="AUTOCOMMIT")

        @event.listens_for(engine, "connect")
        def _set_up(connection: Any, _record: Any) -> None:
            connection.execute("PRAGMA query_only=ON")
            connection.execute("PRAGMA cache_size=-4096")

        return engine

    def copy_to(self, target: Path) -> None:
        """A consistent copy while others write: one step of SQLite's own backup, then fsync.

        In one step because a paged backup starts again whenever somebody writes and never ends under load.
        """
        source = self._read_only()
        copy = sqlite3.connect(target)
        try:
            source.backup(copy, pages=-1)
        finally:
            copy.close()
            source.close()

    def is_away(self, error: BaseException) -> bool:
        return False

    def is_locked(self, error: BaseException) -> bool:
        return _code(error).startswith(("SQLITE_BUSY", "SQLITE_LOCKED"))

    def told(self, error: Exception) -> PodiumError:
        if isinstance(error, PodiumError):
            return error
        if isinstance(error, (DBAPIError, sqlite3.Error)):
            if _code(error) in _FULL:
                return StorageFull()
            if self.is_locked(error):
                return Unavailable("another program holds the database locked", hint="end it, then try again")
            return Unavailable(f"the database failed: {str(getattr(error, 'orig', error))[:200]}")
        return PodiumError(f"{type(error).__name__} in a command; please report this")

    def _read_only(self) -> sqlite3.Connection:
        address = f"{self.path.absolute().as_uri()}?mode=ro"
        return sqlite3.connect(address, uri=True, timeout=self._busy_timeout_s)

    def _engine(self) -> Engine:
        return create_engine(
            # Put together, not written out: a path may hold what means something in an address.
            URL.create("sqlite", database=str(self.path)),
            poolclass=StaticPool,
            connect_args={"check_same_thread": False, "timeout": self._busy_timeout_s},
        )


class SqliteSeat(Seat):
    """A file cannot be taken over by somebody else; but it can be moved away under us."""

    def __init__(self, database: SqliteDatabase) -> None:
        self._database = database
        self._engine = database.writing_engine()
        self._full: bool | None = None

    def take(self) -> None:
        self.connection = self._engine.connect()
        self._file = self._database.file()

    def begin(self, *, durable: bool) -> None:
        if durable is not self._full:
            driver: Any = self.connection.connection.dbapi_connection
            driver.execute(f"PRAGMA synchronous={'FULL' if durable else 'NORMAL'}")
            self._full = durable
        self.connection.begin()

    def seal(self, *, wrote: bool, last_seq: int | None) -> None:
        """A file that was removed or moved away still takes a commit; nobody would ever find it again."""
        if self._database.file() != self._file:
            raise Unavailable(
                f"the database is not at {self._database.path} any more: nothing is taken in",
                hint="put the home back where it was, or stop this server and start it on another",
            )

    def commit(self) -> None:
        self.connection.commit()

    def rollback(self) -> None:
        self.connection.rollback()  # also when BEGIN itself failed: SQLAlchemy thinks it has begun

    def resume(self) -> Resumed:
        raise Unavailable("an embedded database does not go away")

    def leave(self) -> None:
        self._engine.dispose()


_FULL = frozenset({"SQLITE_FULL", "SQLITE_IOERR_WRITE", "SQLITE_IOERR_SHMSIZE", "SQLITE_CANTOPEN_FULL"})


def _code(error: BaseException) -> str:
    return str(getattr(getattr(error, "orig", error), "sqlite_errorname", ""))
