"""What portal-gate prints of a VM's health, as a value (scripts/vm/portal-gate.sh)."""

from __future__ import annotations

import re
import time
from datetime import UTC, datetime

from portal.core.engine import VmReport

from engine.numbers import gib, number

COMMAND = "portal-gate vm-check"
KIB_PER_GIB = 1024 * 1024
_LINE = re.compile(r"^== (\w+) ?(.*)$", re.MULTILINE)


def parse(text: str, asked_at: float | None = None) -> VmReport:
    """The report.

    `asked_at`: our clock (seconds since the epoch) when the VM read its own; default now.
    """
    reported = _reported(text)
    clock = number(reported.get("clock", ""))
    total, _, free = reported.get("disk", "").partition(" ")
    now = time.time() if asked_at is None else asked_at
    return VmReport(
        firewall=reported.get("firewall") or "unknown",
        disk_total_gb=gib(total, KIB_PER_GIB),
        disk_free_gb=gib(free, KIB_PER_GIB),
        clock_skew_s=None if clock is None else round(clock - now, 1),
        synchronised={"yes": True, "no": False}.get(reported.get("synchronised", "")),
        reserved_ports=reported.get("reserved"),
    )


def engine_started_at(text: str) -> datetime | None:
    """By the VM's clock; None where its portal-gate does not say so."""
    at = number(_reported(text).get("engine", ""))
    return None if at is None else datetime.fromtimestamp(at, UTC)


def _reported(text: str) -> dict[str, str]:
    return {name: value.strip() for name, value in _LINE.findall(text)}
