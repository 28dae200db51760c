from __future__ import annotations

import re
from collections.abc import Callable

from portal import db, deployments, vms
from portal.context import Portal
from portal.core.engine import GpuReport, SeenGpu, VmReport
from portal.core.error_codes import CODES
from portal.core.models import Deployment, Order
from portal.core.people import User
from portal.jobs.reconciler import Reconciler
from portal.monitoring import metrics
from prometheus_client import REGISTRY, CollectorRegistry, generate_latest
from support.fakes import FakeClock, FakeEngine
from support.paths import ROOT
from support.samples import TEST

WorkOff = Callable[..., Deployment]
FAILED = "portal_deployment_failures_total"
MONITORING = ROOT / "deployment" / "monitoring"


def test_prometheus_reads_gpus_by_state_waiting_and_utilisation(
    portal: Portal, jane: User, john: User
) -> None:
    with portal.database.reading() as tx:
        vm = db.vms.all_vms(tx)[0]
    gpus = tuple(
        SeenGpu(f"GPU-{n}", n, "A100", None, 40, 1, 37, 50, "gpu_error" if n == 2 else None)
        for n in range(3)
    )
    vms.record_gpus(portal, vm, GpuReport(gpus, "535.1", "12.2", "nvidia"))
    made = deployments.request(portal, jane, Order("ml-cpu", "mine", 2))
    deployments.request(portal, john, Order("ml-cpu", "later", 1))
    registry = CollectorRegistry()
    registry.register(metrics.Records(portal))

    def value(name: str, **labels: str) -> float | None:
        return registry.get_sample_value(name, labels)

    assert value("portal_gpus", vm="vm-01", state="leased") == 2
    assert value("portal_gpus", vm="vm-01", state="out_of_order") == 1
    assert value("portal_deployments", state="waiting") == 1
    assert value("portal_deployments", state="pending") == 1
    assert (
        value("portal_gpu_utilisation_ratio", vm="vm-01", gpu="GPU-0", deployment=made.id) == 0.37
    )
    assert value("portal_vms", reachable="true") == 1


def test_how_long_somebody_waited_is_measured_when_they_start(
    portal: Portal, jane: User, john: User, clock: FakeClock, engine: FakeEngine, work_off: WorkOff
) -> None:
    with portal.database.transaction() as tx:
        db.vms.update(tx, 1, memory_gb=4)
    first = deployments.request(portal, jane, Order("ml-cpu", "first", memory_gb=4))
    deployments.request(portal, john, Order("ml-cpu", "second", memory_gb=4))
    clock.forward(300)
    deployments.act(portal, jane, first.id, "remove")
    work_off(first.id)
    before = REGISTRY.get_sample_value("portal_wait_seconds_sum") or 0.0
    for job in Reconciler(
        portal, lambda vm: engine, lambda vm, port: True, lambda release: None
    ).dispatch():
        job.result(timeout=10)
    assert (REGISTRY.get_sample_value("portal_wait_seconds_sum") or 0.0) - before == 300


def test_who_waits_for_a_vm_that_is_removed_is_counted_among_the_failures(
    portal: Portal, jane: User, engine: FakeEngine, work_off: WorkOff
) -> None:
    with portal.database.transaction() as tx:
        db.vms.update(tx, 1, memory_gb=4)
    first = deployments.request(portal, jane, Order("ml-cpu", "first", memory_gb=4))
    deployments.request(portal, jane, Order("ml-cpu", "second", memory_gb=4))
    deployments.act(portal, jane, first.id, "remove")
    work_off(first.id)
    vms.remove(portal, TEST, "vm-01")
    before = REGISTRY.get_sample_value(FAILED, {"code": "no_vm"}) or 0.0
    for job in Reconciler(
        portal, lambda vm: engine, lambda vm, port: True, lambda release: None
    ).dispatch():
        job.result(timeout=10)
    assert (REGISTRY.get_sample_value(FAILED, {"code": "no_vm"}) or 0.0) - before == 1


def test_alerts_and_dashboard_ask_only_for_what_is_told(
    portal: Portal, jane: User, engine: FakeEngine
) -> None:
    with portal.database.transaction() as tx:
        db.audit.append(tx, portal.now(), "test", "database.backed_up", "database")
        vm = db.vms.all_vms(tx)[0]
    vms.record_health(portal, vm, VmReport("ok", 500, 1000, 0.1))
    registry = CollectorRegistry()
    registry.register(metrics.Records(portal, lambda: {"ID CA-1": portal.now()}))
    families = [*registry.collect(), *REGISTRY.collect()]
    exported = {family.name for family in families} | {
        sample.name for family in families for sample in family.samples
    }
    exported |= {"portal_deployment_failures_total"}  # has no sample before the first failure
    exported |= {f"{name}_bucket" for name in exported}
    for name in ("alerts.yml", "dashboard.json"):
        text = (MONITORING / name).read_text(encoding="utf-8")
        assert set(re.findall(r"\bportal_[a-z_]+", text)) <= exported, name


def test_every_alert_leads_to_a_section_of_the_guide() -> None:
    guide = (MONITORING.parents[1] / "docs" / "TROUBLESHOOTING.md").read_text(encoding="utf-8")
    named = re.findall(
        r"section: ([\w-]+)", (MONITORING / "alerts.yml").read_text(encoding="utf-8")
    )
    assert named
    assert [section for section in named if f'<a id="{section}">' not in guide] == []


def test_every_failure_is_counted_from_zero_so_that_the_first_one_alerts() -> None:
    shown = generate_latest(REGISTRY).decode()
    for code in CODES:
        assert f'portal_deployment_failures_total{{code="{code}"}}' in shown
