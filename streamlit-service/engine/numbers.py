"""Numbers in what a VM's programs print."""

from __future__ import annotations

import math


def number(text: str) -> float | None:
    """The number, or None for what is none, such as nvidia-smi's [N/A]."""
    try:
        amount = float(text)
    except ValueError:
        return None
    return amount if math.isfinite(amount) else None


def gib(text: str, per_gib: int) -> float | None:
    """GiB with one place, of an amount of which so many make one GiB."""
    amount = number(text)
    return None if amount is None else round(amount / per_gib, 1)
