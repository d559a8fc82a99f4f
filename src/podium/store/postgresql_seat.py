"""The Writer's seat at a PostgreSQL database: a session advisory lock, and a mark in every transaction.

The lock keeps two live servers apart, but it ends with the connection, which may end without us. The mark
(`meta.writer`: our epoch and the number of the transaction, moved by compare-and-set) says afterwards whether
somebody else wrote meanwhile, and whether the transaction whose COMMIT was not answered is there.
"""

from __future__ import annotations

import time
import uuid
from typing import TYPE_CHECKING

from sqlalchemy import Connection, Row, bindparam, text
from sqlalchemy.exc import DBAPIError

from podium.kernel.errors import Conflict, Unavailable
from podium.store.database import InDoubt, Lost, Resumed, Seat, Superseded
from podium.store.queries import last_seq as newest

if TYPE_CHECKING:
    from podium.store.postgresql import PostgresqlDatabase

LOCK_KEY = 0x706F_6469_756D
"""`podium`; advisory locks count within one database."""
CHANNEL = "podium_events"
LOCK_WAIT_S = 5.0
"""How long a start waits for the connection of a server that has just died to end."""
LOOK_EVERY_S = 0.05

_TRY = text("SELECT pg_try_advisory_lock(:key)").bindparams(key=LOCK_KEY)
_ME = text("SELECT pg_backend_pid(), backend_start::text FROM pg_stat_activity WHERE pid = pg_backend_pid()")
_HOLDER = text(
    "SELECT a.pid, a.backend_start::text AS started, a.application_name AS who, a.usename AS user_name, "
    "COALESCE(a.client_addr::text, 'the same machine') AS host "
    "FROM pg_locks l JOIN pg_stat_activity a ON a.pid = l.pid JOIN pg_database d ON d.oid = l.database "
    "WHERE l.locktype = 'advisory' AND l.granted AND d.datname = current_database() "
    "AND l.classid::bigint = :high AND l.objid::bigint = :low AND l.objsubid = 1"
).bindparams(high=LOCK_KEY >> 32, low=LOCK_KEY & 0xFFFF_FFFF)
_END = text("SELECT pg_terminate_backend(:pid)")
_MARK = text("SELECT value FROM meta WHERE key = 'writer'")
_FIRST_MARK = text(
    "INSERT INTO meta (key, value) VALUES ('writer', :mark) "
    "ON CONFLICT (key) DO UPDATE SET value = excluded.value"
)
_SEAL = "UPDATE meta SET value = :new WHERE key = 'writer' AND value = :old RETURNING "
_SYNC = "set_config('synchronous_commit', :sync, true)"
_SEALS = {
    False: text(_SEAL + _SYNC),
    True: text(f"{_SEAL}{_SYNC}, pg_notify('{CHANNEL}', :seq)").bindparams(bindparam("seq")),
}
"""One statement: mark, durability of this commit, and (with events) the call to those who follow."""


def hold_alone(connection: Connection) -> None:
    """Take the lock for this connection's life. After LOCK_WAIT_S raises Conflict, naming the holder."""
    end = time.monotonic() + LOCK_WAIT_S
    while not connection.execute(_TRY).scalar_one():
        connection.rollback()
        if time.monotonic() >= end:
            raise Conflict(
                f"another Podium writes to this database: {_named(holder(connection))}",
                hint="end it first (podium down, there), set another database_url, or follow it: "
                "podium up --beside PATH, the bus.sock in its home",
            )
        time.sleep(LOOK_EVERY_S)
    connection.commit()


def holder(connection: Connection) -> Row[tuple[int, str, str, str, str]] | None:
    """Who has the lock: pid of the server's process, since when, name, user, address."""
    found = connection.execute(_HOLDER).first()
    connection.rollback()
    return found


def _named(found: Row[tuple[int, str, str, str, str]] | None) -> str:
    if found is None:
        return "it has just ended; try again"
    process = f"process {found.pid} of the database"
    return f"{found.who or 'no name'} on {found.host}, as {found.user_name} ({process})"


