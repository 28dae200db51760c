"""What containers used: by the minute, and by the hour."""

import sqlalchemy as sa
from alembic import op

from portal.db.schema import UtcDateTime

revision = "0009"
down_revision = "0008"


def upgrade() -> None:
    """Add the two tables, empty."""
    for name in ("recent_figures", "figures"):
        op.create_table(
            name,
            sa.Column("deployment_id", sa.Text, sa.ForeignKey("deployments.id"), primary_key=True),
            sa.Column("at", UtcDateTime, primary_key=True, index=True),
            sa.Column("cpus", sa.Float, nullable=False),
            sa.Column("memory_gb", sa.Float, nullable=False),
            sa.Column("memory_peak_gb", sa.Float, nullable=False),
            sa.Column("gpu_utilisation", sa.Float),
            sa.Column("gpu_memory_gb", sa.Float),
            sa.Column("home_gb", sa.Float),
        )
