"""Quotas of users and groups, in the transaction that reserves."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from portal import db, deployments, users, vms
from portal.context import Portal
from portal.core.errors import Conflict, Forbidden, Invalid
from portal.core.models import Deployment, Order, State, Vm
from portal.core.people import User
from portal.core.resources import AMOUNTS, Quota
from portal.scheduling import quotas
from support.gpu_world import ask, serve
from support.samples import JANE, TEST

WorkOff = Callable[..., Deployment]


def test_a_users_own_quota_beats_the_default_which_beats_the_settings(
    portal: Portal, jane: User
) -> None:
    def limit() -> int:
        with portal.database.reading() as tx:
            return int(quotas.allowance(portal, tx, jane).limits.gpus)

    assert limit() == portal.settings.max_gpus
    quotas.set_quota(portal, TEST, "default", "", Quota(gpus=3))
    assert limit() == 3
    quotas.set_quota(portal, TEST, "user", jane.subject, Quota(gpus=5))
    assert limit() == 5
    quotas.set_quota(portal, TEST, "user", jane.subject, None)
    assert limit() == 3


def test_every_amount_has_a_default(portal: Portal) -> None:
    limits = quotas.limits_of(portal.settings, None, None)
    assert all(amount.of(limits) > 0 for amount in AMOUNTS)


def test_waiting_counts_against_the_quota_too(
    portal: Portal, jane: User, john: User, gpu_vm: Vm
) -> None:
    ask(portal, john, "all", 2)
    ask(portal, jane, "one", 2)
    with pytest.raises(Forbidden, match="more than the 0 left"):
        ask(portal, jane, "two", 1)


def test_a_groups_quota_is_shared_by_its_members_and_no_others(
    portal: Portal, jane: User, john: User, gpu_vm: Vm
) -> None:
    for who in (jane, john):
        users.set_group(portal, TEST, who.subject, "vision")
    quotas.set_quota(portal, TEST, "group", "vision", Quota(gpus=1))
    quotas.set_quota(portal, TEST, "group", "language", Quota(gpus=0))
    members = [users.user_of(portal, JANE)]
    assert ask(portal, members[0], "mine").state is State.PENDING
    with portal.database.reading() as tx:
        john = db.users.by_subject(tx, john.subject) or john
    with pytest.raises(Forbidden, match="group vision may use"):
        ask(portal, john, "his")


def test_lowering_a_quota_below_use_ends_nothing_and_blocks_the_next(
    portal: Portal, jane: User, gpu_vm: Vm, work_off: WorkOff
) -> None:
    made = ask(portal, jane, "mine", 2)
    work_off(made.id)
    quotas.set_quota(portal, TEST, "user", jane.subject, Quota(gpus=1))
    assert deployments.get(portal, jane, made.id).state is State.RUNNING
    with pytest.raises(Forbidden, match="more than the 0 left of the 1 you may use"):
        ask(portal, jane, "next")


def test_a_quota_lowered_while_somebody_waits_keeps_them_waiting(
    portal: Portal, jane: User, john: User, gpu_vm: Vm, work_off: WorkOff
) -> None:
    mine = ask(portal, jane, "mine", 2)
    work_off(mine.id)
    his = ask(portal, john, "his", 2)
    quotas.set_quota(portal, TEST, "user", john.subject, Quota(gpus=1))
    deployments.act(portal, jane, mine.id, "remove")
    work_off(mine.id)
    assert serve(portal) == []
    waiting = deployments.get(portal, john, his.id)
    assert (waiting.state, waiting.waits_for) == (
        State.WAITING,
        "your quota is 1 GPUs, with 0 in use and 2 asked for",
    )
    quotas.set_quota(portal, TEST, "user", john.subject, None)
    assert serve(portal) == [his.id]


def test_what_is_being_removed_is_held_until_it_is_gone(
    portal: Portal, jane: User, gpu_vm: Vm, work_off: WorkOff
) -> None:
    quotas.set_quota(portal, TEST, "user", jane.subject, Quota(gpus=1))
    mine = ask(portal, jane, "mine")
    work_off(mine.id)
    deployments.act(portal, jane, mine.id, "remove")
    with pytest.raises(Forbidden, match="0 left of the 1"):
        ask(portal, jane, "next")
    with pytest.raises(Conflict, match="mine"):
        vms.remove(portal, TEST, "vm-01")
    work_off(mine.id)
    assert ask(portal, jane, "next").state is State.PENDING


@pytest.mark.parametrize("amount", [-1, float("nan"), float("inf"), 1e21])
def test_a_quota_that_is_no_amount_is_refused(portal: Portal, amount: float) -> None:
    with pytest.raises(Invalid, match="from 0 to"):
        quotas.set_quota(portal, TEST, "default", "", Quota(memory_gb=amount))


@pytest.mark.parametrize("name", ["a,b", "=cmd", "x" * 61, "ä", "a\n"])
def test_a_group_has_a_plain_name(portal: Portal, jane: User, name: str) -> None:
    with pytest.raises(Invalid, match="is not a group name"):
        users.set_group(portal, TEST, jane.subject, name)


@pytest.mark.parametrize(("scope", "key"), [("default", "x"), ("user", ""), ("planet", "x")])
def test_a_quota_is_for_something_that_is(portal: Portal, scope: str, key: str) -> None:
    with pytest.raises(Invalid):
        quotas.set_quota(portal, TEST, scope, key, Quota(gpus=1))


@pytest.mark.parametrize(("cpus", "quota"), [(0.1, 0.3), (0.2, 0.6), (1.1, 3.3)])
def test_a_quota_takes_as_many_fractions_as_it_holds(
    portal: Portal, jane: User, cpus: float, quota: float
) -> None:
    quotas.set_quota(portal, TEST, "user", jane.subject, Quota(cpus=quota))
    for number in range(3):
        order = Order("ml-cpu", f"n-{number}", memory_gb=0.5, cpus=cpus)
        deployments.request(portal, jane, order)
    with pytest.raises(Forbidden, match="more than the 0 left"):
        deployments.request(portal, jane, Order("ml-cpu", "n-4", memory_gb=0.5, cpus=0.1))
