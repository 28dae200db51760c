"""Auditors read what everybody has, change nothing, and have no containers."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from portal import audit, db, deployments, images, users, vms
from portal.audit import Wanted
from portal.context import Portal
from portal.core.errors import Conflict, Forbidden
from portal.core.models import Deployment, Order
from portal.core.people import Role, User
from portal.deployments import gateway, ssh_access
from portal.scheduling import quotas
from portal.users import usage
from support.samples import TEST, identity

ADA = identity("8901234567", "Ada U Ditor")


@pytest.fixture
def ada(portal: Portal) -> User:
    """By an administrator's word."""
    users.user_of(portal, ADA)
    users.set_role(portal, TEST, ADA.subject, Role.AUDITOR)
    return users.user_of(portal, ADA)


def test_they_see_everybodys_containers_vms_people_usage_and_events(
    portal: Portal, jane: User, ada: User
) -> None:
    made = deployments.request(portal, jane, Order("ml-cpu", "hers"))
    assert [each.id for each in deployments.everybody(portal, ada)] == [made.id]
    assert deployments.events(portal, ada, made.id)
    assert vms.fleet(portal, ada)
    assert {user.subject for user, _ in quotas.everybody(portal, ada)} >= {jane.subject}
    usage.report(portal, ada, ["user"], everybody=True)
    images.attention(portal, ada)
    assert audit.read(portal, ada, Wanted(subject=f"deployment:{made.id}"))
    assert list(audit.export(portal, ada))


@pytest.mark.parametrize(
    "change",
    [
        lambda portal, ada, _: deployments.request(portal, ada, Order("ml-cpu", "own")),
        lambda portal, ada, made: deployments.stop(portal, ada, made, "because I can"),
        lambda portal, ada, made: deployments.act_for(portal, ada, made, "remove", "as above"),
        lambda portal, ada, made: deployments.stop_in_group(portal, ada, "vision", made, "so"),
        lambda portal, ada, _: vms.drain(portal, ada, "vm-01"),
        lambda portal, ada, _: users.set_role(portal, ada, ada.subject, Role.ADMIN),
        lambda portal, ada, _: users.add_key(portal, ada, "laptop", "ssh-ed25519 AAAA"),
        lambda portal, ada, _: images.withdraw(portal, ada, 1, "it is old enough"),
    ],
)
def test_they_change_nothing(
    portal: Portal, jane: User, ada: User, change: Callable[[Portal, User, str], object]
) -> None:
    users.join(portal, TEST, "vision", ADA.subject, leads=True)
    ada = users.user_of(portal, ADA)
    made = deployments.request(portal, jane, Order("ml-cpu", "hers"))
    before = len(audit.read(portal, ada, Wanted()))
    with pytest.raises(Forbidden):
        change(portal, ada, made.id)
    assert len(audit.read(portal, ada, Wanted())) == before


def test_who_has_containers_does_not_become_one(
    portal: Portal, jane: User, work_off: Callable[[str], object]
) -> None:
    made = deployments.request(portal, jane, Order("ml-cpu", "hers"))
    with pytest.raises(Conflict, match="hers"):
        users.set_role(portal, TEST, jane.subject, Role.AUDITOR)
    deployments.act(portal, jane, made.id, "stop")
    work_off(made.id)
    assert users.set_role(portal, TEST, jane.subject, Role.AUDITOR) is Role.AUDITOR
    with pytest.raises(Forbidden):
        deployments.act(portal, users.user_of(portal, identity()), made.id, "start")
    with pytest.raises(Forbidden):  # nor for them
        deployments.act_for(portal, TEST, made.id, "start", "she asked for it")


def test_they_see_no_notebook_even_where_one_runs(
    portal: Portal, jane: User, running: Deployment
) -> None:
    with portal.database.transaction() as tx:  # whatever made it so
        db.users.update(tx, jane.id, role=Role.AUDITOR)
    with pytest.raises(Forbidden, match="Auditors"):
        gateway.route(portal, identity(), gateway.Door(10000))
    assert ssh_access.login(portal, jane.subject).refusal
