"""May this user do this? The one place that decides; pages only hide what this would refuse."""

from __future__ import annotations

from collections.abc import Sequence

from portal.core.errors import Forbidden, NotFound
from portal.core.models import Deployment, Vm
from portal.core.people import Actor, CommandLine, Role, User

SHARED_POOL = "shared"
CURATORS = (Role.CURATOR, Role.ADMIN)
READERS = (Role.AUDITOR, Role.ADMIN)


def administrator(actor: Actor) -> str:
    """The subject under which an administrator's change is audited; Forbidden without the role."""
    if isinstance(actor, CommandLine) or actor.role is Role.ADMIN:
        return actor.subject
    raise Forbidden("not_admin", "Only an administrator may do this.", "Ask your administrator.")


def reader(actor: Actor) -> str:
    """As administrator(), for what auditors read too."""
    if isinstance(actor, CommandLine) or reads_all(actor):
        return actor.subject
    raise Forbidden(
        "not_admin",
        "Only an administrator or auditor may read this.",
        "Ask your administrator.",
    )


def reads_all(user: User) -> bool:
    """Whether the user sees what everybody has."""
    return user.role in READERS


def check_may_act(user: User) -> None:
    """Raise Forbidden for an auditor, who has no containers and changes nothing."""
    check_role_may_act(user.role)


def check_role_may_act(role: Role) -> None:
    """As check_may_act()."""
    if role is Role.AUDITOR:
        raise Forbidden(
            "auditor",
            "Auditors read everything and change nothing.",
            "Use an account without this role for your own work.",
        )


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


def sees_catalogue(user: User) -> bool:
    """Whether the user sees releases that nobody may start, and what needs attention."""
    return is_curator(user) or user.role is Role.AUDITOR


def catalogue_reader(actor: Actor) -> None:
    """Raise Forbidden unless sees_catalogue()."""
    if not isinstance(actor, CommandLine) and not sees_catalogue(actor):
        curator(actor)


def is_curator(user: User) -> bool:
    """Whether the user decides about releases."""
    return user.role in CURATORS


def check_sees_group(actor: Actor, group: str) -> None:
    """As check_leads(), for what auditors read too."""
    if isinstance(actor, CommandLine) or not reads_all(actor):
        check_leads(actor, group)


def check_leads(actor: Actor, group: str) -> str:
    """As administrator(), for who leads a group. Administrators may do what leads may."""
    if not isinstance(actor, CommandLine):
        check_may_act(actor)
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
