"""The tables of the spine.

Written out rather than taken from `schema.metadata`: a migration must make the same tables for ever.
"""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None


def _text(length: int) -> sa.types.TypeEngine[str]:
    return sa.String(length).with_variant(sa.Text(collation="C"), "postgresql")


_LONG = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")
_ID = _text(48)


def upgrade() -> None:
    op.create_table(
        "meta",
        sa.Column("key", _text(64), primary_key=True),
        sa.Column("value", _LONG, nullable=False),
    )
    op.create_table(
        "events",
        sa.Column(
            "seq",
            sa.BigInteger().with_variant(sa.Integer, "sqlite"),
            primary_key=True,
            autoincrement=False,
        ),
        sa.Column("at", _text(32), nullable=False),
        sa.Column("by", _text(128), nullable=False),
        sa.Column("v", sa.SmallInteger, nullable=False),
        sa.Column("type", _text(48), nullable=False),
        sa.Column("task_id", _ID),
        sa.Column("run_id", _ID),
        sa.Column("body", sa.LargeBinary, nullable=False),
    )
    op.create_index("events_by_task", "events", ["task_id", "seq"])
    op.create_table(
        "projects",
        sa.Column("id", _ID, primary_key=True),
        sa.Column("name", _text(100), nullable=False, unique=True),
        sa.Column("doc", sa.LargeBinary, nullable=False),
    )
    op.create_table(
        "agents",
        sa.Column("name", _text(100), primary_key=True),
        sa.Column("doc", sa.LargeBinary, nullable=False),
    )
    op.create_table(
        "tasks",
        sa.Column("id", _ID, primary_key=True),
        sa.Column("project_id", _ID),
        sa.Column("state", _text(16), nullable=False),
        sa.Column("status", _text(16), nullable=False),
        sa.Column("doc", sa.LargeBinary, nullable=False),
        sa.Column("prompt", _LONG, nullable=False),
    )
    op.create_index("tasks_by_status", "tasks", ["status", "id"])
    op.create_index("tasks_by_project", "tasks", ["project_id", "id"])
    op.create_table(
        "runs",
        sa.Column("id", _ID, primary_key=True),
        sa.Column("task_id", _ID, nullable=False),
        sa.Column("project_id", _ID),
        sa.Column("worker_id", _ID),
        sa.Column("state", _text(16), nullable=False),
        sa.Column("fence", sa.Integer, nullable=False),
        sa.Column("priority", sa.SmallInteger, nullable=False),
        sa.Column("open", sa.SmallInteger, nullable=False),
        sa.Column("out_offset", sa.BigInteger, nullable=False),
        sa.Column("decoder", sa.LargeBinary, nullable=False),
        sa.Column("last_output_at", _text(32)),
        sa.Column("doc", sa.LargeBinary, nullable=False),
    )
    op.create_index("runs_by_task", "runs", ["task_id", "id"])
    op.create_index("runs_open", "runs", ["open", "state", "priority", "id"])
    op.create_table(
        "changes",
        sa.Column("id", _ID, primary_key=True),
        sa.Column("task_id", _ID, nullable=False),
        sa.Column("run_id", _ID, nullable=False, unique=True),
        sa.Column("state", _text(16), nullable=False),
        sa.Column("doc", sa.LargeBinary, nullable=False),
    )
    op.create_index("changes_by_task", "changes", ["task_id"])
    op.create_table(
        "workers",
        sa.Column("id", _ID, primary_key=True),
        sa.Column("doc", sa.LargeBinary, nullable=False),
    )
    op.create_table(
        "artifacts",
        sa.Column("id", _text(80), primary_key=True),
        sa.Column("size", sa.BigInteger, nullable=False),
        sa.Column("task_id", _ID),
        sa.Column("created_at", _text(32), nullable=False),
        sa.Column("doc", sa.LargeBinary, nullable=False),
    )
    op.create_index("artifacts_by_task", "artifacts", ["task_id"])
    op.create_table(
        "idempotency",
        sa.Column("principal", _text(128), primary_key=True),
        sa.Column("key", _text(200), primary_key=True),
        sa.Column("request", _text(64), nullable=False),
        sa.Column("status", sa.SmallInteger, nullable=False),
        sa.Column("answer", sa.LargeBinary, nullable=False),
        sa.Column("created_s", sa.Float, nullable=False),
    )
    op.create_index("idempotency_by_age", "idempotency", ["created_s"])
    op.create_table(
        "tokens",
        sa.Column("hash", _text(64), primary_key=True),
        sa.Column("id", _ID, nullable=False, unique=True),
        sa.Column("kind", _text(16), nullable=False),
        sa.Column("subject", _text(128), nullable=False),
        sa.Column("created_at", _text(32), nullable=False),
        sa.Column("revoked_at", _text(32)),
    )
