"""People are in several groups; each container counts for one; leads help and share out."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta

import pytest
from portal import db, deployments, users, vms
from portal.context import Portal
from portal.core.errors import Forbidden, Invalid, NoCapacity, NotFound
from portal.core.models import Deployment, Order, State, StopReason
from portal.core.people import User
from portal.core.resources import Quota
from portal.scheduling import admission, groups, quotas
from support.fakes import FakeClock
from support.samples import JANE, JOHN, TEST, actions

SMALL = Order("ml-cpu", "notebook", memory_gb=0.5, cpus=0.1)
FOR_SPEECH = Order("ml-cpu", "speech", memory_gb=0.5, cpus=0.1, group="speech")


@pytest.fixture
def both(portal: Portal, jane: User, john: User) -> User:
    """Jane in vision, her main group, and speech; John in speech."""
    for group, who in (("vision", jane), ("speech", jane), ("speech", john)):
        users.join(portal, TEST, group, who.subject)
    return users.user_of(portal, JANE)


@pytest.fixture
def lead(portal: Portal, both: User) -> User:
    """John leads speech."""
    users.join(portal, TEST, "speech", JOHN.subject, leads=True)
    return users.user_of(portal, JOHN)


def test_the_first_group_is_the_main_one_until_another_is_made_it(
    portal: Portal, both: User
) -> None:
    assert (both.group, both.groups, both.leads) == ("vision", ("speech", "vision"), ())
    users.join(portal, TEST, "robots", both.subject)
    users.set_group(portal, TEST, both.subject, "speech")  # instead of vision
    moved = users.user_of(portal, JANE)
    assert (moved.group, moved.groups) == ("speech", ("robots", "speech"))
    users.leave(portal, TEST, "speech", both.subject)
    left = users.user_of(portal, JANE)
    assert (left.group, left.groups) == ("robots", ("robots",))
    users.set_group(portal, TEST, both.subject, "")
    assert users.user_of(portal, JANE).groups == ()
    assert actions(portal, both.subject)[-3:] == ["user.group", "group.left", "user.group"]


def test_a_container_counts_for_the_main_group_or_the_one_it_names(
    portal: Portal, both: User
) -> None:
    assert deployments.request(portal, both, SMALL).group == "vision"
    assert deployments.request(portal, both, FOR_SPEECH).group == "speech"
    for strange in ("robots", "SPEECH", "speech "):
        with pytest.raises(Invalid, match="You are not in group"):
            deployments.request(portal, both, Order("ml-cpu", "x", group=strange))


def test_a_groups_quota_counts_its_containers_alone_and_usage_is_theirs(
    portal: Portal, both: User, clock: FakeClock, work_off: Callable[[str], Deployment]
) -> None:
    quotas.set_quota(portal, TEST, "group", "speech", Quota(deployments=1))
    deployments.request(portal, both, SMALL)
    work_off(deployments.request(portal, both, FOR_SPEECH).id)
    with pytest.raises(Forbidden, match="Group speech has 1 container,"):
        deployments.request(
            portal, users.user_of(portal, JOHN), Order("ml-cpu", "third", group="speech")
        )
    with portal.database.reading() as tx:
        held = db.usage.intervals(tx, clock.at, clock.at + timedelta(hours=1))
    assert {(each["group"], each["memory_gb"]) for each in held} == {
        ("vision", 0.5),
        ("speech", 0.5),
    }


def test_a_member_holds_no_more_of_the_groups_than_their_share(
    portal: Portal, both: User, lead: User
) -> None:
    key = quotas.member_key("speech", both.subject)
    quotas.set_quota(portal, lead, quotas.MEMBER, key, Quota(deployments=1, memory_gb=1))
    deployments.request(portal, both, FOR_SPEECH)
    with pytest.raises(Forbidden, match="1 container, the most you may use for group speech"):
        deployments.request(portal, both, Order("ml-cpu", "second", memory_gb=0.5, group="speech"))
    deployments.request(portal, both, SMALL)  # of vision's
    deployments.request(portal, lead, Order("ml-cpu", "leads", memory_gb=2, group="speech"))
    [mine] = [each for each in groups.members(portal, lead, "speech") if each.share]
    assert (mine.user.id, mine.allowance.limits.memory_gb, mine.allowance.held.deployments) == (
        both.id,
        1,
        1,
    )
    users.rename_group(portal, TEST, "speech", "voice")
    renamed = users.user_of(portal, JOHN)
    assert [each.share is not None for each in groups.members(portal, renamed, "voice")] == [
        True,
        False,
    ]
    quotas.set_quota(portal, renamed, quotas.MEMBER, quotas.member_key("voice", both.subject), None)
    again = users.user_of(portal, JANE)
    deployments.request(portal, again, Order("ml-cpu", "second", memory_gb=0.5, group="voice"))


def test_in_the_queue_a_share_that_was_lowered_holds_back_its_member_alone(
    portal: Portal, both: User, lead: User, work_off: Callable[[str], Deployment]
) -> None:
    with portal.database.transaction() as tx:
        db.vms.update(tx, 1, memory_gb=5, cpus=4)
    first = work_off(deployments.request(portal, lead, Order("ml-cpu", "all", memory_gb=4)).id)
    waits = deployments.request(portal, both, Order("ml-cpu", "waits", memory_gb=3, group="speech"))
    after = deployments.request(portal, lead, Order("ml-cpu", "after", memory_gb=3))
    assert (waits.state, after.state) == (State.WAITING, State.WAITING)
    key = quotas.member_key("speech", both.subject)
    quotas.set_quota(portal, lead, quotas.MEMBER, key, Quota(memory_gb=1))
    deployments.act(portal, lead, first.id, "stop")
    work_off(first.id)
    with portal.database.transaction() as tx:
        admission.advance(portal, tx)
        found = db.deployments.by_ids(tx, {waits.id, after.id})
    assert found[after.id].state is State.PENDING
    assert "your quota is 1 GB of memory" in (found[waits.id].waits_for or "")


def test_only_leads_and_administrators_share_out_and_only_among_members(
    portal: Portal, both: User, lead: User
) -> None:
    one = Quota(gpus=1)
    for group, who in (("speech", both), ("vision", lead), ("speech/x", both)):
        with pytest.raises((Forbidden, Invalid)):
            quotas.set_quota(portal, who, quotas.MEMBER, f"{group}/{both.subject}", one)
    with pytest.raises(Forbidden):
        quotas.set_quota(portal, lead, "group", "speech", one)
    with pytest.raises(NotFound, match="is not in group"):
        quotas.set_quota(
            portal, TEST, quotas.MEMBER, quotas.member_key("vision", lead.subject), one
        )
    for page in (groups.members, deployments.of_group):
        with pytest.raises(Forbidden):
            page(portal, both, "speech")
    assert [each.whose for each in groups.led(portal, lead)] == ["speech"]
    assert groups.led(portal, both) == []


def test_a_lead_sees_and_stops_the_groups_containers_and_no_others(
    portal: Portal, both: User, lead: User, work_off: Callable[[str], Deployment]
) -> None:
    theirs = work_off(deployments.request(portal, both, FOR_SPEECH).id)
    other = work_off(deployments.request(portal, both, SMALL).id)
    assert [each.id for each in deployments.of_group(portal, lead, "speech")] == [theirs.id]
    with pytest.raises(NotFound):
        deployments.stop_in_group(portal, lead, "speech", other.id, "needed elsewhere")
    with pytest.raises(Forbidden):
        deployments.stop_in_group(portal, lead, "vision", other.id, "needed elsewhere")
    deployments.stop_in_group(portal, lead, "speech", theirs.id, "needed until Friday")
    stopped = work_off(theirs.id)
    assert (stopped.state, stopped.stop_reason, stopped.stop_note) == (
        State.STOPPED,
        StopReason.LEAD,
        "needed until Friday",
    )


def test_a_lead_helps_in_the_group_as_administrators_do(
    portal: Portal, both: User, lead: User, work_off: Callable[[str], Deployment]
) -> None:
    theirs = work_off(deployments.request(portal, both, FOR_SPEECH).id)
    other = work_off(deployments.request(portal, both, SMALL).id)
    why = "its kernel did not answer"
    deployments.act_in_group(portal, lead, "speech", theirs.id, "restart", why)
    work_off(theirs.id)
    restarted = work_off(theirs.id)
    assert (restarted.state, restarted.stop_reason) == (State.RUNNING, StopReason.LEAD)
    past = deployments.events_in_group(portal, lead, "speech", theirs.id)
    assert any(event.details.get("reason") == why for event in past)
    for group, deployment in (("speech", other), ("vision", theirs)):
        with pytest.raises((NotFound, Forbidden)):
            deployments.act_in_group(portal, lead, group, deployment.id, "remove", why)
        with pytest.raises((NotFound, Forbidden)):
            deployments.events_in_group(portal, lead, group, deployment.id)


def test_who_leaves_a_group_goes_on_until_the_next_start_but_waits_for_its_vms_no_more(
    portal: Portal, both: User, work_off: Callable[[str], Deployment]
) -> None:
    runs = work_off(deployments.request(portal, both, FOR_SPEECH).id)
    users.leave(portal, TEST, "speech", both.subject)
    assert deployments.get(portal, both, runs.id).group == "speech"
    deployments.act(portal, both, runs.id, "stop")
    work_off(runs.id)
    again = users.user_of(portal, JANE)
    assert deployments.act(portal, again, runs.id, "start").group == "vision"


def test_a_groups_vms_are_for_what_counts_for_it(portal: Portal, both: User) -> None:
    vms.add(portal, TEST, "vm-speech", "ssh://portal@vm-s", "10.0.0.9")
    vms.assign(portal, TEST, "vm-speech", pool="speech")
    vms.activate(portal, TEST, "vm-speech")
    with portal.database.transaction() as tx:
        vm = next(each for each in db.vms.all_vms(tx) if each.name == "vm-speech")
        db.vms.update(tx, vm.id, reachable=True, cpus=8, memory_gb=32)
        db.vms.update(tx, 1, memory_gb=1)
    large = Order("ml-cpu", "large", memory_gb=8, group="speech")
    ahead = deployments.preview(portal, both, large)
    assert ahead.vm is not None and ahead.vm.name == "vm-speech"
    assert {each.name for each in vms.eligible(portal, both)} == {"vm-01", "vm-speech"}
    with pytest.raises(NoCapacity):
        deployments.preview(portal, both, Order("ml-cpu", "large", memory_gb=8))


def test_nobody_but_an_administrator_changes_who_is_in_a_group(
    portal: Portal, both: User, lead: User
) -> None:
    for who in (lead, both):
        with pytest.raises(Forbidden):
            users.join(portal, who, "speech", both.subject, leads=True)
        with pytest.raises(Forbidden):
            users.leave(portal, who, "speech", both.subject)
    with pytest.raises(NotFound):
        users.leave(portal, TEST, "speech", "edipi:0000000000")
    with pytest.raises(Invalid):
        users.join(portal, TEST, "a/b", both.subject)
