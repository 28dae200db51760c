"""User VMs: add, assign, drain and remove them, and record what they report."""

from portal.vms.draining import activate, drain
from portal.vms.reports import record_gpus, record_health, record_probe, record_unreachable
from portal.vms.service import (
    VmUse,
    add,
    assign,
    eligible,
    fleet,
    remove,
    remove_lost,
    set_up,
)

__all__ = [
    "VmUse",
    "activate",
    "add",
    "assign",
    "drain",
    "eligible",
    "fleet",
    "record_gpus",
    "record_health",
    "record_probe",
    "record_unreachable",
    "remove",
    "remove_lost",
    "set_up",
]
