"""A PostgreSQL database, named by its URL. The driver (psycopg) is loaded only when one is set."""

from __future__ import annotations

from collections.abc import AsyncIterator
from importlib.util import find_spec
from typing import Any

from sqlalchemy import Connection, Engine, create_engine, event, make_url, text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.pool import StaticPool

from podium.kernel.database_url import check_database_url, shown_database_url
from podium.kernel.errors import PodiumError, StorageFull, Unavailable
from podium.store.database import Database, Lost, Seat, must_be_current, version_is_current

LOCK_TIMEOUT_MS = 5_000
"""How long one statement waits for another program's lock before the batch is put off."""
MIN_SERVER = 130_000
_SETTINGS = {
    # A connection whose other end has vanished is noticed within seconds, not hours, at either end.
    "keepalives_idle": "5",
    "keepalives_interval": "2",
    "keepalives_count": "3",
    "tcp_user_timeout": "15000",
    "connect_timeout": "5",
}
_AT_SERVER = (
    f"-c lock_timeout={LOCK_TIMEOUT_MS} "
    "-c tcp_keepalives_idle=5 -c tcp_keepalives_interval=2 -c tcp_keepalives_count=3"
)


class PostgresqlDatabase(Database):
    """One database of a server that others administer. Its Writer holds a session advisory lock."""

    follows = True

    def __init__(self, url: str, who: str = "podium") -> None:
        check_database_url(url)
        if find_spec("psycopg") is None:
            raise Unavailable(
                "the driver for PostgreSQL is not installed", hint="pip install 'podium[postgresql]'"
            )
        self.place = shown_database_url(url)
        _scheme, _, rest = url.partition("://")
        self._url = make_url("postgresql+psycopg://" + rest)
        # Shown by pg_stat_activity, and to whoever finds the database taken; the server cuts at 63 bytes.
        self._settings = _SETTINGS | {"application_name": who[:63], "options": _AT_SERVER}

    def open(self) -> None:
        from podium.store.postgresql_seat import hold_alone

        engine = self.writing_engine()
        try:
            with engine.connect() as connection:
                self.must_be_usable(connection)
                if version_is_current(_version(connection)):
                    return
                connection.rollback()
                hold_alone(connection)
                with connection.begin():
                    if not version_is_current(_version(connection)):
                        from podium.store.migrate import upgrade

                        upgrade(connection)
        except DBAPIError as error:
            raise self.told(error) from error
        finally:
            engine.dispose()

    def check(self) -> None:
        engine = self.reading_engine()
        try:
            with engine.connect() as connection:
                must_be_current(_version(connection))
        except DBAPIError as error:
            raise self.told(error) from error
        finally:
            engine.dispose()

    def seat(self) -> Seat:
        from podium.store.postgresql_seat import PostgresqlSeat

        return PostgresqlSeat(self)

    def era(self, connection: Connection, boot_id: str) -> str:
        """The start of the server, and that of its statistics, which it forgets when it recovers from a
        crash: then the last of what was committed without waiting for the disk may be missing."""
        return str(connection.execute(_ERA).scalar_one())

    def writing_engine(self) -> Engine:
        """One connection, whatever the transactions are."""
        return self._engine()

    def reading_engine(self) -> Engine:
        engine = self._engine().execution_options(isolation_level="AUTOCOMMIT")

        @event.listens_for(engine, "connect")
        def _set_up(connection: Any, _record: Any) -> None:
            connection.autocommit = True
            connection.execute("SET default_transaction_read_only = on")
            connection.autocommit = False

        return engine

    def is_away(self, error: BaseException) -> bool:
        if isinstance(error, Lost) or (isinstance(error, DBAPIError) and error.connection_invalidated):
            return True
        state = _state(error)
        if state is None:
            # Connecting failed, or the connection broke: only then does the driver know no state.
            return type(getattr(error, "orig", error)).__name__ in {"OperationalError", "ConnectionTimeout"}
        return state.startswith("08") or state in _AWAY

    def is_locked(self, error: BaseException) -> bool:
        return _state(error) in {"55P03", "40P01", "57014"}

    def told(self, error: Exception) -> PodiumError:
        if isinstance(error, PodiumError):
            return error
        if not isinstance(error, DBAPIError):
            return PodiumError(f"{type(error).__name__} in a command; please report this")
        said = " ".join(str(error.orig).split())[:200]
        if _state(error) == "53100":
            return StorageFull("the disk of the database server is full; free some space there")
        if self.is_locked(error):
            return Unavailable("another program holds the database locked", hint="end it, then try again")
        if self.is_away(error):
            return Unavailable(
                f"the database {self.place} is away: {said}", hint="agents go on; try again when it is back"
            )
        return Unavailable(f"the database failed: {said}")

    async def follow(self) -> AsyncIterator[int]:
        from podium.store.following import follow

        async for seq in follow(self.connect_arguments()):
            yield seq

    def connect_arguments(self) -> dict[str, Any]:
        """For the driver itself."""
        given = self._url.translate_connect_args(username="user", database="dbname")
        return {**self._settings, **given, **self._url.query}

    def _engine(self) -> Engine:
        from podium.store.cursors import BinaryCursor

        settings: dict[str, Any] = {
            name: value for name, value in self._settings.items() if name not in self._url.query
        }
        settings["cursor_factory"] = BinaryCursor
        return create_engine(
            self._url, poolclass=StaticPool, connect_args=settings, pool_reset_on_return="rollback"
        )

    def must_be_usable(self, connection: Connection) -> None:
        """Raises Unavailable for a server that is too old, or a database that is not in UTF-8."""
        version = int(connection.execute(text("SHOW server_version_num")).scalar_one())
        encoding = connection.execute(text("SHOW server_encoding")).scalar_one()
        if version < MIN_SERVER:
            raise Unavailable(
                f"{self.place} is served by PostgreSQL {version // 10_000}",
                hint=f"Podium needs {MIN_SERVER // 10_000} or newer",
            )
        if encoding != "UTF8":
            raise Unavailable(
                f"{self.place} has the encoding {encoding}",
                hint="make it anew: createdb -E UTF8 -T template0 NAME",
            )


_ERA = text(
    "SELECT pg_postmaster_start_time()::text || ' ' || COALESCE(stats_reset::text, '') FROM pg_stat_bgwriter"
)
_AWAY = frozenset({"57P01", "57P02", "57P03", "25006", "53300"})
"""Shut down, crashed, starting up; made read-only (a standby now); no connection left."""


def _state(error: BaseException) -> str | None:
    return getattr(getattr(error, "orig", error), "sqlstate", None)


def _version(connection: Connection) -> str | None:
    if connection.execute(text("SELECT to_regclass('alembic_version')")).scalar() is None:
        return None
    found = connection.execute(text("SELECT version_num FROM alembic_version")).scalar()
    return None if found is None else str(found)
