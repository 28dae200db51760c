"""What portal-gate prints of a VM's health, as a value (scripts/vm/portal-gate.sh)."""

from __future__ import annotations

import re
import time

from portal.core.engine import VmReport

COMMAND = "portal-gate vm-check"
KIB_PER_GIB = 1024 * 1024
_LINE = re.compile(r"^== (\w+) ?(.*)$", re.MULTILINE)


def parse(text: str, asked_at: float | None = None) -> VmReport:
    """The report.

    `asked_at`: our clock (seconds since the epoch) when the VM read its own; default now.
    """
    said = {name: value.strip() for name, value in _LINE.findall(text)}
    clock = _number(said.get("clock", ""))
    total, _, free = said.get("disk", "").partition(" ")
    now = time.time() if asked_at is None else asked_at
    return VmReport(
        firewall=said.get("firewall") or "unknown",
        disk_total_gb=_gib(total),
        disk_free_gb=_gib(free),
        clock_skew_s=None if clock is None else round(clock - now, 1),
        synchronised={"yes": True, "no": False}.get(said.get("synchronised", "")),
        reserved_ports=said.get("reserved"),
    )


def _number(text: str) -> float | None:
    try:
        return float(text)
    except ValueError:
        return None


def _gib(kib: str) -> float | None:
    number = _number(kib)
    return None if number is None else round(number / KIB_PER_GIB, 1)
