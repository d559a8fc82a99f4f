"""Sessions, messages, inquiries, grants. A run's `session_id` was the program's own id until here."""

import json

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"


def _text(length: int) -> sa.types.TypeEngine[str]:
    return sa.String(length).with_variant(sa.Text(collation="C"), "postgresql")


_ID = _text(48)


def upgrade() -> None:
    op.create_table(
        "sessions",
        sa.Column("id", _ID, primary_key=True),
        sa.Column("task_id", _ID, nullable=False),
        sa.Column("worker_id", _ID, nullable=False),
        sa.Column("conversation_id", _text(200), nullable=False),
        sa.Column("doc", sa.LargeBinary, nullable=False),
    )
    op.create_index("sessions_by_conversation", "sessions", ["worker_id", "conversation_id"])
    op.create_index("sessions_by_task", "sessions", ["task_id", "id"])
    op.create_table(
        "messages",
        sa.Column("id", _ID, primary_key=True),
        sa.Column("task_id", _ID, nullable=False),
        sa.Column("run_id", _ID, nullable=False),
        sa.Column("state", _text(16), nullable=False),
        sa.Column("doc", sa.LargeBinary, nullable=False),
    )
    op.create_index("messages_by_task", "messages", ["task_id", "id"])
    op.create_index("messages_by_state", "messages", ["state", "run_id"])
    op.create_table(
        "inquiries",
        sa.Column("id", _ID, primary_key=True),
        sa.Column("task_id", _ID, nullable=False),
        sa.Column("run_id", _ID, nullable=False),
        sa.Column("state", _text(16), nullable=False),
        sa.Column("digest", _text(64), nullable=False),
        sa.Column("reply_token", _text(200), nullable=False),
        sa.Column("expires_at", _text(32), nullable=False),
        sa.Column("undelivered", sa.SmallInteger, nullable=False),
        sa.Column("doc", sa.LargeBinary, nullable=False),
    )
    op.create_index("inquiries_by_state", "inquiries", ["state", "id"])
    op.create_index("inquiries_by_task", "inquiries", ["task_id", "id"])
    op.create_index("inquiries_by_run", "inquiries", ["run_id", "reply_token"])
    op.create_index("inquiries_undelivered", "inquiries", ["undelivered", "run_id"])
    op.create_table(
        "grants",
        sa.Column("id", _ID, primary_key=True),
        sa.Column("task_id", _ID, nullable=False),
        sa.Column("digest", _text(64), nullable=False),
        sa.Column("used", sa.SmallInteger, nullable=False),
        sa.Column("doc", sa.LargeBinary, nullable=False),
    )
    op.create_index("grants_by_task", "grants", ["task_id", "digest"])
    _rename_in_runs()


def _rename_in_runs() -> None:
    """The JSON of every run: `session_id` becomes `conversation_id`, as in events of version 2."""
    runs = sa.table("runs", sa.column("id", _ID), sa.column("doc", sa.LargeBinary))
    connection = op.get_bind()
    for run_id, doc in connection.execute(sa.select(runs.c.id, runs.c.doc)).all():
        run = json.loads(doc)
        run["conversation_id"] = run.pop("session_id", None)
        raw = json.dumps(run, separators=(",", ":"), ensure_ascii=False).encode()
        connection.execute(sa.update(runs).where(runs.c.id == run_id).values(doc=raw))
