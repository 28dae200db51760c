"""Pages for administrators, and what others see instead."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
import streamlit as st
from app_pages.parts import tables
from portal import db, deployments, users, vms
from portal.context import Portal
from portal.core.engine import EngineInfo, GpuReport, VmReport
from portal.core.models import Deployment, Order, State, Vm, VmState
from portal.core.people import User
from portal.core.resources import Quota
from portal.scheduling import quotas
from streamlit.testing.v1 import AppTest
from support.apptest import texts, with_size
from support.fakes import FakeClock
from support.gpu_world import report, see
from support.samples import TEST

WorkOff = Callable[..., Deployment]


def test_somebody_without_the_role_is_offered_no_administration(
    portal: Portal, jane: User, page_of: Callable[[User, str], AppTest]
) -> None:
    page = page_of(jane, "")
    assert not page.exception
    assert "VMs" not in texts(page)


def test_the_board_counts_and_names(
    portal: Portal, jane: User, ray: User, gpu_vm: Vm, page_of: Callable[[User, str], AppTest]
) -> None:
    deployments.request(portal, jane, Order("ml-cpu", "mine", 1))
    page = page_of(ray, "gpus")
    assert not page.exception
    assert "1 of 2 GPUs free · 1 taken" in texts(page)


def test_an_unhealthy_vm_is_on_top_with_the_command(
    portal: Portal, ray: User, gpu_vm: Vm, page_of: Callable[[User, str], AppTest]
) -> None:
    vms.record_gpus(portal, gpu_vm, GpuReport(driver="535.1", problem="no_toolkit"))
    vms.record_unreachable(portal, gpu_vm, "SSH refused.")
    page = page_of(ray, "vms")
    assert not page.exception
    assert "vm-01 cannot be reached" in texts(page)
    assert "lacks the NVIDIA Container Toolkit" in texts(page)
    assert "sudo scripts/setup-vm.sh --local" in texts(page)


def test_the_same_trouble_of_many_vms_is_told_once(
    portal: Portal, ray: User, page_of: Callable[[User, str], AppTest]
) -> None:
    for number in range(2, 22):
        vm = vms.add(
            portal, TEST, f"vm-{number:02}", f"ssh://portal@vm-{number:02}", f"10.0.0.{number}"
        )
        vms.record_probe(portal, vm, EngineInfo("28.0.0", 8, 32.0))
        vms.record_health(
            portal, vm, VmReport("ok" if number > 3 else "missing", 500, 1000, 0.0, False)
        )
    page = page_of(ray, "vms")
    assert not page.exception
    assert len(page.error) == 2  # the firewalls, one by one
    [clock] = page.warning
    assert (
        "vm-02's clock is not synchronised" in clock.value
        and "**19 more VMs**: vm-03," in clock.value
    )


def test_a_vm_is_drained_and_activated(
    portal: Portal, ray: User, page_of: Callable[[User, str], AppTest]
) -> None:
    by = portal.now() + timedelta(days=1)
    vms.drain(portal, ray, "vm-01", by, "its GPUs are exchanged")
    page = page_of(ray, "vms")
    assert page.dataframe[0].value["State"][0].startswith("◐ empty by ")
    page.selectbox(key="vm").set_value("vm-01").run()
    assert page.button(key="drain").label == "Change the time …"
    page.button(key="drain").click().run()
    assert not page.exception
    page.button(key="activate").click().run()
    with portal.database.reading() as tx:
        assert db.vms.all_vms(tx)[0].state is VmState.ACTIVE


def test_a_gpu_that_was_taken_out_is_no_longer_shown_as_missing(
    portal: Portal, ray: User, gpu_vm: Vm, page_of: Callable[[User, str], AppTest]
) -> None:
    see(portal, report(1))
    assert "GPU 1 (A100, GPU-1) of vm-01 is missing" in texts(page_of(ray, "gpus"))
    page = page_of(ray, "vms")
    assert "GPU 1 (A100, GPU-1) of vm-01 is missing" in texts(page)
    page.selectbox(key="vm").set_value("vm-01").run()
    page.button(key="forget-GPU-1").click().run()
    assert not page.exception
    assert "missing" not in texts(page_of(ray, "vms"))


def gpus_field(page: AppTest) -> Any:
    """Of the quota that is chosen: its key has the quota, so that the field follows it."""
    [field] = [each for each in page.number_input if str(each.key).endswith("-gpus")]
    return field


def test_a_quota_is_set_and_cleared(
    portal: Portal, jane: User, ray: User, page_of: Callable[[User, str], AppTest]
) -> None:
    who = (quotas.USER, jane.subject)
    page = page_of(ray, "people")
    assert not page.exception
    page.selectbox(key="quota-for").set_value(who).run()
    gpus_field(page).set_value(7).run()
    page.button(key="quota-save").click().run()
    assert not page.exception
    with portal.database.reading() as tx:
        assert int(quotas.allowance(portal, tx, jane).limits.gpus) == 7
    page.button(key="quota-clear").click().run()
    with portal.database.reading() as tx:
        assert db.quotas.get(tx, *who) is None


def test_a_limit_that_is_not_touched_keeps_its_fraction(
    portal: Portal, jane: User, ray: User, page_of: Callable[[User, str], AppTest]
) -> None:
    who = (quotas.USER, jane.subject)
    quotas.set_quota(portal, ray, *who, Quota(memory_gb=1.5, cpus=0.5))
    page = page_of(ray, "people")
    page.selectbox(key="quota-for").set_value(who).run()
    gpus_field(page).set_value(7).run()
    page.button(key="quota-save").click().run()
    assert not page.exception
    with portal.database.reading() as tx:
        assert db.quotas.get(tx, *who) == Quota(gpus=7, memory_gb=1.5, cpus=0.5)


def test_a_limit_that_somebody_else_set_meanwhile_stays(
    portal: Portal, jane: User, ray: User, page_of: Callable[[User, str], AppTest]
) -> None:
    who = (quotas.USER, jane.subject)
    page = page_of(ray, "people")
    page.selectbox(key="quota-for").set_value(who).run()
    quotas.set_quota(portal, ray, *who, Quota(memory_gb=1.5))
    page.run()
    gpus_field(page).set_value(7).run()
    page.button(key="quota-save").click().run()
    page.button(key="quota-clear").click().run()
    assert gpus_field(page).value is None
    quotas.change_quota(portal, ray, *who, {"cpus": 2})
    with portal.database.reading() as tx:
        assert db.quotas.get(tx, *who) == Quota(cpus=2)


def test_usage_is_drawn_and_totalled(
    portal: Portal,
    jane: User,
    gpu_vm: Vm,
    clock: FakeClock,
    work_off: WorkOff,
    page_of: Callable[[User, str], AppTest],
) -> None:
    made = deployments.request(portal, jane, Order("ml-cpu", "mine", 2, cpus=4))
    work_off(made.id)
    clock.forward(timedelta(hours=3).total_seconds())
    deployments.act(portal, jane, made.id, "stop")
    assert work_off(made.id).state is State.STOPPED
    page = page_of(jane, "usage")
    assert not page.exception
    assert [(metric.label, metric.value) for metric in page.metric][:2] == [
        ("GPU-hours", "6.0"),
        ("CPU-hours", "12.0"),
    ]


def test_the_order_offers_no_more_than_quotas_and_vms_allow(
    portal: Portal, jane: User, page_of: Callable[[User, str], AppTest]
) -> None:
    with portal.database.transaction() as tx:
        db.vms.update(tx, 1, memory_gb=12, cpus=4)
    page = with_size(page_of(jane, "deploy"), "Custom")
    assert not page.exception
    assert page.select_slider(key="memory").options[-1] == "12"
    assert page.select_slider(key="cpus").options[-1] == "4"
    users.set_group(portal, TEST, jane.subject, "vision")
    quotas.set_quota(portal, TEST, "group", "vision", Quota(memory_gb=1))
    with portal.database.reading() as tx:
        jane = db.users.by_subject(tx, jane.subject) or jane
    page = page_of(jane, "deploy")
    assert "Free for you now: 1 GB, 4 CPUs." in texts(page)
    deployments.request(portal, jane, Order("ml-cpu", "all", memory_gb=1))
    page = page_of(jane, "deploy")
    assert "use all the memory in your quota" in texts(page)
    assert page.button(key="deploy").disabled


def test_the_queue_is_shown_where_there_are_no_gpus(
    portal: Portal, jane: User, ray: User, page_of: Callable[[User, str], AppTest]
) -> None:
    with portal.database.transaction() as tx:
        db.vms.update(tx, 1, memory_gb=4, cpus=4)
    for name in ("first", "second"):
        deployments.request(portal, jane, Order("ml-cpu", name, memory_gb=4))
    page = page_of(ray, "gpus")
    assert not page.exception
    assert "1 request in all" in texts(page)
    assert page.dataframe[0].value["Container"].tolist() == ["second"]


def test_somebody_without_any_vm_is_told_whom_to_ask(
    portal: Portal, jane: User, john: User, page_of: Callable[[User, str], AppTest]
) -> None:
    vms.assign(portal, TEST, "vm-01", owner=john.subject)
    page = page_of(jane, "deploy")
    assert not page.exception and not page.error
    assert "No VM is assigned to you" in texts(page)
    assert "Ask your administrator to assign you a VM." in texts(page)
    assert page.button(key="deploy").disabled


def test_several_vms_are_drained_at_once_and_several_users_get_a_group(
    portal: Portal,
    jane: User,
    john: User,
    ray: User,
    page_of: Callable[[User, str], AppTest],
) -> None:
    """Which rows are chosen is the browser's: the test says it in its place."""
    vms.add(portal, TEST, "vm-02", "ssh://portal@vm-02", "10.0.0.2")
    vms.add(portal, TEST, "vm-03", "ssh://portal@vm-03", "10.0.0.3")
    page = page_of(ray, "vms")
    page.session_state["vms-chosen"] = ["vm-01", "vm-02"]
    page.run()
    assert "vm-01, vm-02" in texts(page)
    page.button(key="drain-several").click().run()
    assert not page.exception
    with portal.database.reading() as tx:
        states = [vm.state for vm in db.vms.all_vms(tx)]
    assert states == [VmState.DRAINING, VmState.DRAINING, VmState.ACTIVE]
    page = page_of(ray, "people")
    page.multiselect(key="group-users").set_value([jane.subject, john.subject])
    page.text_input(key="group-name").set_value("vision")
    next(button for button in page.button if button.label == "Save").click().run()
    assert not page.exception
    with portal.database.reading() as tx:
        groups = [db.users.by_subject(tx, who.subject) for who in (jane, john)]
    assert [user.group for user in groups if user] == ["vision", "vision"]


