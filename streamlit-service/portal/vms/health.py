"""What a VM's report of itself means: problems in words, with the command that fixes each."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta

from portal.core.engine import Engine, VmReport
from portal.core.models import Gpu, GpuState, Vm
from portal.vms.addresses import is_remote, prepare

LOW_DISK_GB = 10.0
SKEW_S = 5.0
REPORT_IS_OLD = timedelta(minutes=5)
"""A VM is asked every health_interval_s; an older word of its firewall counts for nothing."""
NO_GATE = "no_gate"
APPLY = "sudo portal-firewall apply"
FIREWALL = {
    "missing": ("has no firewall: its containers are not kept apart", APPLY),
    "changed": ("has a firewall that somebody changed", APPLY),
    "stale": ("has new firewall settings that are not applied", APPLY),
    "not_at_boot": (
        "loses its firewall at the next boot",
        "sudo systemctl enable container-portal-firewall",
    ),
    "unknown": ("does not say whether its firewall is loaded", "sudo portal-firewall check"),
    # Fixed from the portal's machine, by preparing it:
    "none": ("has no firewall: it was not prepared, and its containers are not kept apart", ""),
    NO_GATE: ("has no portal-gate, so nobody knows whether its containers are kept apart", ""),
}
WITHOUT_GATE = (None, "none", NO_GATE, "unknown")
"""Words of a VM that does not answer portal-gate's question, or not any more."""

GPU_PROBLEMS = {
    "no_driver": (
        "has GPUs, but no NVIDIA driver",
        "sudo apt-get install nvidia-driver && sudo reboot",
    ),
    "driver_broken": (
        "has an NVIDIA driver that does not answer",
        "sudo reboot",
    ),
    # Fixed from the portal's machine, by preparing it:
    "no_toolkit": ("lacks the NVIDIA Container Toolkit", ""),
    "no_gate": ("lacks portal-gate, so its GPUs cannot be seen", ""),
}
"""What keeps a VM's GPUs from being used, and the command that fixes it (Debian, Ubuntu)."""


@dataclass(frozen=True)
class Problem:
    """`kind`: isolation, firewall, disk, clock, ports or gpu.

    `grave`: people are at risk, or work fails. `hint`: the command that fixes it, to be run on the
    VM, or, where `from_portal`, in the portal's checkout.
    """

    kind: str
    message: str
    hint: str
    grave: bool
    from_portal: bool = False


def problems(name: str, report: VmReport) -> Iterator[Problem]:
    """What is wrong with a VM that reported this a moment ago."""
    yield from _firewall(name, report.firewall, f"scripts/setup-vm.sh {name}")
    yield from _disk(name, report.disk_free_gb, gate=report.firewall not in WITHOUT_GATE)
    yield from _clock(name, skew=report.clock_skew_s, synchronised=report.synchronised)


def of_vm(vm: Vm, now: datetime) -> list[Problem]:
    """What was wrong when it was last asked; that it was not asked for long is wrong, too."""
    breached = list(_breaches(vm))
    if vm.checked_at is None:
        return breached
    firewall = vm.firewall if now - vm.checked_at < REPORT_IS_OLD else "unknown"
    problems = [
        *breached,
        *_firewall(vm.name, firewall, prepare(vm)),
        *_disk(vm.name, vm.disk_free_gb, gate=firewall not in WITHOUT_GATE),
        *_clock(vm.name, skew=vm.clock_skew_s, synchronised=vm.synchronised),
    ]
    if vm.ports_reserved is False and firewall not in ("none", NO_GATE):
        message = (
            f"{vm.name} does not reserve users' ports: one of its own connections may take one."
        )
        problems.append(Problem("ports", message, prepare(vm), grave=False, from_portal=True))
    return problems


def _breaches(vm: Vm) -> Iterator[Problem]:
    if vm.breaches:
        yield Problem(
            "isolation",
            f"{vm.name} does not keep containers apart: {vm.breaches}. It takes no new ones until"
            " an administrator activates it again.",
            "sudo portal-firewall check; sudo portal-firewall apply",
            grave=True,
        )


