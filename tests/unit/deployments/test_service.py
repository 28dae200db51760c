from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from portal import db, deployments, users, vms
from portal.context import Portal
from portal.core.engine import LABEL_DEPLOYMENT
from portal.core.errors import Conflict, Forbidden, Invalid, NoCapacity, NotFound, PortalError
from portal.core.models import Deployment, Order, State, VmState
from portal.core.people import User
from portal.core.resources import Resources
from portal.deployments.order import NAME, check_order
from portal.scheduling import quotas
from support.fakes import FakeEngine
from support.samples import JANE, REFERENCE, TEST, identity

WorkOff = Callable[..., Deployment]


def test_somebody_who_was_retired_a_moment_ago_gets_nothing(portal: Portal, jane: User) -> None:
    deployments.retire(portal, TEST, jane.subject, "left the company")
    with pytest.raises(Forbidden, match="retired"):
        deployments.request(portal, jane, Order("ml-cpu", "late"))


def test_a_deployment_runs_by_digest_on_its_users_ports(
    portal: Portal, jane: User, engine: FakeEngine, work_off: WorkOff
) -> None:
    made = deployments.request(portal, jane, Order("ml-cpu", "first", memory_gb=2, cpus=1))
    assert made.state is State.PENDING
    assert work_off(made.id).state is State.RUNNING
    box = engine.boxes[f"portal-{made.id}"]
    assert engine.pulled == [REFERENCE]
    assert box.spec.image == REFERENCE
    assert box.spec.publish == {8888: ("10.0.0.1", 10000), 6006: ("10.0.0.1", 10001)}
    assert box.spec.memory_bytes == 2 * 2**30
    assert box.spec.labels[LABEL_DEPLOYMENT] == made.id


def test_the_home_volume_survives_removal_and_is_found_again(
    portal: Portal, jane: User, engine: FakeEngine, work_off: WorkOff
) -> None:
    first = deployments.request(portal, jane, Order("ml-cpu", "one"))
    work_off(first.id)
    home = set(engine.boxes[f"portal-{first.id}"].spec.volumes)
    deployments.act(portal, jane, first.id, "remove")
    assert work_off(first.id).state is State.REMOVED
    assert not engine.boxes
    assert home <= engine.volumes
    second = deployments.request(portal, jane, Order("ml-cpu", "one"))
    work_off(second.id)
    assert set(engine.boxes[f"portal-{second.id}"].spec.volumes) == home


def test_ten_side_by_side_and_the_eleventh_is_refused(portal: Portal, jane: User) -> None:
    slots = [
        deployments.request(portal, jane, Order("ml-cpu", f"n{i}", memory_gb=0.5)).slot
        for i in range(10)
    ]
    assert slots == list(range(10))
    with pytest.raises(Forbidden, match="You have 10 containers"):
        deployments.request(portal, jane, Order("ml-cpu", "n10", memory_gb=0.5))


def test_concurrent_requests_never_share_a_port(portal: Portal) -> None:
    people = [users.user_of(portal, identity(f"{9_000_000_000 + i}")) for i in range(3)]

    def ask(number: int) -> None:
        with suppress(PortalError):  # more than ten each: some must be refused
            deployments.request(
                portal, people[number % 3], Order("ml-cpu", f"c{number}", memory_gb=0.5, cpus=0.1)
            )

    with ThreadPoolExecutor(32) as pool:
        list(pool.map(ask, range(60)))
    with portal.database.reading() as tx:
        resources = [row["resource"] for row in db.leases.live(tx)]
    assert len(resources) == len(set(resources)) == 3 * 10 * 3  # two ports and its compute each


