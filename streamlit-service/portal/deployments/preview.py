"""What an order would lead to, before it is placed."""

from __future__ import annotations

from dataclasses import dataclass, replace

from portal import db, users
from portal.context import Portal
from portal.core import ports
from portal.core.models import Order, Vm
from portal.core.people import User
from portal.deployments import slots
from portal.deployments.service import (
    approved,
    check_request,
    check_served,
    name_taken,
    usual_start_s,
)
from portal.scheduling import admission
from portal.users import ranges


@dataclass(frozen=True)
class Preview:
    """What an order would lead to if it were placed now.

    Without a VM it would wait at `position`.
    """

    jupyter_port: int
    vm: Vm | None
    why: str
    position: int = 0
    waits_for: str = ""
    home_here: bool = False
    home_elsewhere: str = ""
    """The VM that has the user's home folder, when this is another."""
    image_there: bool = False
    download_bytes: int = 0
    """Of the image, where it is not there; 0: unknown."""
    usual_s: float | None = None
    """How long half of the last starts of the image took at most."""


def preview(portal: Portal, user: User, order: Order) -> Preview:
    """The same checks and the same placement as request(), recording nothing.

    Raises what it would.
    """
    order = replace(order, group=users.chosen(user, order.group))
    with portal.database.reading() as tx:
        check_request(portal, tx, user, order)
        user = ranges.choose(portal, tx, user)
        check_served(portal, user)
        if order.name in {d.name for d in db.deployments.of_user(tx, user.id)}:
            raise name_taken(order.name)
        decision = admission.evaluate(portal, tx, user, order)
        placed = decision.placement
        slot = slots.choose(tx, user, placed.vm if placed else None, portal.now())
        homes = db.deployments.homes(tx, {user.id}).get(user.id, frozenset())
        names = {vm.id: vm.name for vm in db.vms.all_vms(tx)}
        release = approved(portal, tx, order.image)
        there = db.releases.vms_with(tx).get(release.id, set())
        usual = usual_start_s(tx, release.id)
    port = ports.port_of(user.own_range, slot, ports.Service.JUPYTER)
    if placed is None:
        return Preview(port, None, "", decision.position, decision.waits_for)
    others = [names[vm_id] for vm_id in homes if vm_id in names and vm_id != placed.vm.id]
    return Preview(
        port,
        placed.vm,
        placed.why,
        home_here=placed.vm.id in homes,
        home_elsewhere="" if placed.vm.id in homes else ", ".join(others),
        image_there=placed.vm.id in there,
        download_bytes=release.download_bytes or 0,
        usual_s=usual,
    )
