"""The records: all SQL, migrations, the audit chain and backups. Nobody else knows SQLAlchemy."""

from portal.db import audit, backup, ledger, releases, rows, store

__all__ = ["audit", "backup", "ledger", "releases", "rows", "store"]
