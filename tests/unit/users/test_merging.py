"""Two accounts of one person become one, and come apart again where they were not."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest
from portal import deployments, users, vms
from portal.context import Portal
from portal.core.errors import Conflict, Forbidden, Invalid, NotFound
from portal.core.models import Deployment, Order
from portal.core.people import Role, User
from portal.core.resources import Quota
from portal.deployments import gateway
from portal.scheduling import quotas
from portal.users import usage
from support.fakes import FakeClock
from support.samples import JANE, JOHN, ONE, OTHER, SSH_KEY, TEST, actions, identity

SMALL = Order("ml-cpu", "notebook", memory_gb=0.5, cpus=0.1)
REASON = "left the organisation"
OTHER_KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIGA9zWbPDLUZmxnp/WWqFGPtqE3LUGIMzwSyhyDNFqQm"
NEW = replace(identity(), edipi=None, subject="upn:jane.smith@example.org", fingerprint="9" * 64)


def test_a_new_upn_of_the_same_person_gets_all_that_was_hers(
    portal: Portal, jane: User, work_off: Callable[[str], Deployment]
) -> None:
    made = work_off(deployments.request(portal, jane, SMALL).id)
    stranger = users.user_of(portal, NEW)
    assert stranger.id != jane.id
    users.merge(portal, TEST, jane.subject, NEW.subject)
    again = users.user_of(portal, NEW)
    assert (again.id, again.subject, again.range_index) == (jane.id, jane.subject, 0)
    assert [each.id for each in deployments.mine(portal, again)] == [made.id]
    assert gateway.route(portal, NEW, gateway.Door(10000)).deployment_id == made.id
    assert users.user_of(portal, JANE).id == jane.id
    assert actions(portal, jane.subject)[-1] == "user.merged"
    assert [user.subject for user, _ in quotas.everybody(portal, TEST)] == [jane.subject]
    with pytest.raises(Conflict):
        users.merge(portal, TEST, jane.subject, NEW.subject)
    other = users.user_of(portal, JOHN)
    with pytest.raises(Conflict, match="another name"):
        users.merge(portal, TEST, other.subject, NEW.subject)


def test_accounts_are_merged_before_the_new_name_was_ever_seen(portal: Portal, jane: User) -> None:
    users.merge(portal, TEST, jane.subject, NEW.subject)
    assert users.user_of(portal, NEW).id == jane.id


def test_a_merge_takes_no_containers_and_no_role_along(
    portal: Portal, jane: User, john: User, work_off: Callable[[str], Deployment]
) -> None:
    users.set_role(portal, TEST, john.subject, Role.CURATOR)
    with pytest.raises(Conflict, match="curator"):
        users.merge(portal, TEST, jane.subject, john.subject)
    users.set_role(portal, TEST, john.subject, Role.USER)
    made = work_off(deployments.request(portal, john, SMALL).id)
    with pytest.raises(Conflict, match="containers"):
        users.merge(portal, TEST, jane.subject, john.subject)
    deployments.act(portal, john, made.id, "remove")
    work_off(made.id)
    vms.add(portal, TEST, "vm-john", "ssh://portal@vm-john", "10.0.0.9", owner=john.subject)
    users.merge(portal, TEST, jane.subject, john.subject)
    assert users.user_of(portal, JOHN).id == jane.id
    owners = {use.vm.name: use.vm.owner_id for use in vms.fleet(portal, TEST)}
    assert owners["vm-john"] == jane.id  # a VM of her own comes along


def test_accounts_of_two_authorities_are_merged_each_by_its_own(portal: Portal) -> None:
    here = replace(identity(), roots=frozenset({ONE}))
    there = replace(NEW, roots=frozenset({OTHER}))
    jane = users.user_of(portal, here)
    users.user_of(portal, there)
    users.merge(portal, TEST, jane.subject, NEW.subject)
    assert users.user_of(portal, there).id == users.user_of(portal, here).id == jane.id
    for card, root in ((here, OTHER), (there, ONE)):
        with pytest.raises(Forbidden, match="another authority"):
            users.user_of(portal, replace(card, roots=frozenset({root}), fingerprint="3" * 64))


def test_a_name_never_seen_belongs_to_the_authority_that_uses_it_first(
    portal: Portal, work_off: Callable[[str], Deployment]
) -> None:
    jane = users.user_of(portal, replace(identity(), roots=frozenset({ONE})))
    work_off(deployments.request(portal, jane, SMALL).id)
    users.merge(portal, TEST, jane.subject, NEW.subject)
    there = replace(NEW, roots=frozenset({OTHER}))
    assert users.user_of(portal, there).id == jane.id
    assert gateway.route(portal, there, gateway.Door(10000))
    with pytest.raises(Forbidden, match="another authority"):
        gateway.route(portal, replace(NEW, roots=frozenset({ONE})), gateway.Door(10000))


@pytest.mark.parametrize(
    "other",
    [
        "",
        "jane",
        "edipi:123",
        "edipi:0000000000",
        "upn:jane",
        "mail:a",
        "merged:2:edipi:1",
        "edipi:",
    ],
)
def test_what_nobody_can_be_called_is_merged_with_nobody(
    portal: Portal, jane: User, other: str
) -> None:
    with pytest.raises(Invalid):
        users.merge(portal, TEST, jane.subject, other)


def test_whichever_name_is_given_the_person_is_meant(portal: Portal, jane: User) -> None:
    users.merge(portal, TEST, jane.subject, NEW.subject)
    quotas.set_quota(portal, TEST, quotas.USER, NEW.subject, Quota(gpus=7))
    users.set_group(portal, TEST, NEW.subject, "vision")
    users.set_role(portal, TEST, NEW.subject, Role.CURATOR)
    again = users.user_of(portal, JANE)
    assert (again.group, again.role) == ("vision", Role.CURATOR)
    assert quotas.allowances(portal, again)[0].limits.gpus == 7
    assert actions(portal, jane.subject)[-2:] == ["user.group", "user.role"]


def test_a_merge_undoes_no_retirement(portal: Portal, jane: User, john: User) -> None:
    deployments.retire(portal, TEST, john.subject, REASON)
    for old, new in ((jane, john), (john, jane)):
        with pytest.raises(Conflict, match="retired"):
            users.merge(portal, TEST, old.subject, new.subject)


def test_a_merge_that_was_wrong_is_undone(portal: Portal, clock: FakeClock, jane: User) -> None:
    new = replace(NEW, ssh_key=SSH_KEY)
    stranger = users.user_of(portal, new)
    key = users.add_key(portal, stranger, "laptop", OTHER_KEY).ssh_keys[0]
    users.merge(portal, TEST, jane.subject, NEW.subject)
    merged = users.user_of(portal, new)
    assert [each.ssh_key for each in users.cards(portal, merged)] == [SSH_KEY]
    assert merged.ssh_keys == (key,)
    assert users.other_names(portal, TEST, merged) == [NEW.subject]
    assert users.unmerge(portal, TEST, NEW.subject).id == jane.id
    again, hers = users.user_of(portal, new), users.user_of(portal, JANE)
    assert (again.id, again.ssh_keys, hers.id, hers.ssh_keys) == (stranger.id, (key,), jane.id, ())
    assert [each.ssh_key for each in users.cards(portal, again)] == [SSH_KEY]
    assert users.cards(portal, hers) == []
    clock.forward(1)
    users.add_key(portal, hers, "laptop", OTHER_KEY)  # both have it: it is a key of both
    users.merge(portal, TEST, jane.subject, NEW.subject)
    users.unmerge(portal, TEST, "UPN:Jane.Smith@example.org")
    assert [len(users.user_of(portal, who).ssh_keys) for who in (new, JANE)] == [1, 1]
    for nobody in (NEW.subject, jane.subject, "edipi:9999999999"):
        with pytest.raises(NotFound):
            users.unmerge(portal, TEST, nobody)
    users.merge(portal, TEST, jane.subject, "edipi:5550000001")
    users.user_of(portal, identity("5550000001"))
    users.unmerge(portal, TEST, "edipi:5550000001")
    assert users.user_of(portal, identity("5550000001")).id not in {jane.id, stranger.id}


def test_usage_goes_along_with_the_account(
    portal: Portal, clock: FakeClock, jane: User, work_off: Callable[[str], Deployment]
) -> None:
    stranger = users.user_of(portal, NEW)
    made = work_off(deployments.request(portal, stranger, SMALL).id)
    clock.forward(3600)
    deployments.act(portal, stranger, made.id, "remove")
    work_off(made.id)
    before = usage.report(portal, stranger, ["image"])
    assert before[0].cpu_hours > 0
    users.merge(portal, TEST, jane.subject, NEW.subject)
    assert usage.report(portal, jane, ["image"]) == before
    admin = replace(jane, role=Role.ADMIN)
    [only] = usage.report(portal, admin, ["user"], everybody=True)
    assert jane.subject in only.key[0]
    users.unmerge(portal, TEST, NEW.subject)
    assert usage.report(portal, jane, ["image"]) == []
