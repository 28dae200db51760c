"""GPUs as tiles, in one piece of HTML: a fleet has hundreds, too many for a widget each. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from itertools import groupby

from portal.core.models import Vm
from portal.vms.gpus import GpuStatus, Hold

WORDS = {
    Hold.FREE: ("○", "Free"),
    Hold.YOURS: ("●", "Yours"),
    Hold.TAKEN: ("◐", "Taken"),
    Hold.OUT_OF_ORDER: ("✕", "Out of order"),
}
COLOURS = {
    "light": {
        Hold.FREE: "#14713d",
        Hold.YOURS: "#0b5cad",
        Hold.TAKEN: "#59616d",
        Hold.OUT_OF_ORDER: "#b3261e",
    },
    "dark": {
        Hold.FREE: "#6fd39a",
        Hold.YOURS: "#7db7f0",
        Hold.TAKEN: "#aab3bf",
        Hold.OUT_OF_ORDER: "#ff9d94",
    },
}
"""Each at least 4.5:1 on its background (WCAG 1.4.3)."""
STYLE = """<style>
.gpu-vm { margin: 0.75rem 0 0.35rem; font-weight: 600; }
.gpu-vm small { font-weight: 400; opacity: 0.75; margin-left: 0.5rem; }
.gpu-grid { display: grid; grid-template-columns: repeat(auto-fill, minmax(15rem, 1fr));
  gap: 0.6rem; margin: 0; padding: 0 !important; list-style: none; }
.gpu { border: 1px solid color-mix(in srgb, currentColor 22%, transparent);
  border-left: 4px solid var(--hold); border-radius: 0.5rem; padding: 0.55rem 0.75rem;
  font-size: 0.875rem; line-height: 1.45; margin: 0 !important; }
.gpu b { color: var(--hold); }
.gpu meter { width: 5.5rem; height: 0.6rem; vertical-align: middle; }
</style>"""


def tiles_html(tiles: Sequence[GpuStatus], theme: str) -> str:
    """All GPUs with their VMs; `theme` is "light" or "dark"."""
    parts = [STYLE]
    for _, group in groupby(tiles, key=lambda tile: tile.vm.id):
        of_vm = list(group)
        parts.append(_heading(of_vm[0].vm))
        parts.append(
            '<ul class="gpu-grid">' + "".join(_tile(tile, theme) for tile in of_vm) + "</ul>"
        )
    return "".join(parts)


def _heading(vm: Vm) -> str:
    facts = [
        f"driver {vm.driver}" if vm.driver else "",
        f"CUDA {vm.cuda}" if vm.cuda else "",
        "" if vm.reachable else "cannot be reached",
    ]
    details = escape(" · ".join(filter(None, facts)))
    return f'<div class="gpu-vm">{escape(vm.name)}<small>{details}</small></div>'


def _tile(tile: GpuStatus, theme: str) -> str:
    gpu, (mark, word) = tile.gpu, WORDS[tile.hold]
    who = f" · {escape(tile.holder)}" if tile.holder and tile.hold is not Hold.YOURS else ""
    what = f" · {escape(tile.deployment.name)}" if tile.deployment else ""
    lines = [f"<b>{mark} {word}</b>{who}{what}", f"GPU {gpu.index} · {escape(gpu.model)}"]
    if gpu.problem:
        lines.append(escape(gpu.problem.replace("_", " ")))
    else:
        lines += [
            _reading("Busy", gpu.utilisation, 100, "%"),
            _reading("Memory", gpu.memory_used_gb, gpu.memory_gb, " GB"),
        ]
    if gpu.temperature is not None:
        lines.append(f"{gpu.temperature:.0f} °C")
    return f'<li class="gpu" style="--hold:{COLOURS[theme][tile.hold]}">{"<br>".join(lines)}</li>'


def _reading(label: str, value: float | None, most: float, unit: str) -> str:
    if value is None:
        return f"{label}: not reported" if unit == "%" else f"{label}: {most:g}{unit}"
    shown = f"{value:.0f}{unit}" if unit == "%" else f"{value:.1f} of {most:g}{unit}"
    return (
        f'{label}: <meter min="0" max="{most:g}" value="{value:g}" aria-label="{label}'
        f' {shown}"></meter> {shown}'
    )
