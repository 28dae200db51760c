"""Which authority vouches for which name, and how new the card is that says somebody's name."""

import sqlalchemy as sa
from alembic import op

from portal.db.schema import UtcDateTime

revision = "0008"
down_revision = "0007"


def upgrade() -> None:
    """Add the columns. Certificates get theirs at their next sign-in."""
    with op.batch_alter_table("users") as users:
        users.add_column(sa.Column("named_at", UtcDateTime))
        users.add_column(sa.Column("merged_into", sa.Integer))
    with op.batch_alter_table("aliases") as aliases:
        aliases.add_column(sa.Column("root", sa.Text, nullable=False, server_default=""))
    with op.batch_alter_table("certificates") as certificates:
        for name in ("subject", "upn", "root"):
            certificates.add_column(sa.Column(name, sa.Text, nullable=False, server_default=""))
        certificates.create_index("ix_certificates_upn", ["upn"])
    # merged:ID:SUBJECT, by its alias.
    op.execute(
        "UPDATE users SET merged_into = (SELECT user_id FROM aliases"
        " WHERE users.subject = 'merged:' || users.id || ':' || aliases.subject)"
        " WHERE subject LIKE 'merged:%'"
    )
