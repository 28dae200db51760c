"""May this user do this? The one place that decides; pages only hide what this would refuse."""

from __future__ import annotations

from collections.abc import Sequence

from portal.core.errors import Forbidden, NotFound
from portal.core.models import Deployment, Vm
from portal.core.people import Actor, CommandLine, Role, User

SHARED_POOL = "shared"
CURATORS = (Role.CURATOR, Role.ADMIN)


def administrator(actor: Actor) -> str:
    """The subject under which an administrator's change is audited; Forbidden without the role."""
    if isinstance(actor, CommandLine) or actor.role is Role.ADMIN:
        return actor.subject
    raise Forbidden("not_admin", "Only an administrator may do this.", "Ask your administrator.")


def check_another(actor: Actor, user: User) -> None:
    """Raise Forbidden for one's own account: the last administrator could not come back."""
    if isinstance(actor, User) and actor.id == user.id:
        raise Forbidden(
            "own_account",
            "Nobody disables or retires their own account, or changes their own role.",
            "Ask another administrator, or use the command line.",
        )


def curator(actor: Actor) -> str:
    """As administrator(), for image curators. Administrators are curators too."""
    if isinstance(actor, CommandLine) or is_curator(actor):
        return actor.subject
    raise Forbidden("not_curator", "Only an image curator may do this.", "Ask an image curator.")


def is_curator(user: User) -> bool:
    """Whether the user decides about releases."""
    return user.role in CURATORS


def check_leads(actor: Actor, group: str) -> str:
    """As administrator(), for who leads a group. Administrators may do what leads may."""
    if isinstance(actor, CommandLine) or actor.role is Role.ADMIN or group in actor.leads:
        return actor.subject
    raise Forbidden(
        "not_lead",
        f"Only somebody who leads group {group[:60]}, or an administrator, may do this.",
        "Ask who leads it.",
    )


def check_owner(user: User, deployment: Deployment) -> None:
    """Raise NotFound when the deployment is somebody else's: that it exists is not said either."""
    if deployment.owner.id != user.id:
        raise no_such_deployment()


def no_such_deployment(hint: str = "Look at My containers for yours.") -> NotFound:
    """The answer for a deployment that does not exist or is somebody else's."""
    return NotFound("no_such_deployment", "There is no such container.", hint)


def eligible_vms(vms: Sequence[Vm], user: User, group: str | None = None) -> list[Vm]:
    """The user's own VMs; without any, the shared pool's and those of their groups' pools.

    `group`: for what counts for this one of their groups ("" for none).
    """
    own = [vm for vm in vms if vm.owner_id == user.id]
    pools = {SHARED_POOL, *(user.groups if group is None else [group])}
    return own or [vm for vm in vms if vm.owner_id is None and vm.pool in pools]
