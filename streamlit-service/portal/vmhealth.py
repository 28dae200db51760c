"""What a VM's report of itself means: problems in words, with the command that mends each."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from portal.engine import VmReport
from portal.models import Vm

LOW_DISK_GB = 10.0
SKEW_S = 5.0
FIREWALL = {
    "missing": ("has no firewall: its containers are not kept apart", "sudo systemctl start container-portal-firewall"),
    "changed": ("has a firewall that somebody changed", "sudo portal-firewall apply"),
    "stale": ("has new firewall settings that are not applied", "sudo portal-firewall apply"),
    "not_at_boot": ("loses its firewall at the next boot", "sudo systemctl enable container-portal-firewall"),
    "unknown": ("does not say whether its firewall is loaded", "sudo portal-firewall check"),
}


@dataclass(frozen=True)
class Problem:
    """`kind`: firewall, disk or clock. `grave`: people are at risk, or work fails."""

    kind: str
    says: str
    hint: str
    grave: bool


def problems(name: str, report: VmReport) -> Iterator[Problem]:
    """What is wrong with a VM that said this."""
    yield from _problems(name, report.firewall, report.disk_free_gb, report.clock_skew_s)


def of_vm(vm: Vm) -> list[Problem]:
    """What was wrong when it was last asked."""
    if vm.checked_at is None:
        return []
    return list(_problems(vm.name, vm.firewall, vm.disk_free_gb, vm.clock_skew_s))


def _problems(name: str, firewall: str | None, disk: float | None, skew: float | None) -> Iterator[Problem]:
    if firewall not in (None, "ok"):
        words, command = FIREWALL.get(firewall, (f"has a firewall problem ({firewall})", "sudo portal-firewall check"))
        yield Problem("firewall", f"{name} {words}.", command, grave=True)
    if disk is not None and disk < LOW_DISK_GB:
        yield Problem("disk", f"{name} has only {disk:.1f} GB of disk left for images and home folders.",
                      "docker system df; docker image prune", grave=disk < LOW_DISK_GB / 10)  # fmt: skip
    if skew is not None and abs(skew) > SKEW_S:
        way = "ahead of" if skew > 0 else "behind"
        yield Problem(
            "clock", f"{name}'s clock is {abs(skew):.0f} s {way} the portal's.", "chronyc tracking", grave=False
        )
