"""May this user do this? The one place that decides; pages only hide what this would refuse."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass

from portal.config import Settings
from portal.errors import Forbidden, Invalid, NotFound
from portal.models import Deployment, Order, User

NAME = re.compile(r"[a-z0-9](?:[a-z0-9-]{0,38}[a-z0-9])?")
MIN_MEMORY_GB = 0.5
MIN_CPUS = 0.1


@dataclass(frozen=True)
class Limits:
    """The most one deployment may ask for, and how many a user may have."""

    deployments: int
    memory_gb: float
    cpus: float


def limits_for(settings: Settings, user: User) -> Limits:
    """The limits of a user: the same for everybody until quotas are set per user and group."""
    return Limits(settings.max_deployments, settings.max_memory_gb, settings.max_cpus)


def check_order(order: Order, limits: Limits, *, live: int) -> None:
    """Raise Invalid or Forbidden unless the order is sensible and within the limits.

    `live` is how many deployments of the user exist now.
    """
    if not NAME.fullmatch(order.name):
        raise Invalid(
            "bad_name",
            "The name must be 1 to 40 small letters, digits and hyphens, and begin and end with a letter or digit.",
            "For example: training-1.",
        )
    _check_amount("memory_gb", "Memory", order.memory_gb, MIN_MEMORY_GB, limits.memory_gb, "GB")
    _check_amount("cpus", "CPUs", order.cpus, MIN_CPUS, limits.cpus, "CPUs")
    if order.gpus < 0:
        raise Invalid("bad_gpus", "The number of GPUs cannot be negative.", "Ask for 0 or more.")
    if live >= limits.deployments:
        raise Forbidden(
            "too_many_deployments",
            f"You have {live} containers, which is as many as you may have.",
            "Remove one that you no longer need.",
        )


def _check_amount(code: str, noun: str, value: float, least: float, most: float, unit: str) -> None:
    if not math.isfinite(value) or value < least:
        raise Invalid(f"bad_{code}", f"{noun} must be at least {least:g} {unit}.", f"Ask for {least:g} or more.")
    if value > most:
        raise Forbidden(
            f"over_{code}",
            f"{noun}: {value:g} {unit} is more than the {most:g} {unit} you may use.",
            f"Ask for {most:g} {unit} or less.",
        )


def check_owner(user: User, deployment: Deployment) -> None:
    """Raise NotFound when the deployment is somebody else's: its existence is not told either."""
    if deployment.owner.id != user.id:
        raise not_found()


def not_found() -> NotFound:
    """The answer for a deployment that does not exist or is somebody else's."""
    return NotFound("no_such_deployment", "There is no such container.", "Look at My containers for yours.")
