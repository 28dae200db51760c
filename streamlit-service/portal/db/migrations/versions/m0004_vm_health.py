"""What VMs say of themselves: firewall, disk, clock."""

import sqlalchemy as sa
from alembic import op

from portal.db.schema import UtcDateTime

revision = "0004"
down_revision = "0003"


def upgrade() -> None:
    """Add them; unknown until the worker's next look."""
    op.add_column("vms", sa.Column("firewall", sa.Text))
    op.add_column("vms", sa.Column("disk_free_gb", sa.Float))
    op.add_column("vms", sa.Column("clock_skew_s", sa.Float))
    op.add_column("vms", sa.Column("checked_at", UtcDateTime))
    op.add_column("vms", sa.Column("synchronised", sa.Boolean))
    op.add_column("vms", sa.Column("ports_reserved", sa.Boolean))
