"""What containers reach on each VM, as it was measured last."""

import sqlalchemy as sa
from alembic import op

from portal.db.schema import UtcDateTime

revision = "0018"
down_revision = "0017"


def upgrade() -> None:
    """Nothing was measured yet."""
    with op.batch_alter_table("vms") as vms:
        vms.add_column(sa.Column("breaches", sa.Text, nullable=False, server_default=""))
    op.create_table(
        "isolation",
        sa.Column("vm_id", sa.Integer, sa.ForeignKey("vms.id"), primary_key=True),
        sa.Column("at", UtcDateTime, nullable=False),
        sa.Column("took_s", sa.Float, nullable=False),
        sa.Column("problem", sa.Text, nullable=False),
        sa.Column("cells", sa.JSON, nullable=False),
    )
