"""Releases that are published, scanned and approved; SSH; what VMs have of the releases."""

import sqlalchemy as sa
from alembic import op

from portal.db.schema import UtcDateTime

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    """Add them.

    What was approved before has no report: it does not start until it was published again.
    """
    op.add_column("users", sa.Column("certificate_key", sa.Text, nullable=False, server_default=""))
    op.add_column("users", sa.Column("ssh_keys", sa.JSON))
    op.add_column(
        "deployments", sa.Column("ssh", sa.Boolean, nullable=False, server_default=sa.false())
    )
    for name in ("published_by", "approved_by", "refused_for", "problem", "reason"):
        op.add_column("releases", sa.Column(name, sa.Text, nullable=False, server_default=""))
    op.add_column("releases", sa.Column("highlights", sa.JSON))
    op.add_column(
        "releases", sa.Column("download_bytes", sa.BigInteger, nullable=False, server_default="0")
    )
    op.add_column("releases", sa.Column("scanned_at", UtcDateTime))
    op.add_column("releases", sa.Column("waived", sa.Integer, nullable=False, server_default="0"))
    op.add_column("releases", sa.Column("waived_until", sa.Date))
    op.add_column("releases", sa.Column("verified_at", UtcDateTime))
    published = sa.text("published_by != ''")
    op.create_index(
        "one_digest_per_version",
        "releases",
        ["image", "version"],
        unique=True,
        sqlite_where=published,
        postgresql_where=published,
    )
    op.create_table(
        "reports",
        sa.Column("release_id", sa.Integer, sa.ForeignKey("releases.id"), primary_key=True),
        sa.Column("packages", sa.JSON, nullable=False),
        sa.Column("report", sa.JSON, nullable=False),
    )
    op.create_table(
        "vm_images",
        sa.Column("vm_id", sa.Integer, sa.ForeignKey("vms.id"), primary_key=True),
        sa.Column("release_id", sa.Integer, sa.ForeignKey("releases.id"), primary_key=True),
        sa.Column("state", sa.Text, nullable=False),
        sa.Column("done_bytes", sa.BigInteger, nullable=False, server_default="0"),
        sa.Column("total_bytes", sa.BigInteger, nullable=False, server_default="0"),
        sa.Column("updated_at", UtcDateTime, nullable=False),
    )
