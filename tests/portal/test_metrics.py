from __future__ import annotations

from portal import deployments, inventory, metrics, store
from portal.context import Portal
from portal.engine import GpuReport, SeenGpu
from portal.models import Order, User
from prometheus_client import CollectorRegistry


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
