"""Tokens as nouns. Until here only those of the machine's own files existed: the next start keeps them."""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    op.drop_table("tokens")
    op.create_table(
        "tokens",
        sa.Column("id", sa.String(48), primary_key=True),
        sa.Column("hash", sa.String(64), nullable=False, unique=True),
        sa.Column("name", sa.String(100), nullable=False),
        sa.Column("parent", sa.String(48)),
        sa.Column("run_id", sa.String(48)),
        sa.Column("in_force", sa.SmallInteger, nullable=False),
        sa.Column("doc", sa.LargeBinary, nullable=False),
    )
    op.create_index("tokens_by_parent", "tokens", ["parent", "id"])
    op.create_index("tokens_in_force", "tokens", ["in_force", "id"])
