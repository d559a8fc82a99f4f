"""Where a run's output is committed to: out of the run's row, into one of its own."""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"


def _text(length: int) -> sa.types.TypeEngine[str]:
    return sa.String(length).with_variant(sa.Text(collation="C"), "postgresql")


def upgrade() -> None:
    op.create_table(
        "positions",
        sa.Column("run_id", _text(48), primary_key=True),
        sa.Column("out_offset", sa.BigInteger, nullable=False),
        sa.Column("decoder", sa.LargeBinary, nullable=False),
        sa.Column("last_output_at", _text(32)),
    )
    op.execute(
        "INSERT INTO positions (run_id, out_offset, decoder, last_output_at)"
        " SELECT id, out_offset, decoder, last_output_at FROM runs WHERE out_offset > 0"
    )
    for column in ("out_offset", "decoder", "last_output_at"):
        op.drop_column("runs", column)
