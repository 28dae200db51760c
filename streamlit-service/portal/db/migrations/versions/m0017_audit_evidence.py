"""How far the audit trail was sent elsewhere; where it begins, once old events are removed."""

import sqlalchemy as sa
from alembic import op

from portal.db.schema import UtcDateTime

revision = "0017"
down_revision = "0016"


def upgrade() -> None:
    """All of it is there, and nothing was sent."""
    with op.batch_alter_table("audit_head") as head:
        head.add_column(sa.Column("base_seq", sa.BigInteger, nullable=False, server_default="0"))
        head.add_column(sa.Column("base_hash", sa.Text, nullable=False, server_default=""))
    op.create_table(
        "offloads",
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("sent", sa.BigInteger, nullable=False),
        sa.Column("at", UtcDateTime, nullable=False),
        sa.Column("problem", sa.Text, nullable=False),
    )