@hypothesis_settings(max_examples=60, deadline=None)
@given(
    st.builds(
        Order,
        image=st.just("ml-cpu"),
        name=st.text(max_size=60),
        gpus=st.integers(-3, 0),
        memory_gb=st.floats(allow_nan=True),
        cpus=st.floats(allow_nan=True),
    )
)
def test_an_order_within_the_limits_or_a_clear_refusal(order: Order) -> None:
    try:
        check_order(order)
        quotas.check_allowance(
            order, quotas.Allowance("you", Resources(memory_gb=16, cpus=8, deployments=10))
        )
    except (Invalid, Forbidden) as refusal:
        words = refusal.message, refusal.hint, refusal.code
        assert all(words)
    else:
        assert NAME.fullmatch(order.name)
        assert 0 < order.memory_gb <= 16 and 0 < order.cpus <= 8 and order.gpus == 0


@pytest.mark.parametrize(
    ("order", "code"),
    [
        (Order("no-such", "a"), "unknown_image"),
        (Order("ml-cpu", "../etc"), "bad_name"),
        (Order("ml-cpu", "x" * 10_000), "bad_name"),
        (Order("ml-cpu", ""), "bad_name"),
        (Order("ml-cpu", "Ä"), "bad_name"),
        (Order("ml-cpu", "a\n"), "bad_name"),
        (Order("ml-cpu", "a", memory_gb=-1), "bad_memory_gb"),
        (Order("ml-cpu", "a", memory_gb=float("nan")), "bad_memory_gb"),
        (Order("ml-cpu", "a", memory_gb=1e9), "over_memory_gb"),
        (Order("ml-cpu", "a", cpus=0), "bad_cpus"),
        (Order("ml-cpu", "a", cpus=1e9), "over_cpus"),
        (Order("ml-cpu", "a", gpus=-1), "bad_gpus"),
        (Order("ml-cpu", "a", gpus=1), "no_gpu"),
    ],
)
def test_bad_orders_are_refused_and_leave_nothing(
    portal: Portal, jane: User, order: Order, code: str
) -> None:
    with pytest.raises(PortalError) as refused:
        deployments.request(portal, jane, order)
    assert refused.value.code == code
    with portal.database.reading() as tx:
        assert db.leases.live(tx) == []
        assert db.deployments.of_user(tx, jane.id) == []


def test_a_name_is_taken_only_by_its_owner(portal: Portal, jane: User, john: User) -> None:
    deployments.request(portal, jane, Order("ml-cpu", "same"))
    deployments.request(portal, john, Order("ml-cpu", "same"))
    with pytest.raises(Conflict, match="already have a container named same"):
        deployments.request(portal, jane, Order("ml-cpu", "same"))


def test_somebody_elses_deployment_does_not_exist(portal: Portal, jane: User, john: User) -> None:
    made = deployments.request(portal, jane, Order("ml-cpu", "secret"))
    with pytest.raises(NotFound, match=r"There is no such container\."):
        deployments.get(portal, john, made.id)
    with pytest.raises(NotFound, match=r"There is no such container\."):
        deployments.act(portal, john, made.id, "remove")
    with pytest.raises(NotFound, match=r"There is no such container\."):
        deployments.get(portal, john, "000000000000")


def test_a_dedicated_vm_is_used_and_a_pool_only_without_one(
    portal: Portal, jane: User, john: User
) -> None:
    vms.add(portal, TEST, "vm-jane", "ssh://portal@vm-jane", "10.0.0.2", JANE.subject)
    made = [deployments.request(portal, who, Order("ml-cpu", "mine")).vm for who in (jane, john)]
    assert [vm.name for vm in made if vm] == ["vm-jane", "vm-01"]


def test_without_any_room_the_refusal_says_why(portal: Portal, jane: User) -> None:
    with portal.database.transaction() as tx:
        db.vms.update(tx, 1, state=VmState.DRAINING)
    with pytest.raises(NoCapacity, match=r"vm-01: takes no new containers"):
        deployments.request(portal, jane, Order("ml-cpu", "a"))


def test_two_first_sights_at_once_make_one_user(portal: Portal) -> None:
    with ThreadPoolExecutor(8) as pool:
        seen = {user.id for user in pool.map(lambda _: users.user_of(portal, JANE), range(16))}
    assert len(seen) == 1
