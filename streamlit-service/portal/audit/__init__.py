"""The audit trail, for who may read it: searched, verified, taken away."""

from portal.audit.export import export
from portal.audit.trail import KINDS, MOST, people, read, verify
from portal.db.audit import AuditEvent, Verdict, Wanted

__all__ = ["KINDS", "MOST", "AuditEvent", "Verdict", "Wanted", "export", "people", "read", "verify"]
