"""GPUs as strips: a VM each, with its GPUs, who holds them, and the last hour. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from itertools import groupby
from typing import Any

from portal.core.models import Vm
from portal.vms.gpus import GpuStatus, Hold

from wording.units import plural

WORDS = {
    Hold.FREE: ("radio_button_unchecked", "Free", "green"),
    Hold.YOURS: ("person", "Yours", "blue"),
    Hold.TAKEN: ("lock", "Taken", "gray"),
    Hold.OUT_OF_ORDER: ("error", "Out of order", "red"),
}
"""Icon, word, colour: never colour alone."""


def share(gpus: Sequence[GpuStatus]) -> str:
    """One's share of all, in a line."""
    counts = Counter(gpu.hold for gpu in gpus)
    said = [
        f"{counts[Hold.FREE]} of {plural(len(gpus), 'GPU')} free",
        f"{counts[Hold.YOURS]} yours",
        f"{counts[Hold.TAKEN]} taken",
        f"{counts[Hold.OUT_OF_ORDER]} out of order",
    ]
    return " · ".join(text for text in said if not text.startswith("0 ") or " free" in text)


def strips(
    gpus: Sequence[GpuStatus], hours: Mapping[str, Sequence[int | None]]
) -> list[dict[str, Any]]:
    """One for each VM, as front/src/gpus.tsx draws it; `hours` as portal.vms.gpus.last_hour."""
    found = []
    for _, group in groupby(gpus, key=lambda each: each.vm.id):
        of_vm = list(group)
        vm, hour = of_vm[0].vm, list(hours.get(of_vm[0].vm.name, ()))
        seen = [percent for percent in hour if percent is not None]
        free = sum(each.hold is Hold.FREE for each in of_vm)
        found.append(
            {
                "name": vm.name,
                "facts": _facts(vm),
                "free": f"{free} of {len(of_vm)} free",
                "gpus": [_cell(each) for each in of_vm],
                "hour": hour if seen else [],
                "busy": f"{sum(seen) / len(seen):.0f} % busy in the last hour" if seen else "",
            }
        )
    return found


def _facts(vm: Vm) -> str:
    facts = [
        f"driver {vm.driver}" if vm.driver else "",
        f"CUDA {vm.cuda}" if vm.cuda else "",
        "" if vm.reachable else "cannot be reached",
    ]
    return " · ".join(filter(None, facts))


def _cell(status: GpuStatus) -> dict[str, Any]:
    gpu, (icon, word, tone) = status.gpu, WORDS[status.hold]
    names = [
        status.holder if status.hold is not Hold.YOURS else "",
        status.deployment.name if status.deployment else "",
    ]
    memory = f"{gpu.memory_gb:g} GB"
    if gpu.memory_used_gb is not None:
        memory = f"{gpu.memory_used_gb:.1f} of {memory}"
    busy = None if gpu.problem else gpu.utilisation
    readings = [
        gpu.problem.replace("_", " ") if gpu.problem else "",
        "" if gpu.problem else memory,
        f"{busy:.0f} % busy" if busy is not None else "",
        f"{gpu.temperature:.0f} °C" if gpu.temperature is not None else "",
    ]
    return {
        "key": gpu.uuid,
        "title": f"{'Slice of GPU' if gpu.parent else 'GPU'} {gpu.index}",
        "model": gpu.model,
        "icon": icon,
        "word": word,
        "tone": tone,
        "who": " · ".join(filter(None, names)),
        "readings": " · ".join(filter(None, readings)),
        "busy": busy,
    }
