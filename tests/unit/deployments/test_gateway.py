from __future__ import annotations

from collections.abc import Callable

import pytest
from portal import deployments
from portal.context import Portal
from portal.core.errors import Conflict, Forbidden, NotFound
from portal.core.models import Deployment
from portal.core.people import User
from portal.deployments import gateway
from support.fakes import FakeClock
from support.samples import JANE, JOHN, identity

WorkOff = Callable[..., Deployment]


def test_the_owner_is_led_to_the_vm_with_the_token(portal: Portal, running: Deployment) -> None:
    route = gateway.route(portal, JANE, gateway.Door(10000))
    assert (route.upstream, route.token) == ("10.0.0.1:10000", running.jupyter_token)


def test_tensorboard_gets_no_token(portal: Portal, running: Deployment) -> None:
    assert gateway.route(portal, JANE, gateway.Door(10001)).token == ""


def test_nobody_else_is_let_in(portal: Portal, running: Deployment, john: User) -> None:
    for stranger in (JOHN, identity("9999999999")):
        with pytest.raises(Forbidden, match="belongs to somebody else"):
            gateway.route(portal, stranger, gateway.Door(10000))


@pytest.mark.parametrize("port", [10002, 10010, 10099])
def test_an_unused_port_of_ones_own_says_so(portal: Portal, running: Deployment, port: int) -> None:
    with pytest.raises(NotFound, match="Nothing is deployed"):
        gateway.route(portal, JANE, gateway.Door(port))


def test_a_stopped_container_says_what_to_do(
    portal: Portal, jane: User, running: Deployment, work_off: WorkOff
) -> None:
    deployments.act(portal, jane, running.id, "stop")
    work_off(running.id)
    with pytest.raises(Conflict, match=r"first is stopped\. Its home folder is kept"):
        gateway.route(portal, JANE, gateway.Door(10000))


def test_activity_is_noted_but_not_at_every_request(
    portal: Portal, running: Deployment, clock: FakeClock
) -> None:
    assert not gateway.route(portal, JANE, gateway.Door(10000)).touch
    clock.forward(31)
    assert gateway.route(portal, JANE, gateway.Door(10000)).touch
    gateway.touch(portal, gateway.route(portal, JANE, gateway.Door(10000)), JANE)
    assert not gateway.route(portal, JANE, gateway.Door(10000)).touch
    clock.forward(-3600)  # set back
    assert gateway.route(portal, JANE, gateway.Door(10000)).touch
