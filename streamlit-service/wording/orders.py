"""What an order would lead to."""

from __future__ import annotations

from portal.core.models import Order
from portal.core.resources import Resources
from portal.deployments import Preview

from wording.units import amount, plural


def could_have(most: Resources) -> str:
    """What is left for an order."""
    return (
        f"You could have up to {plural(int(most.gpus), 'GPU')}, {most.memory_gb:g} GB and "
        f"{amount(most.cpus, 'CPU')} now."
    )


def would_start(ahead: Preview, order: Order) -> str:
    """What Deploy would do now."""
    assert ahead.vm is not None
    gpus = f" with {plural(order.gpus, 'GPU')}" if order.gpus else ""
    home = "Your home folder on this VM is kept when the container is removed."
    if ahead.home_elsewhere:
        home = (
            f"It starts with a new home folder: yours is on {ahead.home_elsewhere}, "
            "where there is no room now."
        )
    return (
        f"Starts on **{ahead.vm.name}**{gpus}: {ahead.why}. JupyterLab on port"
        f" {ahead.jupyter_port}. {home}"
    )


def would_wait(ahead: Preview) -> str:
    """What Deploy would do when there is no room."""
    return (
        f"You would be **number {ahead.position}** in the queue, and it starts automatically when"
        f" its turn comes. It waits for: {ahead.waits_for}."
    )
