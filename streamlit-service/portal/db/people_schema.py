"""The tables about people: accounts, names, groups, certificates, what they have open."""

from __future__ import annotations

import sqlalchemy as sa

from portal.db.schema import UtcDateTime, metadata

users = sa.Table(
    "users",
    metadata,
    sa.Column("id", sa.Integer, primary_key=True),
    sa.Column("subject", sa.Text, nullable=False, unique=True),
    sa.Column("display_name", sa.Text, nullable=False),
    sa.Column("role", sa.Text, nullable=False, index=True),
    sa.Column("range_index", sa.Integer, unique=True),
    sa.Column("group", sa.Text, nullable=False, server_default="", index=True),
    sa.Column("created_at", UtcDateTime, nullable=False),
    sa.Column("ssh_keys", sa.JSON),
    sa.Column("card_name", sa.Text, nullable=False, server_default=""),
    sa.Column("retired_at", UtcDateTime),
    sa.Column("retired_reason", sa.Text, nullable=False, server_default=""),
    sa.Column("root", sa.Text, nullable=False, server_default=""),
    sa.Column("named_at", UtcDateTime),
    sa.Column("merged_into", sa.Integer),  # of users; no key: a restore writes row after row
    sa.Column("disabled_at", UtcDateTime),
    sa.Column("disabled_reason", sa.Text, nullable=False, server_default=""),
    sa.Column("disabled_by", sa.Text, nullable=False, server_default=""),
    sa.Column("last_seen_at", UtcDateTime),
    sa.Column("sessions_ended_at", UtcDateTime),
    sa.Column("in_directory", sa.Boolean, nullable=False, server_default=sa.false()),
    sa.Column("scopes", sa.Text, nullable=False, server_default=""),  # commas between
    sa.Column("ends_at", UtcDateTime),
)

# What else a person's certificates may call them: a UPN of before, say.
aliases = sa.Table(
    "aliases",
    metadata,
    sa.Column("subject", sa.Text, primary_key=True),
    sa.Column("user_id", sa.Integer, sa.ForeignKey("users.id"), nullable=False),
    sa.Column("root", sa.Text, nullable=False, server_default=""),
)

# `source`: "portal", where an administrator or a file says so; "directory", where LDAP does.
memberships = sa.Table(
    "memberships",
    metadata,
    sa.Column("user_id", sa.Integer, sa.ForeignKey("users.id"), primary_key=True),
    sa.Column("group", sa.Text, primary_key=True, index=True),
    sa.Column("leads", sa.Boolean, nullable=False),
    sa.Column("source", sa.Text, nullable=False),
)

# Pages and SSH that somebody has open now; not in backups.
sessions = sa.Table(
    "sessions",
    metadata,
    sa.Column("id", sa.Text, primary_key=True),
    sa.Column("user_id", sa.Integer, sa.ForeignKey("users.id"), nullable=False, index=True),
    sa.Column("way", sa.Text, nullable=False),
    sa.Column("address", sa.Text, nullable=False),
    sa.Column("began_at", UtcDateTime, nullable=False),
    sa.Column("seen_at", UtcDateTime, nullable=False, index=True),
)

# Who came by which way with which card from where, one row a session, for events of access.
# `place`: "" for pages and API, else a container's port. Not in backups.
visits = sa.Table(
    "visits",
    metadata,
    sa.Column("user_id", sa.Integer, sa.ForeignKey("users.id"), primary_key=True),
    sa.Column("fingerprint", sa.Text, primary_key=True),
    sa.Column("address", sa.Text, primary_key=True),
    sa.Column("place", sa.Text, primary_key=True),
    sa.Column("began_at", UtcDateTime, nullable=False),
    sa.Column("seen_at", UtcDateTime, nullable=False, index=True),
)

# Which text somebody accepted last, with which card: asked again after a restore. Not in backups.
consents = sa.Table(
    "consents",
    metadata,
    sa.Column("user_id", sa.Integer, sa.ForeignKey("users.id"), primary_key=True),
    sa.Column("fingerprint", sa.Text, primary_key=True),
    sa.Column("text_hash", sa.Text, nullable=False),
    sa.Column("accepted_at", UtcDateTime, nullable=False),
    sa.Column("seen_at", UtcDateTime, nullable=False),
)

# What came of the last look at the directory: one row.
directory_looks = sa.Table(
    "directory_looks",
    metadata,
    sa.Column("id", sa.Integer, primary_key=True),
    sa.Column("at", UtcDateTime, nullable=False),
    sa.Column("succeeded_at", UtcDateTime),
    sa.Column("problem", sa.Text, nullable=False),
    sa.Column("people", sa.Integer, nullable=False),
    sa.Column("missing", sa.Integer, nullable=False),
    sa.Column("ambiguous", sa.Integer, nullable=False),
)

certificates = sa.Table(
    "certificates",
    metadata,
    sa.Column("fingerprint", sa.Text, primary_key=True),
    sa.Column("user_id", sa.Integer, sa.ForeignKey("users.id"), nullable=False, index=True),
    sa.Column("ssh_key", sa.Text, nullable=False),
    sa.Column("pem", sa.Text, nullable=False),
    sa.Column("not_after", UtcDateTime),
    sa.Column("first_seen_at", UtcDateTime, nullable=False),
    sa.Column("subject", sa.Text, nullable=False, server_default=""),
    sa.Column("upn", sa.Text, nullable=False, server_default="", index=True),
    sa.Column("root", sa.Text, nullable=False, server_default=""),
    sa.Column("last_seen_at", UtcDateTime),
    sa.Column("last_address", sa.Text, nullable=False, server_default=""),
)