def gpu_problem(vm: Vm) -> Problem | None:
    """What keeps the VM's GPUs from being used; None where nothing does."""
    if vm.gpu_problem is None:
        return None
    unknown = f"cannot use its GPUs ({vm.gpu_problem.replace('_', ' ')})", "nvidia-smi"
    words, command = GPU_PROBLEMS.get(vm.gpu_problem, unknown)
    return Problem(
        "gpu",
        f"{vm.name} {words}.",
        command or prepare(vm),
        grave=True,
        from_portal=not command,
    )


def gpu_problems(vm: Vm, gpus: Iterable[Gpu]) -> list[Problem]:
    """What is wrong with GPUs: with all of the VM's together, or with some of these of it."""
    if problem := gpu_problem(vm):
        return [problem]
    return [_out_of_order(vm, gpu) for gpu in gpus if gpu.state is not GpuState.OK]


def _out_of_order(vm: Vm, gpu: Gpu) -> Problem:
    which = f"GPU {gpu.index} ({gpu.model}, {gpu.uuid}) of {vm.name}"
    if gpu.state is GpuState.MISSING:
        return Problem(
            "gpu",
            f"{which} is missing: lost, taken out, or in MIG mode without instances.",
            "nvidia-smi -L",
            grave=False,
        )
    if gpu.problem == "not_in_cdi":
        return Problem(
            "gpu",
            f"{which} is in none of the CDI files that Docker on the VM uses to hand out GPUs.",
            "sudo nvidia-ctk cdi generate --output=/etc/cdi/nvidia.yaml",
            grave=False,
        )
    words = (gpu.problem or "unhealthy").replace("_", " ")
    return Problem("gpu", f"{which} is out of order: {words}.", "nvidia-smi -q", grave=False)


def report_of(vm: Vm, engine: Engine) -> VmReport | None:
    """What the VM reports; None over a local socket, where nobody can be asked. EngineError."""
    report = engine.check()
    if report is None and is_remote(vm):
        return VmReport(NO_GATE)
    return report


def reserves(reserved: str, ports: range) -> bool:
    """Whether the kernel's ip_local_reserved_ports ("8080,10000-10299") hold all of these ports."""
    spans = [tuple(map(int, part.split("-"))) for part in re.findall(r"\d+(?:-\d+)?", reserved)]
    reserved_ports = {port for span in spans for port in range(span[0], span[-1] + 1)}
    return reserved_ports.issuperset(ports)


def _firewall(name: str, word: str | None, prepare_command: str) -> Iterator[Problem]:
    if word in (None, "ok"):
        return
    words, command = FIREWALL.get(
        word or "", (f"has a firewall problem ({word})", "sudo portal-firewall check")
    )
    yield Problem(
        "firewall",
        f"{name} {words}.",
        command or prepare_command,
        grave=True,
        from_portal=not command,
    )


def _disk(name: str, free_gb: float | None, *, gate: bool) -> Iterator[Problem]:
    """`gate`: portal-gate answered, so it should have told the disk, too."""
    if free_gb is None:
        if gate:
            yield Problem(
                "disk",
                f"{name} does not say how much disk it has left: nobody is warned when it is full.",
                "docker info; portal-gate vm-check",
                grave=False,
            )
    elif free_gb < LOW_DISK_GB:
        yield Problem(
            "disk",
            f"{name} has only {free_gb:.1f} GB of disk left for images and home folders.",
            "docker system df; docker image prune",
            grave=free_gb < LOW_DISK_GB / 10,
        )


def _clock(name: str, *, skew: float | None, synchronised: bool | None) -> Iterator[Problem]:
    if skew is not None and abs(skew) > SKEW_S:
        way = "ahead of" if skew > 0 else "behind"
        yield Problem(
            "clock",
            f"{name}'s clock is {abs(skew):.0f} s {way} the portal's.",
            "chronyc tracking",
            grave=False,
        )
    elif synchronised is False:
        yield Problem(
            "clock",
            f"{name}'s clock is not synchronised, so it may drift.",
            "chronyc tracking",
            grave=False,
        )
