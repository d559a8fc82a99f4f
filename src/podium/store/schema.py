"""The tables. A noun's row is its JSON (`doc`, which the API sends as it is) beside what queries need.

The same Core code runs on SQLite and PostgreSQL. Alembic migrations under `migrations/` make these tables;
a test compares the two.
"""

from __future__ import annotations

import hashlib
from datetime import datetime
from typing import Any, Final

from sqlalchemy import (
    BigInteger,
    Column,
    Float,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    SmallInteger,
    String,
    Table,
    Text,
    TypeDecorator,
)

HEAD: Final = "0004"
"""The newest migration. A test compares it with the scripts."""

MAX_SHORT: Final = 400
KEPT_SHORT: Final = 200
"""Characters; an entry of PostgreSQL's index has 2,704 bytes at most."""

metadata = MetaData()


def storable(value: str) -> str:
    """Text as both databases can hold it: PostgreSQL has no U+0000, the sign for it stands in its place."""
    return value.replace("\0", "\u2400") if "\0" in value else value


def short(value: str) -> str:
    """Text for a column that may be indexed: what agents call things has no bound, an entry of an index has.
    The same text gives the same result, another one another."""
    value = storable(value)
    if len(value) <= MAX_SHORT:
        return value
    return f"{value[:KEPT_SHORT]}…{hashlib.sha256(value.encode()).hexdigest()}"


class ShortText(TypeDecorator[str]):
    """Text that sorts by its bytes on both databases, so that pages follow each other alike.

    The length is a remark: SQLite does not enforce it, and PostgreSQL shall not refuse what SQLite takes.
    """

    impl = String
    cache_ok = True

    def load_dialect_impl(self, dialect: Any) -> Any:
        if dialect.name == "postgresql":
            return dialect.type_descriptor(Text(collation="C"))
        return dialect.type_descriptor(self.impl)

    def process_bind_param(self, value: str | None, dialect: Any) -> str | None:
        return None if value is None else short(value)


class LongText(ShortText):
    impl = Text
    cache_ok = True

    def process_bind_param(self, value: str | None, dialect: Any) -> str | None:
        return None if value is None else storable(value)


def timestamp(at: datetime) -> str:
    """RFC 3339 in UTC with microseconds and `Z`: sorts as text."""
    return at.strftime("%Y-%m-%dT%H:%M:%S.%fZ")


meta = Table(
    "meta",
    metadata,
    Column("key", ShortText(64), primary_key=True),
    Column("value", LongText, nullable=False),
)

events = Table(
    "events",
    metadata,
    Column("seq", BigInteger().with_variant(Integer, "sqlite"), primary_key=True, autoincrement=False),
    Column("at", ShortText(32), nullable=False),
    Column("by", ShortText(128), nullable=False),
    Column("v", SmallInteger, nullable=False),
    Column("type", ShortText(48), nullable=False),
    Column("task_id", ShortText(48)),
    Column("run_id", ShortText(48)),
    Column("body", LargeBinary, nullable=False),
    Index("events_by_task", "task_id", "seq"),
)

projects = Table(
    "projects",
    metadata,
    Column("id", ShortText(48), primary_key=True),
    Column("name", ShortText(100), nullable=False, unique=True),
    Column("doc", LargeBinary, nullable=False),
)

agents = Table(
    "agents",
    metadata,
    Column("name", ShortText(100), primary_key=True),
    Column("doc", LargeBinary, nullable=False),
)

tasks = Table(
    "tasks",
    metadata,
    Column("id", ShortText(48), primary_key=True),
    Column("project_id", ShortText(48)),
    Column("state", ShortText(16), nullable=False),
    Column("status", ShortText(16), nullable=False),
    Column("doc", LargeBinary, nullable=False),
    Column("prompt", LongText, nullable=False),
    Index("tasks_by_status", "status", "id"),
    Index("tasks_by_project", "project_id", "id"),
)

runs = Table(
    "runs",
    metadata,
    Column("id", ShortText(48), primary_key=True),
    Column("task_id", ShortText(48), nullable=False),
    Column("project_id", ShortText(48)),
    Column("worker_id", ShortText(48)),
    Column("state", ShortText(16), nullable=False),
    Column("fence", Integer, nullable=False),
    Column("priority", SmallInteger, nullable=False),
    Column("open", SmallInteger, nullable=False),
    Column("doc", LargeBinary, nullable=False),
    Index("runs_by_task", "task_id", "id"),
    Index("runs_open", "open", "state", "priority", "id"),
)

