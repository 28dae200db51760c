"""Parse what portal-gate prints of a VM's GPUs, in every version of nvidia-smi in use.

Fields are separated by ", " and a missing value is "[N/A]" (or "N/A"): each is
parsed on its own. MIG instances are listed only by `nvidia-smi -L`, indented below their GPU; old
drivers name them MIG-GPU-<uuid>/gi/ci. Source: nvidia-smi's manual page, and
scripts/vm/portal-gate.sh.
"""

from __future__ import annotations

import re
from collections.abc import Collection
from dataclasses import replace

from portal.core.engine import GpuReport, SeenGpu

from engine.numbers import gib, number

COMMAND = "portal-gate gpu-probe"
MIB_PER_GIB = 1024
FIELDS = 9
TIMED_OUT = 124
"""Of timeout(1)."""
SIGNALS = range(129, 193)
"""Of a shell whose command a signal ended."""
_GPU_LINE = re.compile(r"GPU (\d+): .*\(UUID: (GPU-[^)]+)\)")
_MIG_LINE = re.compile(r"\s+MIG (\S+)\s+Device\s+\d+: \(UUID: (MIG-[^)]+)\)")
_MIG_MEMORY = re.compile(r"\.(\d+)gb")
_CUDA = re.compile(r"Version *: *([\d.]+)")
_BROKEN = re.compile(r"ERR!|unknown error|is lost|requires reset", re.IGNORECASE)
_NO_VALUE = re.compile(
    r"\[(N/A|not (supported|available|found)|insufficient permissions"
    r"|requested functionality has been deprecated)\]",
    re.IGNORECASE,
)
"""In place of a value that a healthy GPU lacks; anything else in brackets is an error."""


class Incomplete(Exception):
    """nvidia-smi did not get to the end: this report says nothing of the GPUs."""


CDI_KIND = "nvidia.com/gpu="


def parse(text: str, *, cdi_engine: bool, cdi_devices: Collection[str] | None = None) -> GpuReport:
    """The report of a VM.

    `cdi_engine`: its Docker Engine can be asked for CDI devices; `cdi_devices`: those it
    lists (Engine 28 and newer), None where it does not say.

    Raises Incomplete: a slow probe must not make GPUs vanish. A broken GPU hides no other.
    """
    parts = _sections(text)
    gpus, driver = _gpus(parts.get("query", ""))
    divided = any(mig for _, mig in gpus.values())
    if (
        _cut_short(parts.get("exit"))
        or (divided and _cut_short(parts.get("listed")))
        or (divided and "GPU " not in parts.get("list", ""))
    ):
        raise Incomplete(f"exit {parts.get('exit')}: {parts.get('query', '')[:200]}")
    if not gpus:
        return GpuReport(problem=_no_driver(parts))
    cuda = _CUDA.search(parts.get("cuda", ""))
    access = "nvidia" if parts.get("toolkit", "").strip() else ""
    seen = _with_instances(gpus, parts.get("list", ""))
    if not access and cdi_devices is not None:
        access = "cdi" if any(name.startswith(CDI_KIND) for name in cdi_devices) else ""
        seen = [
            gpu if CDI_KIND + gpu.uuid in cdi_devices else replace(gpu, problem="not_in_cdi")
            for gpu in seen
        ]
    elif not access and cdi_engine and "nvidia" in parts.get("cdi", ""):
        access = "cdi"
    return GpuReport(
        gpus=tuple(seen),
        driver=driver,
        cuda=cuda[1] if cuda else None,
        access=access or None,
        problem=None if access else "no_toolkit",
    )


def _cut_short(code: str | None) -> bool:
    """By how nvidia-smi ended; a portal-gate of an older version does not say it of the list."""
    ended = int(number(code or "0") or 0)
    return ended == TIMED_OUT or ended in SIGNALS


def _sections(text: str) -> dict[str, str]:
    sections: dict[str, str] = {}
    for block in re.split(r"^== ", text, flags=re.MULTILINE)[1:]:
        head, _, body = block.partition("\n")
        name, _, value = head.partition(" ")
        sections[name] = value or body
    return sections


NOT_THERE = ("", "126", "127")
"""How a shell ends that cannot run a program, or did not say how it ended."""


def _no_driver(parts: dict[str, str]) -> str | None:
    """None where there is simply no GPU."""
    # It is installed, and cannot talk to its kernel module.
    if any(
        word in parts.get("query", "").lower() for word in ("driver", "nvml", "unable to determine")
    ):
        return "driver_broken"
    if parts.get("pci", "0").strip() in ("", "0"):
        return None
    # Whatever it said, nvidia-smi is there: "No devices were found", a field it does not know.
    return "no_driver" if parts.get("exit", "").strip() in NOT_THERE else "driver_broken"


def _gpus(query: str) -> tuple[dict[str, tuple[SeenGpu, bool]], str | None]:
    """(GPU, whether MIG is on) by UUID, and the driver's version."""
    gpus, driver = {}, None
    for line in query.splitlines():
        values = [value.strip() for value in line.split(", ")]
        if len(values) != FIELDS or not values[1].startswith("GPU-"):
            continue
        index, uuid, model, total, used, busy, temperature, version, mig = values
        driver = version if number(version.split(".")[0]) is not None else driver
        problem = "gpu_error" if any(map(_is_error, values)) else None
        seen = SeenGpu(
            uuid,
            int(number(index) or 0),
            model,
            None,
            gib(total, MIB_PER_GIB) or 0.0,
            gib(used, MIB_PER_GIB),
            number(busy),
            number(temperature),
            problem,
        )
        gpus[uuid] = seen, mig == "Enabled"
    return gpus, driver


def _is_error(value: str) -> bool:
    bracketed = value.startswith("[") and value.endswith("]")
    return bool(_BROKEN.search(value)) or (bracketed and not _NO_VALUE.fullmatch(value))


def _with_instances(gpus: dict[str, tuple[SeenGpu, bool]], listing: str) -> list[SeenGpu]:
    """GPUs that are handed out whole, and the instances of those in MIG mode."""
    result = [gpu for gpu, mig in gpus.values() if not mig]
    parent: SeenGpu | None = None
    for line in listing.splitlines():
        card, instance = _GPU_LINE.match(line), _MIG_LINE.match(line)
        if card:
            parent = gpus[card[2]][0] if card[2] in gpus else None
        elif instance and parent is not None:
            memory = _MIG_MEMORY.search(instance[1])
            result.append(
                replace(
                    parent,
                    uuid=instance[2],
                    model=f"{parent.model} MIG {instance[1]}",
                    parent=parent.uuid,
                    memory_gb=float(memory[1]) if memory else 0.0,
                    memory_used_gb=None,
                    utilisation=None,
                )
            )
    return result
