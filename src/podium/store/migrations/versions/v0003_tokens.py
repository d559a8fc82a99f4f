"""Tokens as nouns. Until here only those of the machine's own files existed: the next start keeps them."""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"


def _text(length: int) -> sa.types.TypeEngine[str]:
    return sa.String(length).with_variant(sa.Text(collation="C"), "postgresql")


def upgrade() -> None:
    op.drop_table("tokens")
    op.create_table(
        "tokens",
        sa.Column("id", _text(48), primary_key=True),
        sa.Column("hash", _text(64), nullable=False, unique=True),
        sa.Column("name", _text(100), nullable=False),
        sa.Column("parent", _text(48)),
        sa.Column("run_id", _text(48)),
        sa.Column("in_force", sa.SmallInteger, nullable=False),
        sa.Column("doc", sa.LargeBinary, nullable=False),
    )
    op.create_index("tokens_by_parent", "tokens", ["parent", "id"])
    op.create_index("tokens_in_force", "tokens", ["in_force", "id"])
