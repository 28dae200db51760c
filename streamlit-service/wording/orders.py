"""What an order would lead to."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from portal.core.models import Order
from portal.core.resources import Resources
from portal.deployments import Preview

from wording.units import amount, plural, size


def amounts(what: Resources) -> str:
    """1 GPU, 8 GB, 2 CPUs."""
    cards = f"{plural(int(what.gpus), 'GPU')}, " if what.gpus else ""
    return f"{cards}{what.memory_gb:g} GB, {amount(what.cpus, 'CPU')}"


def free_now(free: Resources, *, gpus: bool) -> str:
    """What one container could have at once; `gpus`: do they matter."""
    return f"Free for you now: {amounts(free if gpus else replace(free, gpus=0))}."


def too_large(sizes: Sequence[str], most: Resources) -> str:
    """Why these are not among the choices."""
    *some, last = sizes
    named = f"{', '.join(some)} and {last}" if some else last
    need = "need" if some else "needs"
    return f"{named} {need} more than you can have now: {amounts(replace(most, gpus=0))}."


def would_start(ahead: Preview, order: Order) -> str:
    """What Deploy would do now."""
    assert ahead.vm is not None
    cards = f" with {plural(order.gpus, 'GPU')}" if order.gpus else ""
    home = ", with your home folder" if ahead.home_here else ", with a new home folder"
    if ahead.home_elsewhere:
        home = (
            f", with a new home folder: yours is on {ahead.home_elsewhere}, where there is no room"
            " now"
        )
    when = f" in about {ahead.usual_s:.0f} s" if ahead.usual_s else ""
    if not ahead.image_there:
        when = f" after the image is downloaded ({size(ahead.download_bytes)})"
    return f"Starts on **{ahead.vm.name}**{cards}{when}{home}."


def would_wait(ahead: Preview) -> str:
    """What Deploy would do when there is no room."""
    return (
        f"You would be **number {ahead.position}** in the queue; the container starts automatically"
        f" when its turn comes. Why it would wait: {ahead.waits_for}."
    )
