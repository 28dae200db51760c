"""User VMs: add, assign, drain and remove them, and record what they report."""

from portal.vms.service import (
    activate,
    add,
    assign,
    checked,
    drain,
    lost,
    remove,
    saw_gpus,
    seen,
    set_up,
)

__all__ = [
    "activate",
    "add",
    "assign",
    "checked",
    "drain",
    "lost",
    "remove",
    "saw_gpus",
    "seen",
    "set_up",
]
