"""What Prometheus reads: gauges from the records at each scrape, and how long people waited.

Names follow https://prometheus.io/docs/practices/naming/.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from datetime import datetime

from prometheus_client import Counter as Counted
from prometheus_client import Histogram
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector

from portal import db
from portal.context import Portal
from portal.core.error_codes import CODES
from portal.core.models import Gpu, GpuState, Release, State, Vm
from portal.core.resources import GIB
from portal.deployments import intervention
from portal.images import launch_gate
from portal.vms import health as vm_health

Counts = Mapping[tuple[str, ...], float]
WAIT = Histogram(
    "portal_wait_seconds",
    "From joining the queue to a place on a VM.",
    buckets=(1, 10, 60, 600, 3600, 6 * 3600, 24 * 3600, 7 * 24 * 3600),
)


START = Histogram(
    "portal_start_seconds",
    "From a request to a notebook that answers, downloads included.",
    buckets=(1, 2, 3, 5, 10, 30, 60, 300, 1800),
)
FAILURES = Counted(
    "portal_deployment_failures",
    "Containers that did not start, by the code of the reason.",
    ["code"],
)
for failure_code in CODES:
    # Zero from the start: the first failure after a restart is an increase that alerts see.
    FAILURES.labels(failure_code)


class Records(Collector):
    """The fleet, as the records say it is at this moment."""

    def __init__(
        self, portal: Portal, revocation_ends: Callable[[], Mapping[str, datetime]] = dict
    ) -> None:
        """`revocation_ends`: the end of each authority's revocation list, asked at every scrape."""
        self._portal, self._revocation_ends = portal, revocation_ends

    def collect(self) -> Iterator[GaugeMetricFamily]:
        """Every gauge."""
        with self._portal.database.reading() as tx:
            vms = {vm.id: vm for vm in db.vms.all_vms(tx)}
            gpus = [gpu for gpu in db.gpus.all_gpus(tx) if gpu.vm_id in vms]
            leased = db.leases.gpus(tx)
            live, waiting = db.deployments.live(tx), db.deployments.waiting(tx)
            releases = db.releases.all_releases(tx)
            backed_up = db.audit.last(tx, "database.backed_up", self._portal.now())
            troubled = intervention.troubled(tx)
        alive = {deployment.id for deployment in live}
        names = {vm_id: vm.name for vm_id, vm in vms.items()}
        yield _gauge(
            "portal_vms",
            "VMs by whether they can be reached.",
            ["reachable"],
            Counter((str(vm.reachable).lower(),) for vm in vms.values()),
        )
        yield _gauge(
            "portal_gpus",
            "GPUs and MIG instances by VM and state.",
            ["vm", "state"],
            Counter((names[gpu.vm_id], _state(vms[gpu.vm_id], gpu, leased, alive)) for gpu in gpus),
        )
        states: Counter[tuple[str, ...]] = Counter((deployment.state.value,) for deployment in live)
        states[State.WAITING.value,] = len(waiting)
        yield _gauge(
            "portal_deployments", "Live and waiting deployments by state.", ["state"], states
        )
        yield _gauge(
            "portal_stuck_deployments",
            "Deployments whose start, stop or removal does not succeed, or that are paused.",
            ["state", "code"],
            Counter((each.state.value, each.trouble.code) for each in troubled if each.trouble),
        )
        yield _busy(gpus, names, leased)
        yield from _health(vms.values(), self._portal.now())
        ends: Counts = {(who,): until.timestamp() for who, until in self._revocation_ends().items()}
        yield _gauge(
            "portal_revocation_list_ends_timestamp_seconds",
            "Until when a revocation list counts.",
            ["authority"],
            ends,
        )
        if backed_up is not None:
            age = GaugeMetricFamily(
                "portal_last_backup_age_seconds", "Since the last backup that was verified."
            )
            age.add_metric([], (self._portal.now() - backed_up).total_seconds())
            yield age
        yield _scans(releases, self._portal.now())


def _busy(
    gpus: Iterable[Gpu], names: Mapping[int, str], leased: Mapping[str, str]
) -> GaugeMetricFamily:
    busy = GaugeMetricFamily(
        "portal_gpu_utilisation_ratio",
        "Utilisation of leased GPUs, 0 to 1.",
        labels=["vm", "gpu", "deployment"],
    )
    for gpu in gpus:
        if gpu.uuid in leased and gpu.utilisation is not None:
            busy.add_metric([names[gpu.vm_id], gpu.uuid, leased[gpu.uuid]], gpu.utilisation / 100)
    return busy


def _scans(releases: Iterable[Release], now: datetime) -> GaugeMetricFamily:
    age = GaugeMetricFamily(
        "portal_release_scan_age_days",
        "Since the last scan of releases that may run.",
        labels=["image", "version"],
    )
    for release in releases:
        if release.state in launch_gate.RUNS and release.scanned_at is not None:
            days = (now - release.scanned_at).total_seconds() / 86_400
            age.add_metric([release.image, release.version], days)
    return age


def _health(vms: Collection[Vm], now: datetime) -> Iterator[GaugeMetricFamily]:
    """What VMs last reported of themselves. A firewall without a report counts as bad."""
    firewalls: Counts = {
        (vm.name,): not any(problem.kind == "firewall" for problem in vm_health.of_vm(vm, now))
        for vm in vms
        if vm.checked_at is not None
    }
    disks: Counts = {(vm.name,): vm.disk_free_gb * GIB for vm in vms if vm.disk_free_gb is not None}
    clocks: Counts = {(vm.name,): vm.clock_skew_s for vm in vms if vm.clock_skew_s is not None}
    yield _gauge(
        "portal_vm_firewall_ok",
        "1 where the firewall is as it should be, else 0.",
        ["vm"],
        firewalls,
    )
    breaches: Counts = {(vm.name,): not vm.breaches for vm in vms}
    yield _gauge(
        "portal_vm_isolation_ok",
        "0 where a container reached what it must not, as last measured.",
        ["vm"],
        breaches,
    )
    yield _gauge("portal_vm_disk_free_bytes", "Free below /var/lib/docker.", ["vm"], disks)
    yield _gauge(
        "portal_vm_clock_skew_seconds",
        "How far the VM's clock is ahead of the portal's.",
        ["vm"],
        clocks,
    )


def _state(vm: Vm, gpu: Gpu, leased: Mapping[str, str], alive: Collection[str]) -> str:
    """held_by_ended: by a container that ended, or was given up, and is not gone."""
    if gpu.state is not GpuState.OK or not vm.reachable:
        return "out_of_order"
    if gpu.uuid in leased:
        return "leased" if leased[gpu.uuid] in alive else "held_by_ended"
    return "out_of_order" if vm.gpu_problem else "free"


def _gauge(name: str, help_text: str, labels: list[str], counts: Counts) -> GaugeMetricFamily:
    family = GaugeMetricFamily(name, help_text, labels=labels)
    for values, count in sorted(counts.items()):
        family.add_metric(list(values), count)
    return family