class PostgresqlSeat(Seat):
    def __init__(self, database: PostgresqlDatabase) -> None:
        self._database = database
        self._engine = database.writing_engine()
        self.epoch = uuid.uuid4().hex
        self._number = 0
        self._durable_number = 0
        self._sealed: int | None = None
        self._durable = True
        self._me: tuple[int, str] | None = None

    def take(self) -> None:
        self.connection = self._engine.connect()
        hold_alone(self.connection)
        self._know_me()
        with self.connection.begin():
            self.connection.execute(_FIRST_MARK, {"mark": self._mark(0)})

    def begin(self, *, durable: bool) -> None:
        if self.connection.invalidated:
            # It would be replaced in silence by one that does not hold the lock.
            raise Lost(f"the connection to {self._database.place} is gone")
        self._durable, self._sealed = durable, None
        self.connection.begin()

    def seal(self, *, wrote: bool, last_seq: int | None) -> None:
        if not wrote:
            return
        moved = {
            "old": self._mark(self._number),
            "new": self._mark(self._number + 1),
            "sync": "on" if self._durable else "off",
        }
        seq = {} if last_seq is None else {"seq": str(last_seq)}
        if self.connection.execute(_SEALS[last_seq is not None], moved | seq).first() is None:
            raise Superseded(
                f"another server wrote to {self._database.place}; this one takes in nothing more",
                hint="keep one of the two: podium down ends this one",
            )
        self._sealed = self._number + 1

    def commit(self) -> None:
        try:
            self.connection.commit()
        except DBAPIError as error:
            if self._sealed is not None and self._database.is_away(error):
                raise InDoubt from error
            raise
        self._settle(self._sealed)

    def rollback(self) -> None:
        try:
            self.connection.rollback()
        except DBAPIError as error:
            if not self._database.is_away(error):
                raise

    def resume(self) -> Resumed:
        self._drop_connection()
        self.connection = self._engine.connect()
        if not self.connection.execute(_TRY).scalar_one():
            self.connection.rollback()
            self._end_my_old_one()
            raise Unavailable(f"another connection writes to {self._database.place}")
        self.connection.commit()
        self._know_me()
        with self.connection.begin():
            found = self.connection.execute(_MARK).scalar()
            seq = newest(self.connection)
            era = self._database.era(self.connection, "")
        committed = self._judge(found)
        return Resumed(committed=committed, last_seq=seq, era=era)

    def leave(self) -> None:
        self._drop_connection()
        self._engine.dispose()

    # ---- inside ------------------------------------------------------------------------------------

    def _mark(self, number: int) -> str:
        return f"{self.epoch} {number}"

    def _settle(self, number: int | None) -> None:
        if number is not None:
            self._number = number
            if self._durable:
                self._durable_number = number
        self._sealed = None

    def _judge(self, found: str | None) -> bool:
        """Whether the transaction in doubt is there. What was not durable may be missing after a crash of the
        database: the marks then stand further back, and agents' output is reported again."""
        epoch, _, number = (found or "").partition(" ")
        if epoch != self.epoch:
            raise Superseded(
                f"another server wrote to {self._database.place} meanwhile; this one takes in nothing more",
                hint="keep one of the two: podium down ends this one",
            )
        there, doubted = int(number), self._sealed
        if there < self._durable_number:
            raise Superseded(
                f"{self._database.place} lacks what it had confirmed: a copy, a standby that was behind?",
                hint="if that is the one to go on with, end this server and start it again",
            )
        committed = there == doubted
        self._settle(doubted if committed else None)
        self._number = there
        return committed

    def _know_me(self) -> None:
        pid, started = self.connection.execute(_ME).one()
        self.connection.commit()
        self._me = (int(pid), str(started))

    def _end_my_old_one(self) -> None:
        """The database may not have noticed that our old connection is gone, and hold the lock for it."""
        found = holder(self.connection)
        if found is not None and (found.pid, found.started) == self._me:
            self.connection.execute(_END, {"pid": found.pid})
            self.connection.commit()

    def _drop_connection(self) -> None:
        connection: Connection | None = getattr(self, "connection", None)
        if connection is not None and not connection.closed:
            try:
                connection.invalidate()
                connection.close()
            except DBAPIError:
                pass  # it is gone either way
