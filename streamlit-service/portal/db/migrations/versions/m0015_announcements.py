"""What administrators tell people; VMs that are emptied by a time."""

import sqlalchemy as sa
from alembic import op

from portal.db.schema import UtcDateTime

revision = "0015"
down_revision = "0014"


def upgrade() -> None:
    """Nothing is announced, and no VM is being emptied."""
    with op.batch_alter_table("vms") as vms:
        vms.add_column(sa.Column("drain_by", UtcDateTime))
        vms.add_column(sa.Column("drain_reason", sa.Text, nullable=False, server_default=""))
    op.create_table(
        "announcements",
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("text", sa.Text, nullable=False),
        sa.Column("level", sa.Text, nullable=False),
        sa.Column("audience", sa.Text, nullable=False),
        sa.Column("begins_at", UtcDateTime, nullable=False),
        sa.Column("ends_at", UtcDateTime, nullable=False),
        sa.Column("author", sa.Text, nullable=False),
    )
    op.create_index("ix_announcements_ends_at", "announcements", ["ends_at"])
