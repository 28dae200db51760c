"""Numbers in what a VM's programs print."""

from __future__ import annotations


def number(text: str) -> float | None:
    """The number, or None for what is none, such as nvidia-smi's [N/A]."""
    try:
        return float(text)
    except ValueError:
        return None


def gib(text: str, per_gib: int) -> float | None:
    """GiB with one place, of an amount of which so many make one GiB."""
    amount = number(text)
    return None if amount is None else round(amount / per_gib, 1)
