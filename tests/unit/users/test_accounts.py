"""Port ranges come and go; people retire, are corrected, and turn out to be one person."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from portal import deployments, users, vms
from portal.context import Portal
from portal.core.errors import Conflict, Forbidden, Invalid, NoCapacity, NotFound
from portal.core.models import Deployment, Order, State
from portal.core.people import Role, User
from portal.core.resources import Quota
from portal.deployments import gateway
from portal.monitoring import health
from portal.scheduling import quotas
from portal.users import ranges
from support.fakes import FakeClock
from support.samples import JANE, JOHN, ONE, OTHER, TEST, actions, identity

SMALL = Order("ml-cpu", "notebook", memory_gb=0.5, cpus=0.1)
REASON = "left the organisation"


def serving(portal: Portal, ports: str) -> Portal:
    return replace(portal, settings=portal.settings.model_copy(update={"user_ports": ports}))


def test_ports_are_given_with_the_first_container_and_kept(
    portal: Portal, jane: User, john: User, work_off: Callable[[str], Deployment]
) -> None:
    assert (jane.range_index, john.range_index) == (None, None)
    deployments.preview(portal, john, SMALL)  # gives nothing
    made = deployments.request(portal, john, SMALL)
    assert made.owner.own_range == 0
    deployments.act(portal, john, made.id, "remove")
    work_off(made.id)
    assert deployments.request(portal, jane, SMALL).owner.own_range == 1
    assert users.user_of(portal, JOHN).range_index == 0
    assert actions(portal, john.subject) == [
        "user.created",
        "user.card_added",
        "user.ports_given",
    ]


def test_those_who_only_look_take_no_ports_from_those_who_work(portal: Portal, jane: User) -> None:
    narrow = serving(portal, "10000-10099")
    for number in range(5):
        users.user_of(narrow, identity(f"555000000{number}"))
    assert deployments.request(narrow, jane, SMALL).owner.own_range == 0


def test_whoever_comes_after_the_last_range_reads_what_can_be_done(
    portal: Portal, jane: User, john: User
) -> None:
    narrow = serving(portal, "10000-10099")
    deployments.request(narrow, jane, SMALL)
    for ask in (deployments.preview, deployments.request):
        with pytest.raises(NoCapacity, match="port ranges") as full:
            ask(narrow, john, SMALL)
        assert full.value.code == "no_range"
    [few] = [
        each
        for each in health.of_records(narrow)
        if (each.check, each.state) == ("ranges", "warning")
    ]
    assert "1 of 1" in few.message


def test_who_retires_is_out_and_their_containers_and_ports_go(
    portal: Portal,
    jane: User,
    john: User,
    work_off: Callable[[str], Deployment],
    clock: FakeClock,
) -> None:
    narrow = serving(portal, "10000-10099")
    made = work_off(deployments.request(narrow, jane, SMALL).id)
    assert gateway.route(narrow, JANE, gateway.Door(10000))
    [ended] = deployments.retire(narrow, TEST, jane.subject, REASON)
    assert ended.id == made.id
    with pytest.raises(Forbidden, match="retired"):
        gateway.route(narrow, JANE, gateway.Door(10000))
    with pytest.raises(Forbidden, match="retired"):
        users.user_of(narrow, JANE)
    with pytest.raises(NoCapacity):  # her container still holds its ports
        deployments.request(narrow, john, SMALL)
    assert [
        each.check
        for each in health.of_records(narrow)
        if (each.check, each.state) == ("ranges", "warning")
    ]
    assert work_off(made.id).state is State.REMOVED
    clock.forward(ranges.KEPT_FOR.total_seconds() - 60)
    with pytest.raises(NoCapacity):  # her bookmarks still lead to nobody else
        deployments.request(narrow, john, SMALL)
    clock.forward(60)
    assert not [
        each
        for each in health.of_records(narrow)
        if (each.check, each.state) == ("ranges", "warning")
    ]
    assert deployments.request(narrow, john, SMALL).owner.own_range == 0
    users.restore(narrow, TEST, jane.subject)
    assert users.user_of(narrow, JANE).range_index is None
    assert actions(portal, jane.subject)[-3:] == [
        "user.retired",
        "user.ports_freed",
        "user.restored",
    ]


def test_an_administrator_does_not_lock_themselves_out(portal: Portal, jane: User) -> None:
    users.set_role(portal, TEST, jane.subject, Role.ADMIN)
    ray = users.user_of(portal, JANE)
    for change in (
        lambda: deployments.retire(portal, ray, ray.subject, REASON),
        lambda: users.set_role(portal, ray, ray.subject, Role.USER),
    ):
        with pytest.raises(Forbidden) as refused:
            change()
        assert refused.value.code == "own_account"
    assert users.set_role(portal, TEST, ray.subject, Role.USER) is Role.USER


def test_what_retiring_cannot_mean_is_refused(portal: Portal, jane: User, john: User) -> None:
    with pytest.raises(Forbidden):
        deployments.retire(portal, john, jane.subject, REASON)
    with pytest.raises(NotFound):
        deployments.retire(portal, TEST, "edipi:0", REASON)
    with pytest.raises(Invalid):
        deployments.retire(portal, TEST, jane.subject, "")
    with pytest.raises(Conflict):
        users.restore(portal, TEST, jane.subject)
    deployments.retire(portal, TEST, jane.subject, REASON)
    with pytest.raises(Conflict):
        deployments.retire(portal, TEST, jane.subject, REASON)


def test_a_range_is_freed_when_nothing_holds_it(
    portal: Portal, jane: User, work_off: Callable[[str], Deployment]
) -> None:
    with pytest.raises(Conflict, match="no ports"):
        ranges.free(portal, TEST, jane.subject)
    made = work_off(deployments.request(portal, jane, SMALL).id)
    with pytest.raises(Conflict, match="still use these ports"):
        ranges.free(portal, TEST, jane.subject)
    deployments.act(portal, jane, made.id, "remove")
    work_off(made.id)
    ranges.free(portal, TEST, jane.subject)
    assert users.user_of(portal, JANE).range_index is None


def test_a_corrected_name_stays_until_the_card_says_another(portal: Portal, jane: User) -> None:
    users.rename(portal, TEST, jane.subject, "  Jane   Doe-Smith ")
    assert users.user_of(portal, JANE).display_name == "Jane Doe-Smith"
    assert users.user_of(portal, identity(name="Jane Smith")).display_name == "Jane Smith"
    for bad in ("", " ", "x" * 65, "Jane\x00"):
        with pytest.raises(Invalid):
            users.rename(portal, TEST, jane.subject, bad)


def test_a_renamed_group_keeps_people_quota_and_pool(portal: Portal, jane: User) -> None:
    users.set_group(portal, TEST, jane.subject, "vision")
    quotas.set_quota(portal, TEST, quotas.GROUP, "vision", Quota(gpus=3))
    vms.add(portal, TEST, "vm-v", "ssh://portal@vm-v", "10.0.0.9", pool="vision")
    users.rename_group(portal, TEST, "vision", "perception")
    assert users.user_of(portal, JANE).group == "perception"
    assert (quotas.GROUP, "perception") in quotas.all_quotas(portal, TEST)
    assert [use.vm.pool for use in vms.fleet(portal, TEST) if use.vm.name == "vm-v"] == [
        "perception"
    ]
    with pytest.raises(NotFound):
        users.rename_group(portal, TEST, "vision", "other")
    users.set_group(portal, TEST, jane.subject, "third")
    with pytest.raises(Conflict):
        users.rename_group(portal, TEST, "third", "perception")
    with pytest.raises(Invalid):
        users.rename_group(portal, TEST, "shared", "all")


@pytest.mark.parametrize(("realms", "let_in"), [("", False), ("One Root CA, Other Root CA", True)])
def test_equal_numbers_of_two_authorities_are_one_person_only_in_one_realm(
    portal: Portal, work_off: Callable[[str], Deployment], realms: str, let_in: bool
) -> None:
    here = replace(portal, settings=portal.settings.model_copy(update={"realms": realms}))
    first = replace(identity(), roots=frozenset({ONE}))
    second = replace(identity(), roots=frozenset({OTHER}), fingerprint="2" * 64)
    jane = users.user_of(here, first)
    work_off(deployments.request(here, jane, SMALL).id)
    assert gateway.route(here, first, gateway.Door(10000))
    if let_in:
        assert users.user_of(here, second).id == jane.id
        assert gateway.route(here, second, gateway.Door(10000))
        return
    for ask in (users.user_of, lambda at, who: gateway.route(at, who, gateway.Door(10000))):
        with pytest.raises(Forbidden, match="another authority"):
            ask(here, second)


@pytest.mark.parametrize("realms", ["One Root CA;Other Root CA", "Third Root CA, One Root CA"])
def test_equal_numbers_of_two_realms_are_two_people(
    portal: Portal, work_off: Callable[[str], Deployment], realms: str
) -> None:
    settings = {"realms": realms, "admins": "1234567890 of Other Root CA"}
    here = replace(portal, settings=portal.settings.model_copy(update=settings))
    first = replace(identity(), roots=frozenset({ONE}))
    second = replace(identity(), roots=frozenset({OTHER}), fingerprint="2" * 64)
    jane = users.user_of(here, first)
    work_off(deployments.request(here, jane, SMALL).id)
    with pytest.raises(Forbidden, match="belongs to somebody else"):
        gateway.route(here, second, gateway.Door(10000))
    other = users.user_of(here, second)
    assert (other.subject, other.role) == ("edipi:1234567890 of other root ca", Role.ADMIN)
    assert (jane.subject, jane.role) == ("edipi:1234567890", Role.USER)
    work_off(deployments.request(here, other, SMALL).id)
    assert gateway.route(here, second, gateway.Door(10100))
    for identity_, port in ((first, 10100), (second, 10000)):
        with pytest.raises(Forbidden, match="belongs to somebody else"):
            gateway.route(here, identity_, gateway.Door(port))
    assert (users.user_of(here, first).id, users.user_of(here, second).id) == (jane.id, other.id)


def test_a_card_that_both_authorities_vouch_for_is_let_in(portal: Portal) -> None:
    jane = users.user_of(portal, replace(identity(), roots=frozenset({ONE})))
    crossed = replace(identity(), roots=frozenset({ONE, OTHER}), fingerprint="2" * 64)
    assert users.user_of(portal, crossed).id == jane.id


def test_an_older_card_than_the_newest_seen_renames_nobody(portal: Portal) -> None:
    cards = ((2020, "Jane Doe"), (2024, "Jane Doe"), (2022, "Jane Smith"))
    for year, name in cards:
        issued = datetime(year, 1, 1, tzinfo=UTC)
        shows = replace(
            identity(name=name), not_before=issued, fingerprint=str(year).rjust(64, "0")
        )
        jane = users.user_of(portal, shows)
    assert jane.display_name == "Jane Doe"


def test_two_cards_that_count_at_once_do_not_quarrel_about_the_name(portal: Portal) -> None:
    early, late = (datetime(year, 1, 1, tzinfo=UTC) for year in (2025, 2026))
    old = replace(identity(), not_before=early)
    new = replace(identity(name="Jane Smith"), not_before=late, fingerprint="2" * 64)
    for card in (old, new, old, new, old):
        jane = users.user_of(portal, card)
    assert jane.display_name == "Jane Smith"
    assert actions(portal, jane.subject).count("user.renamed") == 1
    users.rename(portal, TEST, jane.subject, "Jane Doe-Smith")
    for card in (old, new):
        assert users.user_of(portal, card).display_name == "Jane Doe-Smith"
    newest = replace(identity(name="Jane Roe"), not_before=late + timedelta(days=1))
    assert users.user_of(portal, newest).display_name == "Jane Roe"
