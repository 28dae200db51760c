"""What the worker's health checks found last, since when."""

import sqlalchemy as sa
from alembic import op

from portal.db.schema import UtcDateTime

revision = "0016"
down_revision = "0015"


def upgrade() -> None:
    """Nothing was looked at yet."""
    op.create_table(
        "findings",
        sa.Column("check", sa.Text, primary_key=True),
        sa.Column("subject", sa.Text, primary_key=True),
        sa.Column("message", sa.Text, primary_key=True),
        sa.Column("state", sa.Text, nullable=False),
        sa.Column("next_step", sa.Text, nullable=False),
        sa.Column("section", sa.Text, nullable=False),
        sa.Column("since", UtcDateTime, nullable=False),
        sa.Column("seen_at", UtcDateTime, nullable=False),
    )