def test_of_several_rows_lists_are_added_up_and_else_the_first_counts(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    state: dict[str, Any] = {"t": {"selection": {"rows": [2, 0, 9]}}}
    monkeypatch.setattr(st, "session_state", state)
    means = [{"users": [name], "account": name} for name in ("jane", "john", "mei")]
    tables._choose("t", means)
    assert (state["users"], state["account"]) == (["mei", "jane"], "mei")
    state["t"]["selection"]["rows"] = []
    tables._choose("t", means)
    assert (state["users"], state["account"]) == ([], "mei")


def test_groups_are_made_named_and_shared_out_on_their_page(
    portal: Portal, jane: User, john: User, ray: User, page_of: Callable[[User, str], AppTest]
) -> None:
    page = page_of(ray, "groups")
    assert "There are no groups yet" in texts(page)
    page.multiselect(key="join-users").set_value([jane.subject, john.subject])
    page.text_input(key="join-group").set_value("vision")
    page.button[0].click().run()
    assert not page.exception
    page = page_of(ray, "groups")
    page.number_input[0].set_value(3)
    page.button(key="group-quota-save").click().run()
    page.selectbox(key="member").select(jane.subject).run()
    page.button(key="lead").click().run()
    page = page_of(ray, "groups")
    people = page.dataframe[1].value
    assert people["Member"].tolist() == ["Jane Q Doe", "John A Roe"]
    assert people["Leads"].tolist() == ["yes", ""]
    assert people["GPUs"].tolist() == ["0 of 3", "0 of 3"]


def test_a_lead_has_the_page_of_their_groups_and_others_read_whom_it_is_for(
    portal: Portal, jane: User, john: User, page_of: Callable[[User, str], AppTest]
) -> None:
    users.join(portal, TEST, "vision", jane.subject, leads=True)
    users.join(portal, TEST, "vision", john.subject)
    users.join(portal, TEST, "speech", john.subject)
    with portal.database.reading() as tx:
        lead, member = users.known(tx, jane.subject), users.known(tx, john.subject)
    deployments.request(portal, member, Order("ml-cpu", "his"))
    page = page_of(lead, "groups")
    assert not page.exception
    assert page.dataframe[0].value["Group"].tolist() == ["vision"]
    assert page.dataframe[2].value["Container"].tolist() == ["his"]
    assert [each for each in page.button if each.key in ("join-users", "lead", "leave")] == []
    page.selectbox(key="member").select(john.subject).run()
    page.number_input[3].set_value(1)
    page.button(key="share-save").click().run()
    assert page.dataframe[1].value["Limits"].tolist() == ["The group's", "Own"]


def test_who_is_in_several_groups_chooses_for_which_a_container_counts(
    portal: Portal, jane: User, page_of: Callable[[User, str], AppTest]
) -> None:
    for group in ("vision", "speech"):
        users.join(portal, TEST, group, jane.subject)
    quotas.set_quota(portal, TEST, "group", "speech", Quota(memory_gb=1))
    with portal.database.reading() as tx:
        jane = users.known(tx, jane.subject)
    page = page_of(jane, "deploy")
    assert (page.selectbox(key="group").value, page.selectbox(key="group").options) == (
        "vision",
        ["speech", "vision"],
    )
    page.selectbox(key="group").select("speech").run()
    assert "Free for you now: 1 GB" in texts(page)
    page.button(key="deploy").click().run()
    assert [each.group for each in deployments.mine(portal, jane)] == ["speech"]
