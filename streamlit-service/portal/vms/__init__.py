"""User VMs: add, assign, drain and remove them, and record what they report."""

from portal.vms.reports import checked, lost, saw_gpus, seen
from portal.vms.service import VmUse, activate, add, assign, drain, eligible, fleet, remove, set_up

__all__ = [
    "VmUse",
    "activate",
    "add",
    "assign",
    "checked",
    "drain",
    "eligible",
    "fleet",
    "lost",
    "remove",
    "saw_gpus",
    "seen",
    "set_up",
]
