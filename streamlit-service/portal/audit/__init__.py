"""The audit trail, for who may read it: searched, verified, taken away, sent elsewhere."""

from portal.audit.export import export
from portal.audit.offload import Offload, after, offload
from portal.audit.offload import report as report_offload
from portal.audit.signing import checkpoint, prune, sign_export
from portal.audit.trail import KINDS, MOST, people, read, verify
from portal.db.audit import AuditEvent, Link, Verdict, Wanted, change

__all__ = [
    "KINDS",
    "MOST",
    "AuditEvent",
    "Link",
    "Offload",
    "Verdict",
    "Wanted",
    "after",
    "change",
    "checkpoint",
    "export",
    "offload",
    "people",
    "prune",
    "read",
    "report_offload",
    "sign_export",
    "verify",
]
