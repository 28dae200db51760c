"""Why a request waits and since when, notes on stops, ports in use, which worker leads."""

import sqlalchemy as sa
from alembic import op

from portal.db.schema import UtcDateTime

revision = "0006"
down_revision = "0005"


def upgrade() -> None:
    """Add the columns and the table."""
    op.add_column("deployments", sa.Column("trouble", sa.JSON))
    op.add_column("deployments", sa.Column("pending_since", UtcDateTime))
    op.add_column("deployments", sa.Column("stop_note", sa.Text))
    op.create_table(
        "leaders",
        sa.Column("name", sa.Text, primary_key=True),
        sa.Column("token", sa.Text, nullable=False),
        sa.Column("expires_at", UtcDateTime, nullable=False),
    )
    op.create_table(
        "blocked_ports",
        sa.Column("vm_id", sa.Integer, sa.ForeignKey("vms.id"), primary_key=True),
        sa.Column("port", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("since", UtcDateTime, nullable=False),
    )