positions = Table(
    "positions",
    metadata,
    Column("run_id", ShortText(48), primary_key=True),
    Column("out_offset", BigInteger, nullable=False),
    Column("decoder", LargeBinary, nullable=False),
    Column("last_output_at", ShortText(32)),
)
"""Up to where each run's output is committed, once there is some. Written at every line of every agent: as
part of the run's row, which is ten times as long, it cost half as much again (measured)."""

changes = Table(
    "changes",
    metadata,
    Column("id", ShortText(48), primary_key=True),
    Column("task_id", ShortText(48), nullable=False),
    Column("run_id", ShortText(48), nullable=False, unique=True),
    Column("state", ShortText(16), nullable=False),
    Column("doc", LargeBinary, nullable=False),
    Index("changes_by_task", "task_id"),
)

sessions = Table(
    "sessions",
    metadata,
    Column("id", ShortText(48), primary_key=True),
    Column("task_id", ShortText(48), nullable=False),
    Column("worker_id", ShortText(48), nullable=False),
    Column("conversation_id", ShortText(200), nullable=False),
    Column("doc", LargeBinary, nullable=False),
    Index("sessions_by_conversation", "worker_id", "conversation_id"),
    Index("sessions_by_task", "task_id", "id"),
)

messages = Table(
    "messages",
    metadata,
    Column("id", ShortText(48), primary_key=True),
    Column("task_id", ShortText(48), nullable=False),
    Column("run_id", ShortText(48), nullable=False),
    Column("state", ShortText(16), nullable=False),
    Column("doc", LargeBinary, nullable=False),
    Index("messages_by_task", "task_id", "id"),
    Index("messages_by_state", "state", "run_id"),
)

inquiries = Table(
    "inquiries",
    metadata,
    Column("id", ShortText(48), primary_key=True),
    Column("task_id", ShortText(48), nullable=False),
    Column("run_id", ShortText(48), nullable=False),
    Column("state", ShortText(16), nullable=False),
    Column("digest", ShortText(64), nullable=False),
    Column("reply_token", ShortText(200), nullable=False),
    Column("expires_at", ShortText(32), nullable=False),
    Column("undelivered", SmallInteger, nullable=False),
    Column("doc", LargeBinary, nullable=False),
    Index("inquiries_by_state", "state", "id"),
    Index("inquiries_by_task", "task_id", "id"),
    Index("inquiries_by_run", "run_id", "reply_token"),
    Index("inquiries_undelivered", "undelivered", "run_id"),
)

grants = Table(
    "grants",
    metadata,
    Column("id", ShortText(48), primary_key=True),
    Column("task_id", ShortText(48), nullable=False),
    Column("digest", ShortText(64), nullable=False),
    Column("used", SmallInteger, nullable=False),
    Column("doc", LargeBinary, nullable=False),
    Index("grants_by_task", "task_id", "digest"),
)

workers = Table(
    "workers",
    metadata,
    Column("id", ShortText(48), primary_key=True),
    Column("doc", LargeBinary, nullable=False),
)

artifacts = Table(
    "artifacts",
    metadata,
    Column("id", ShortText(80), primary_key=True),
    Column("size", BigInteger, nullable=False),
    Column("task_id", ShortText(48)),
    Column("created_at", ShortText(32), nullable=False),
    Column("doc", LargeBinary, nullable=False),
    Index("artifacts_by_task", "task_id"),
)

idempotency = Table(
    "idempotency",
    metadata,
    Column("principal", ShortText(128), primary_key=True),
    Column("key", ShortText(200), primary_key=True),
    Column("request", ShortText(64), nullable=False),
    Column("status", SmallInteger, nullable=False),
    Column("answer", LargeBinary, nullable=False),
    Column("created_s", Float, nullable=False),
    Index("idempotency_by_age", "created_s"),
)

tokens = Table(
    "tokens",
    metadata,
    Column("id", ShortText(48), primary_key=True),
    Column("hash", ShortText(64), nullable=False, unique=True),
    Column("name", ShortText(100), nullable=False),
    Column("parent", ShortText(48)),
    Column("run_id", ShortText(48)),
    Column("in_force", SmallInteger, nullable=False),
    Column("doc", LargeBinary, nullable=False),
    Index("tokens_by_parent", "parent", "id"),
    Index("tokens_in_force", "in_force", "id"),
)
"""`hash`: of the secret, SHA-256 in hex."""
