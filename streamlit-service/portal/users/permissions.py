"""May this user do this? The one place that decides; pages only hide what this would refuse."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass, replace

from portal.core.errors import Forbidden, Invalid, NotFound
from portal.core.models import Deployment, Order, Quota, Role, User
from portal.core.settings import Settings

NAME = re.compile(r"[a-z0-9](?:[a-z0-9-]{0,38}[a-z0-9])?")
MIN_MEMORY_GB = 0.5
MIN_CPUS = 0.1
YOU = "you"


@dataclass(frozen=True)
class Allowance:
    """What somebody may hold in all, and what of it is taken.

    `whose` is "you" or the group's name.
    """

    whose: str
    gpus: int
    memory_gb: float
    cpus: float
    deployments: int
    gpus_held: int = 0
    memory_gb_held: float = 0.0
    cpus_held: float = 0.0
    deployments_held: int = 0

    def left(self, kind: str) -> float:
        """What may still be asked for, never below 0 (a quota may be lowered below use)."""
        return max(float(getattr(self, kind)) - float(getattr(self, f"{kind}_held")), 0.0)


def quota_of(settings: Settings, default: Quota | None, own: Quota | None) -> Quota:
    """A user's limits: their own row, then the default row, then the settings."""
    base = Quota(
        settings.max_gpus, settings.max_memory_gb, settings.max_cpus, settings.max_deployments
    )
    for row in (default, own):
        if row is not None:
            base = replace(
                base, **{name: value for name, value in vars(row).items() if value is not None}
            )
    return base


def check_order(order: Order) -> None:
    """Raise Invalid unless the order is sensible in itself."""
    if not NAME.fullmatch(order.name):
        raise Invalid(
            "bad_name",
            "The name must be 1 to 40 small letters, digits and hyphens, "
            "and begin and end with a letter or digit.",
            "For example: training-1.",
        )
    for code, noun, value, least, unit in (
        ("memory_gb", "Memory", order.memory_gb, MIN_MEMORY_GB, "GB"),
        ("cpus", "CPUs", order.cpus, MIN_CPUS, "CPUs"),
    ):
        if not math.isfinite(value) or value < least:
            raise Invalid(
                f"bad_{code}",
                f"{noun} must be at least {least:g} {unit}.",
                f"Ask for {least:g} or more.",
            )
    if order.gpus < 0:
        raise Invalid("bad_gpus", "The number of GPUs cannot be negative.", "Ask for 0 or more.")


def check_quota(order: Order, allowance: Allowance, *, new: bool = True) -> None:
    """Raise Forbidden when the order and what is held already are more than is allowed.

    `new` is False for a stopped deployment that starts again: it is counted as a deployment
    already.
    """
    if new and allowance.deployments_held >= allowance.deployments:
        raise Forbidden(
            "too_many_deployments",
            f"{_have(allowance)} {allowance.deployments_held} containers, which is as many as"
            f" {_may(allowance)}.",
            "Remove one that is no longer needed.",
        )
    for kind, noun, unit in (
        ("gpus", "GPUs", ""),
        ("memory_gb", "Memory", " GB"),
        ("cpus", "CPUs", ""),
    ):
        asked, left, most = getattr(order, kind), allowance.left(kind), getattr(allowance, kind)
        if asked > left:
            raise Forbidden(
                f"over_{kind}",
                f"{noun}: {asked:g}{unit} is more than the {left:g}{unit} left of the"
                f" {most:g}{unit} {_may(allowance)}.",
                (
                    f"Ask for {left:g}{unit} or less, or stop another container."
                    if left
                    else "Stop another container."
                ),
            )


def over(order: Order, quota: Quota, gpus: float, memory_gb: float, cpus: float) -> list[str]:
    """In words, which limits an order would break on top of what is held."""
    found = []
    for noun, most, held, asked in (
        ("GPUs", quota.gpus, gpus, order.gpus),
        ("GB of memory", quota.memory_gb, memory_gb, order.memory_gb),
        ("CPUs", quota.cpus, cpus, order.cpus),
    ):
        if most is not None and asked and held + asked > most:
            found.append(f"{most:g} {noun}, {held:g} held, {asked:g} asked for")
    return found


def _have(allowance: Allowance) -> str:
    return "You have" if allowance.whose == YOU else f"Group {allowance.whose} has"


def _may(allowance: Allowance) -> str:
    return "you may use" if allowance.whose == YOU else f"group {allowance.whose} may use"


def check_admin(user: User) -> None:
    """Raise Forbidden unless the user administers the portal."""
    if user.role is not Role.ADMIN:
        raise Forbidden(
            "not_admin", "Only an administrator may do this.", "Ask your administrator."
        )


def acting(actor: User | str) -> str:
    """The name under which an administrator's change is audited; Forbidden without the role.

    A text is the command line on the server itself, whose users have the database anyway.
    """
    if isinstance(actor, User):
        check_admin(actor)
        return actor.subject
    return actor


def check_curator(user: User) -> None:
    """Raise Forbidden unless the user curates images. Administrators do too."""
    if user.role not in (Role.CURATOR, Role.ADMIN):
        raise Forbidden(
            "not_curator", "Only an image curator may do this.", "Ask an image curator."
        )


def curating(actor: User | str) -> str:
    """As acting(), for curators."""
    if isinstance(actor, User):
        check_curator(actor)
        return actor.subject
    return actor


def check_owner(user: User, deployment: Deployment) -> None:
    """Raise NotFound when the deployment is somebody else's: its existence is not told either."""
    if deployment.owner.id != user.id:
        raise not_found()


def not_found() -> NotFound:
    """The answer for a deployment that does not exist or is somebody else's."""
    return NotFound(
        "no_such_deployment", "There is no such container.", "Look at My containers for yours."
    )
