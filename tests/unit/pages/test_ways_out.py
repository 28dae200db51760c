"""What pages say when something does not succeed, and the ways out that they offer."""

from __future__ import annotations

from collections.abc import Callable

from board import board
from portal import db, deployments, vms
from portal.context import Portal
from portal.core.errors import EngineError
from portal.core.models import Deployment, State, StopReason
from portal.core.people import User
from streamlit.testing.v1 import AppTest
from support.apptest import texts
from support.fakes import FakeClock, FakeEngine

WorkOff = Callable[..., Deployment]
PageOf = Callable[[User, str], AppTest]
REASON = "The machine burnt down."


def told(portal: Portal, user: User) -> str:
    """What a person's page of containers says beside them."""
    return "\n".join(note.text for card in board(portal, user).cards for note in card.notes)


def test_a_vm_is_given_up_with_a_reason_that_the_owner_reads(
    portal: Portal, jane: User, ray: User, running: Deployment, page_of: PageOf
) -> None:
    with portal.database.reading() as tx:
        [vm] = db.vms.all_vms(tx)
    page = page_of(ray, "vms")
    page.selectbox(key="vm").select("vm-01").run()
    assert "lost" not in {button.key for button in page.button}  # it answers
    vms.record_unreachable(portal, vm, "SSH refused.")
    page = page_of(ray, "vms")
    page.selectbox(key="vm").select("vm-01").run()
    page.button(key="lost").click().run()
    assert not page.exception
    assert "Its containers are recorded as stopped" in texts(page)
    deployments.remove_lost_vm(portal, ray, "vm-01", REASON)  # as its button does
    seen = deployments.get(portal, jane, running.id)
    assert (seen.state, seen.stop_reason) == (State.STOPPED, StopReason.VM_LOST)
    shown = told(portal, jane)
    assert REASON in shown and "The home folder is kept" not in shown


def test_a_stop_that_does_not_succeed_is_shown_to_both_and_given_up(
    portal: Portal,
    jane: User,
    ray: User,
    engine: FakeEngine,
    clock: FakeClock,
    running: Deployment,
    work_off: WorkOff,
    page_of: PageOf,
) -> None:
    engine.failing["stop"] = EngineError("engine_refused", "The engine cannot kill it.", "Ask.")
    deployments.act(portal, jane, running.id, "stop")
    work_off(running.id)
    clock.forward(300)
    said = "The engine cannot kill it.** First seen 5 min ago; the portal keeps trying."
    assert said in told(portal, jane)
    page = page_of(ray, "vms")
    assert said in texts(page)
    page.button(key=f"give-up-{running.id}").click().run()
    assert not page.exception
    assert "is recorded as ended" in texts(page)
    deployments.give_up(portal, ray, running.id, REASON)  # as its button does
    assert REASON in told(portal, jane)


def test_an_administrator_stops_somebodys_container_with_a_reason_that_they_read(
    portal: Portal, jane: User, ray: User, running: Deployment, page_of: PageOf
) -> None:
    page = page_of(ray, "all_containers")
    assert not page.exception
    assert list(page.dataframe[0].value["Container"]) == ["first"]
    assert page.button(key="stop").disabled  # nothing is chosen
    deployments.stop(portal, ray, running.id, REASON)  # as its dialog does
    assert page_of(ray, "all_containers").dataframe[0].value["State"][0] == "Stopping"


def test_an_administrator_of_an_empty_portal_sees_what_is_still_to_be_done(
    portal: Portal, ray: User, page_of: PageOf
) -> None:
    page = page_of(ray, "")
    assert not page.exception
    text = texts(page)
    assert "1. A VM** · done" in text
    assert "2. An image** · done" in text
    assert "3. A user**\n" in text + "\n"
    assert "they only need their card" in text


def test_once_people_have_come_home_is_the_work(
    portal: Portal, jane: User, ray: User, page_of: PageOf
) -> None:
    page = page_of(ray, "")
    assert "they only need their card" not in texts(page)
    assert [each.value for each in page.subheader] == ["Deploy"]
