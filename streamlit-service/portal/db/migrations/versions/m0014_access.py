"""Who is here, by which way, for events of access; what people have accepted."""

import sqlalchemy as sa
from alembic import op

from portal.db.schema import UtcDateTime

revision = "0014"
down_revision = "0013"


def upgrade() -> None:
    """Nobody was here yet, and nobody has accepted anything."""
    op.create_table(
        "visits",
        sa.Column("user_id", sa.Integer, sa.ForeignKey("users.id"), primary_key=True),
        sa.Column("fingerprint", sa.Text, primary_key=True),
        sa.Column("address", sa.Text, primary_key=True),
        sa.Column("place", sa.Text, primary_key=True),
        sa.Column("began_at", UtcDateTime, nullable=False),
        sa.Column("seen_at", UtcDateTime, nullable=False),
    )
    op.create_index("ix_visits_seen_at", "visits", ["seen_at"])
    op.create_table(
        "consents",
        sa.Column("user_id", sa.Integer, sa.ForeignKey("users.id"), primary_key=True),
        sa.Column("fingerprint", sa.Text, primary_key=True),
        sa.Column("text_hash", sa.Text, nullable=False),
        sa.Column("accepted_at", UtcDateTime, nullable=False),
        sa.Column("seen_at", UtcDateTime, nullable=False),
    )
