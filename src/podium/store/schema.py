"""The tables. A noun's row is its JSON (`doc`, which the API sends as it is) beside what queries need.

The same Core code runs on SQLite and PostgreSQL. Alembic migrations under `migrations/` make these tables;
a test compares the two.
"""

from __future__ import annotations

from datetime import datetime
from typing import Final

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
)

HEAD: Final = "0003"
"""The newest migration. A test compares it with the scripts."""

metadata = MetaData()


def timestamp(at: datetime) -> str:
    """RFC 3339 in UTC with microseconds and `Z`: sorts as text."""
    return at.strftime("%Y-%m-%dT%H:%M:%S.%fZ")


meta = Table(
    "meta",
    metadata,
    Column("key", String(64), primary_key=True),
    Column("value", Text, nullable=False),
)

events = Table(
    "events",
    metadata,
    Column("seq", BigInteger().with_variant(Integer, "sqlite"), primary_key=True, autoincrement=False),
    Column("at", String(32), nullable=False),
    Column("by", String(128), nullable=False),
    Column("v", SmallInteger, nullable=False),
    Column("type", String(48), nullable=False),
    Column("task_id", String(48)),
    Column("run_id", String(48)),
    Column("body", LargeBinary, nullable=False),
    Index("events_by_task", "task_id", "seq"),
)

projects = Table(
    "projects",
    metadata,
    Column("id", String(48), primary_key=True),
    Column("name", String(100), nullable=False, unique=True),
    Column("doc", LargeBinary, nullable=False),
)

agents = Table(
    "agents",
    metadata,
    Column("name", String(100), primary_key=True),
    Column("doc", LargeBinary, nullable=False),
)

tasks = Table(
    "tasks",
    metadata,
    Column("id", String(48), primary_key=True),
    Column("project_id", String(48)),
    Column("state", String(16), nullable=False),
    Column("status", String(16), nullable=False),
    Column("doc", LargeBinary, nullable=False),
    Column("prompt", Text, nullable=False),
    Index("tasks_by_status", "status", "id"),
    Index("tasks_by_project", "project_id", "id"),
)

runs = Table(
    "runs",
    metadata,
    Column("id", String(48), primary_key=True),
    Column("task_id", String(48), nullable=False),
    Column("project_id", String(48)),
    Column("worker_id", String(48)),
    Column("state", String(16), nullable=False),
    Column("fence", Integer, nullable=False),
    Column("priority", SmallInteger, nullable=False),
    Column("open", SmallInteger, nullable=False),
    Column("out_offset", BigInteger, nullable=False),
    Column("decoder", LargeBinary, nullable=False),
    Column("last_output_at", String(32)),
    Column("doc", LargeBinary, nullable=False),
    Index("runs_by_task", "task_id", "id"),
    Index("runs_open", "open", "state", "priority", "id"),
)

changes = Table(
    "changes",
    metadata,
    Column("id", String(48), primary_key=True),
    Column("task_id", String(48), nullable=False),
    Column("run_id", String(48), nullable=False, unique=True),
    Column("state", String(16), nullable=False),
    Column("doc", LargeBinary, nullable=False),
    Index("changes_by_task", "task_id"),
)

sessions = Table(
    "sessions",
    metadata,
    Column("id", String(48), primary_key=True),
    Column("task_id", String(48), nullable=False),
    Column("worker_id", String(48), nullable=False),
    Column("conversation_id", String(200), nullable=False),
    Column("doc", LargeBinary, nullable=False),
    Index("sessions_by_conversation", "worker_id", "conversation_id"),
    Index("sessions_by_task", "task_id", "id"),
)

messages = Table(
    "messages",
    metadata,
    Column("id", String(48), primary_key=True),
    Column("task_id", String(48), nullable=False),
    Column("run_id", String(48), nullable=False),
    Column("state", String(16), nullable=False),
    Column("doc", LargeBinary, nullable=False),
    Index("messages_by_task", "task_id", "id"),
    Index("messages_by_state", "state", "run_id"),
)

inquiries = Table(
    "inquiries",
    metadata,
    Column("id", String(48), primary_key=True),
    Column("task_id", String(48), nullable=False),
    Column("run_id", String(48), nullable=False),
    Column("state", String(16), nullable=False),
    Column("digest", String(64), nullable=False),
    Column("reply_token", String(200), nullable=False),
    Column("expires_at", String(32), nullable=False),
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
    Column("id", String(48), primary_key=True),
    Column("task_id", String(48), nullable=False),
    Column("digest", String(64), nullable=False),
    Column("used", SmallInteger, nullable=False),
    Column("doc", LargeBinary, nullable=False),
    Index("grants_by_task", "task_id", "digest"),
)

workers = Table(
    "workers",
    metadata,
    Column("id", String(48), primary_key=True),
    Column("doc", LargeBinary, nullable=False),
)

artifacts = Table(
    "artifacts",
    metadata,
    Column("id", String(80), primary_key=True),
    Column("size", BigInteger, nullable=False),
    Column("task_id", String(48)),
    Column("created_at", String(32), nullable=False),
    Column("doc", LargeBinary, nullable=False),
    Index("artifacts_by_task", "task_id"),
)

idempotency = Table(
    "idempotency",
    metadata,
    Column("principal", String(128), primary_key=True),
    Column("key", String(200), primary_key=True),
    Column("request", String(64), nullable=False),
    Column("status", SmallInteger, nullable=False),
    Column("answer", LargeBinary, nullable=False),
    Column("created_s", Float, nullable=False),
    Index("idempotency_by_age", "created_s"),
)

tokens = Table(
    "tokens",
    metadata,
    Column("id", String(48), primary_key=True),
    Column("hash", String(64), nullable=False, unique=True),
    Column("name", String(100), nullable=False),
    Column("parent", String(48)),
    Column("run_id", String(48)),
    Column("in_force", SmallInteger, nullable=False),
    Column("doc", LargeBinary, nullable=False),
    Index("tokens_by_parent", "parent", "id"),
    Index("tokens_in_force", "in_force", "id"),
)
"""`hash`: of the secret, SHA-256 in hex."""
