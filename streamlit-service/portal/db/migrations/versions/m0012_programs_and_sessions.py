"""Service accounts: what they may do, and until when. What somebody has open now."""

import sqlalchemy as sa
from alembic import op

from portal.db.schema import UtcDateTime

revision = "0012"
down_revision = "0011"


def upgrade() -> None:
    """Nobody is a program yet, and nothing is open."""
    with op.batch_alter_table("users") as users:
        users.add_column(sa.Column("scopes", sa.Text, nullable=False, server_default=""))
        users.add_column(sa.Column("ends_at", UtcDateTime))
    op.create_table(
        "sessions",
        sa.Column("id", sa.Text, primary_key=True),
        sa.Column("user_id", sa.Integer, sa.ForeignKey("users.id"), nullable=False),
        sa.Column("way", sa.Text, nullable=False),
        sa.Column("address", sa.Text, nullable=False),
        sa.Column("began_at", UtcDateTime, nullable=False),
        sa.Column("seen_at", UtcDateTime, nullable=False),
    )
    op.create_index("ix_sessions_user_id", "sessions", ["user_id"])
    op.create_index("ix_sessions_seen_at", "sessions", ["seen_at"])
