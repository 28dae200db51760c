"""What the records tell health-check.sh: each problem by name, with command and section."""

from __future__ import annotations

import re
import shlex
from dataclasses import replace
from datetime import timedelta

import pytest
from portal import db, deployments, users, vms
from portal.context import Portal
from portal.core.engine import EngineInfo, VmReport
from portal.core.health import Status
from portal.core.models import VmState
from portal.core.people import Role
from portal.monitoring import health
from support.fakes import FakeClock
from support.paths import ROOT
from support.samples import TEST, identity

GUIDE = ROOT / "docs" / "TROUBLESHOOTING.md"
SECTIONS = set(re.findall(r'<a id="([^"]+)"></a>', GUIDE.read_text(encoding="utf-8")))


def troubles(portal: Portal) -> dict[tuple[str, str], Status]:
    findings = {
        (finding.check, finding.subject): finding
        for finding in health.of_records(portal)
        if finding.state != "ok"
    }
    assert all(
        finding.next_step and finding.section in SECTIONS for finding in findings.values()
    ), findings
    return findings


def test_a_vm_that_nobody_looked_at_yet_is_not_called_healthy(portal: Portal) -> None:
    said = {each.subject: each for each in health.of_records(portal) if each.check == "vm"}
    assert "has not been seen yet" in said["vm-01"].message
    vms.remove_lost(portal, TEST, "vm-01", "never came", lambda _tx, _vm: None)


@pytest.fixture
def well(portal: Portal, clock: FakeClock) -> Portal:
    """One VM, prepared, seen and checked a moment ago; a backup of today."""
    vms.remove(portal, TEST, "vm-01")
    vms.add(portal, TEST, "vm-07", "ssh://portal@10.0.0.7", "10.0.0.7")
    with portal.database.transaction() as tx:
        db.audit.append(tx, clock(), "test", "database.backed_up", "database")
    seen(portal)
    return portal


def seen(portal: Portal, **report: object) -> None:
    with portal.database.reading() as tx:
        vm = db.vms.by_name(tx, "vm-07")
    assert vm
    vms.record_probe(portal, vm, EngineInfo("28.0.0", 8, 32.0))
    vms.record_health(portal, vm, VmReport(**{"firewall": "ok", "disk_free_gb": 500.0, **report}))  # type: ignore[arg-type]


def test_a_portal_that_is_well_has_no_troubles(well: Portal) -> None:
    assert troubles(well) == {}


def test_a_vm_of_somebody_who_has_left_is_told(well: Portal) -> None:
    left = users.user_of(well, identity("3456789012", "Mei T Lin"))
    vms.assign(well, TEST, "vm-07", owner=left.subject)
    assert troubles(well) == {}
    deployments.retire(well, TEST, left.subject, "moved to another place")
    told = troubles(well)["vm", "vm-07"]
    assert told.message == "vm-07 is dedicated to Mei T Lin, who was retired: nobody can use it."
    vms.assign(well, TEST, "vm-07")
    assert troubles(well) == {}


def test_a_backup_of_a_time_to_come_is_no_backup_of_today(well: Portal, clock: FakeClock) -> None:
    with well.database.transaction() as tx:
        later = clock() + timedelta(days=9999)
        db.audit.append(tx, later, "test", "database.backed_up", "database")
    assert troubles(well) == {}
    clock.forward(timedelta(days=30).total_seconds())
    assert "30 days old" in troubles(well)["backup", "backup"].message


@pytest.mark.parametrize("upn", ["o'brien@corp.example", "jane;reboot@corp.example"])
def test_a_name_in_a_command_is_one_word_to_a_shell(portal: Portal, upn: str) -> None:
    user = users.user_of(portal, replace(identity(), subject=f"upn:{upn}", edipi=None))
    with portal.database.transaction() as tx:
        db.users.update(tx, user.id, role=Role.ADMIN)
    command = troubles(portal)["role", user.subject].next_step
    assert shlex.split(command)[-2:] == [user.subject, "user"]


@pytest.mark.parametrize(
    ("report", "check"),
    [
        ({"firewall": "missing"}, "firewall"),
        ({"disk_free_gb": 0.5}, "disk"),
        ({"clock_skew_s": 90.0}, "clock"),
    ],
)
def test_a_vm_that_says_it_is_unwell(well: Portal, report: dict[str, object], check: str) -> None:
    seen(well, **report)
    assert set(troubles(well)) == {(check, "vm-07")}


def test_a_vm_that_was_lost_is_named_with_the_way_to_it(well: Portal) -> None:
    with well.database.reading() as tx:
        vm = db.vms.by_name(tx, "vm-07")
    assert vm
    vms.record_unreachable(well, vm, "no route")
    finding = troubles(well)["vm", "vm-07"]
    assert (finding.state, finding.next_step.startswith("ssh 10.0.0.7 ")) == ("critical", True)


def test_a_vm_that_is_new_or_was_never_prepared(well: Portal) -> None:
    vms.add(well, TEST, "vm-08", "ssh://portal@10.0.0.8", "10.0.0.8", state=VmState.NEW)
    with well.database.reading() as tx:
        new = db.vms.by_name(tx, "vm-08")
    assert new
    assert set(troubles(well)) == {("vm", "vm-08")}
    vms.record_health(well, new, VmReport("none"))
    assert set(troubles(well)) == {("vm", "vm-08"), ("firewall", "vm-08")}


def test_time_passes_and_nobody_looks(well: Portal, clock: FakeClock) -> None:
    clock.forward(timedelta(days=3).total_seconds())
    assert {("worker", "worker"), ("backup", "backup")} <= set(troubles(well))


def test_a_scan_that_is_too_old(well: Portal, clock: FakeClock) -> None:
    clock.forward(timedelta(days=40).total_seconds())
    assert "image" in {check for check, _ in troubles(well)}


def test_a_portal_without_anything(portal: Portal) -> None:
    vms.remove(portal, TEST, "vm-01")
    assert set(troubles(portal)) == {("vm", "fleet"), ("backup", "backup")}
