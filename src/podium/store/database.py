"""Opening the database: versions checked before anything is written, one engine to write, one to read."""

from __future__ import annotations

import sqlite3
from pathlib import Path
from typing import Any

from sqlalchemy import URL, Connection, Engine, create_engine, event
from sqlalchemy.exc import DBAPIError
from sqlalchemy.pool import NullPool, StaticPool

from podium.kernel.errors import NewerDatabase, PodiumError, StorageFull, Unavailable
from podium.store.schema import HEAD

BUSY_TIMEOUT_S = 5.0
"""How long one statement waits for another process's lock before the batch is put off."""


class Database:
    """The file (or server) behind one store. `open()` brings the schema up to date."""

    def __init__(self, path: Path, *, busy_timeout_s: float = BUSY_TIMEOUT_S) -> None:
        self.path = path
        self._busy_timeout_s = busy_timeout_s

    def open(self) -> None:
        """Check the version, migrate if older. Raises NewerDatabase, the file untouched, if newer."""
        found = self._version()
        if found == HEAD:
            return
        if found is not None and found > HEAD:
            raise NewerDatabase(
                f"the database is at version {found}, this Podium knows up to {HEAD}",
                hint="install the newer Podium, or start with a backup made by this one",
            )
        from podium.store.migrate import upgrade

        engine = self.writing_engine()
        try:
            with engine.connect() as connection:
                upgrade(connection)
        finally:
            engine.dispose()

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
        engine = self._engine(StaticPool)

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
        """One connection for the reader thread; cannot write."""
        engine = self._engine(StaticPool).execution_options(isolation_level="AUTOCOMMIT")

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

    def _read_only(self) -> sqlite3.Connection:
        address = f"{self.path.absolute().as_uri()}?mode=ro"
        return sqlite3.connect(address, uri=True, timeout=self._busy_timeout_s)

    def _engine(self, pool: type[StaticPool] | type[NullPool]) -> Engine:
        return create_engine(
            # Put together, not written out: a path may hold what means something in an address.
            URL.create("sqlite", database=str(self.path)),
            poolclass=pool,
            connect_args={"check_same_thread": False, "timeout": self._busy_timeout_s},
        )


def is_disk_full(error: BaseException) -> bool:
    code = getattr(getattr(error, "orig", error), "sqlite_errorname", "")
    return code in {"SQLITE_FULL", "SQLITE_IOERR_WRITE", "SQLITE_IOERR_SHMSIZE", "SQLITE_CANTOPEN_FULL"}


def is_locked(error: BaseException) -> bool:
    code = getattr(getattr(error, "orig", error), "sqlite_errorname", "")
    return code.startswith(("SQLITE_BUSY", "SQLITE_LOCKED"))


def as_podium_error(error: Exception) -> PodiumError:
    """What a caller is told about a failure of the database."""
    if isinstance(error, PodiumError):
        return error
    if isinstance(error, (DBAPIError, sqlite3.Error)):
        if is_disk_full(error):
            return StorageFull()
        if is_locked(error):
            return Unavailable("another program holds the database locked", hint="end it, then try again")
        return Unavailable(f"the database failed: {str(getattr(error, 'orig', error))[:200]}")
    return PodiumError(f"{type(error).__name__} in a command; please report this")
