from __future__ import annotations

from collections.abc import Callable

from fakes import FakeClock, FakeEngine
from portal import deployments, inventory, metrics, store
from portal.context import Portal
from portal.engine import GpuReport, SeenGpu
from portal.models import Deployment, Order, User
from portal.reconciler import Reconciler
from prometheus_client import REGISTRY, CollectorRegistry

WorkOff = Callable[..., Deployment]


def test_prometheus_reads_gpus_by_state_waiting_and_utilisation(portal: Portal, jane: User, john: User) -> None:
    with portal.store.reading() as tx:
        vm = store.all_vms(tx)[0]
    gpus = tuple(SeenGpu(f"GPU-{n}", n, "A100", None, 40, 1, 37, 50, "gpu_error" if n == 2 else None) for n in range(3))
    inventory.saw_gpus(portal, vm, GpuReport(gpus, "535.1", "12.2", "nvidia"))
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
    assert value("portal_gpu_utilisation_ratio", vm="vm-01", gpu="GPU-0", deployment=made.id) == 0.37
    assert value("portal_vms", reachable="true") == 1


def test_how_long_somebody_waited_is_measured_when_they_start(
    portal: Portal, jane: User, john: User, clock: FakeClock, engine: FakeEngine, work_off: WorkOff
) -> None:
    with portal.store.transaction() as tx:
        store.update_vm(tx, 1, memory_gb=4)
    first = deployments.request(portal, jane, Order("ml-cpu", "first", memory_gb=4))
    deployments.request(portal, john, Order("ml-cpu", "second", memory_gb=4))
    clock.forward(300)
    deployments.act(portal, jane, first.id, "remove")
    work_off(first.id)
    before = REGISTRY.get_sample_value("portal_wait_seconds_sum") or 0.0
    for job in Reconciler(portal, lambda vm: engine, lambda vm, port: True, lambda release: None).dispatch():
        job.result(timeout=10)
    assert (REGISTRY.get_sample_value("portal_wait_seconds_sum") or 0.0) - before == 300
