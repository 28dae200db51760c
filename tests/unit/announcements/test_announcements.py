"""What administrators tell people: whom, from when until when."""

from __future__ import annotations

from datetime import timedelta

import pytest
from portal import announcements, audit, deployments, users, vms
from portal.announcements import Level
from portal.audit import Wanted
from portal.context import Portal
from portal.core.errors import Forbidden, Invalid, NotFound
from portal.core.models import Order
from portal.core.people import Role, User
from support.fakes import FakeClock
from support.samples import JANE, JOHN, TEST

HOUR = timedelta(hours=1)


def read_by(portal: Portal, user: User) -> list[str]:
    return [each.text for each in announcements.shown_to(portal, user)]


def test_everybody_reads_it_from_then_until_then(
    portal: Portal, jane: User, john: User, clock: FakeClock
) -> None:
    begins = clock() + HOUR
    announcements.add(portal, TEST, "Later.", begins_at=begins, ends_at=begins + HOUR)
    assert read_by(portal, jane) == []
    clock.forward(3600)
    assert read_by(portal, jane) == read_by(portal, john) == ["Later."]
    clock.forward(3600)
    assert read_by(portal, jane) == []


def test_some_are_for_a_group_a_role_or_who_has_containers_on_a_vm(
    portal: Portal, jane: User, john: User
) -> None:
    users.join(portal, TEST, "vision", jane.subject)
    users.set_role(portal, TEST, john.subject, Role.CURATOR)
    jane, john = users.user_of(portal, JANE), users.user_of(portal, JOHN)
    deployments.request(portal, jane, Order("ml-cpu", "hers"))
    vm = vms.fleet(portal, TEST)[0].vm.name
    for audience in ("group:vision", "role:curator", f"vm:{vm}", "role:admin"):
        announcements.add(portal, TEST, f"For {audience}.", audience=audience)
    assert set(read_by(portal, jane)) == {"For group:vision.", f"For vm:{vm}."}
    assert read_by(portal, john) == ["For role:curator."]


def test_the_most_urgent_comes_first(portal: Portal, jane: User) -> None:
    for level in (Level.INFO, Level.URGENT, Level.WARNING):
        announcements.add(portal, TEST, level, level)
    assert read_by(portal, jane) == ["urgent", "warning", "info"]


def test_it_can_be_ended_and_both_are_audited(portal: Portal, jane: User) -> None:
    told = announcements.add(portal, TEST, "Soon.")
    announcements.end(portal, TEST, told.id)
    assert read_by(portal, jane) == []
    assert announcements.planned(portal, TEST) == []
    events = audit.read(portal, TEST, Wanted(kind="announcement"))
    assert [event.action for event in events] == ["announcement.ended", "announcement.announced"]
    assert events[1].details["text"] == "Soon."
    with pytest.raises(NotFound):
        announcements.end(portal, TEST, told.id)


@pytest.mark.parametrize("text", ["", "  \n ", "x" * 501, "a\0b", "a\x1bb"])
def test_text_is_plain_and_short(portal: Portal, text: str) -> None:
    with pytest.raises(Invalid):
        announcements.add(portal, TEST, text)


@pytest.mark.parametrize(
    "audience", ["", "nobody", "group:", "group:none", "role:king", "vm:none", "vm:", "a" * 500]
)
def test_for_whom_there_is(portal: Portal, audience: str) -> None:
    with pytest.raises(Invalid):
        announcements.add(portal, TEST, "Hello.", audience=audience)


@pytest.mark.parametrize(("begins", "ends"), [(0, 0), (2, 1), (-5, -1), (0, 24 * 400)])
def test_a_period_ends_in_the_future_after_it_begins(
    portal: Portal, clock: FakeClock, begins: int, ends: int
) -> None:
    with pytest.raises(Invalid):
        announcements.add(
            portal,
            TEST,
            "Hello.",
            begins_at=clock() + begins * HOUR,
            ends_at=clock() + ends * HOUR,
        )


def test_only_administrators_announce(portal: Portal, jane: User) -> None:
    with pytest.raises(Forbidden):
        announcements.add(portal, jane, "Hello.")
    with pytest.raises(Forbidden):
        announcements.planned(portal, jane)
