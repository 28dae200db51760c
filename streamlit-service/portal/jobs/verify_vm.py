"""Verify that a VM works: probe it, and run a container on it just as a user's would run."""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, replace

from portal import db, vms
from portal.context import Portal
from portal.core.engine import LABEL_PORTAL, ContainerSpec, Engine
from portal.core.errors import EngineError, PortalError
from portal.core.models import Gpu, GpuState, Release, Vm, VmState
from portal.core.resources import GIB
from portal.deployments.container_spec import HOME, TMP, TMPFS, environment, network
from portal.images import launch_gate
from portal.jobs.start_stop import IsReady, Verify
from portal.vms import health as vm_health

NAME = "portal-verify"
PORT = 9999
"""On the VM; outside every user's range, so that it disturbs nobody."""
JUPYTER = 8888
MEMORY_BYTES = GIB
POLL_S = 0.1


@dataclass(frozen=True)
class Check:
    """One thing that was checked. `state`: "ok", "warning" (works, but) or "failed"."""

    name: str
    state: str
    message: str
    hint: str = ""


def verify_vm(
    portal: Portal, vm: Vm, engine: Engine, is_ready: IsReady, verify: Verify
) -> Iterator[Check]:
    """Each check as it is done; never raises.

    The container is made only where all before it went well.
    """
    good = True
    for check in _probe(portal, engine, vm):
        good &= check.state != "failed"
        yield check
    if good:
        yield from _run(portal, vm, engine, is_ready, verify)


def _probe(portal: Portal, engine: Engine, vm: Vm) -> Iterator[Check]:
    try:
        info = engine.info()
        yield Check(
            "engine", "ok", f"Docker Engine {info.version}, {info.cpus} CPUs, {info.memory_gb:g} GB"
        )
        report = vm_health.report_of(vm, engine)
        if report is None:
            yield Check(
                "firewall",
                "warning",
                "This is the portal's own machine, whose firewall cannot be checked: fine for a"
                " trial. For real work, prepare a VM.",
                "scripts/setup-vm.sh VM",
            )
        else:
            for problem in vm_health.problems(vm.name, report):
                yield Check(
                    problem.kind,
                    "failed" if problem.grave else "warning",
                    problem.message,
                    problem.hint,
                )
            if report.firewall == "ok":
                yield Check("firewall", "ok", "The firewall's rules are loaded.")
        gpus = engine.gpus()
        # Not left to the worker's loop: the container below asks the records.
        vms.record_gpus(portal, vm, gpus)
        if unusable := vm_health.gpu_problem(replace(vm, gpu_problem=gpus.problem)):
            yield Check("gpus", "failed", unusable.message, unusable.hint)
        elif gpus.gpus:
            models = ", ".join(sorted({gpu.model for gpu in gpus.gpus}))
            yield Check("gpus", "ok", f"{len(gpus.gpus)} × {models}, driver {gpus.driver}")
    except EngineError as error:
        yield Check("engine", "failed", error.message, error.cause or error.hint)


def _run(
    portal: Portal, vm: Vm, engine: Engine, is_ready: IsReady, verify: Verify
) -> Iterator[Check]:
    with portal.database.reading() as tx:
        vm = db.vms.by_name(tx, vm.name) or vm  # with what _probe has recorded
        approved = sorted(db.releases.approved(tx).values(), key=lambda release: release.size_bytes)
        leased = db.leases.gpus(tx)
        gpus = db.gpus.of_vm(tx, vm.id)
        free = [gpu for gpu in gpus.values() if gpu.state is GpuState.OK and gpu.uuid not in leased]
    if vm.state is VmState.NEW and gpus and not free:
        yield Check(
            "gpus",
            "failed",
            "None of its GPUs can be tested: they are out of order.",
            "nvidia-smi; the GPUs page says what is wrong with each.",
        )
        return
    if not approved:
        yield Check(
            "container",
            "warning",
            "No image is approved yet, so no container could be tested.",
            "Approve one on the Images page, then verify the VM again: admin.py vm verify NAME",
        )
        return
    # A VM that takes deployments may give the GPU away at any moment: only a new or drained one is
    # tried with it.
    gpu = free[0] if free and vm.state is not VmState.ACTIVE else None
    spec = _spec(portal, vm, approved[0], gpu)
    with_gpu = f" with {gpu.model}" if gpu else ""
    began = time.monotonic()
    try:
        _start(portal, engine, approved[0], spec, verify)
        yield Check("image", "ok", f"{approved[0].image} {approved[0].version} is on the VM")
        _wait(portal, engine, lambda: is_ready(vm, PORT))
        took = time.monotonic() - began
        yield Check(
            "container", "ok", f"A container{with_gpu} answered on {vm.address} after {took:.0f} s."
        )
    except PortalError as error:
        yield Check("container", "failed", error.message, error.cause or error.hint)
    finally:
        with suppress(EngineError):
            engine.remove(NAME)


def _start(
    portal: Portal, engine: Engine, release: Release, spec: ContainerSpec, verify: Verify
) -> None:
    launch_gate.check(portal.settings, release, portal.now())
    verify(release)
    engine.remove(NAME)  # of a verification that was broken off
    if not engine.has_image(release.reference):
        engine.pull(release.reference, lambda _layers: None)
    engine.start(engine.create(spec))


def _wait(portal: Portal, engine: Engine, answers: Callable[[], bool]) -> None:
    deadline = time.monotonic() + portal.settings.ready_timeout_s
    while not answers():
        if time.monotonic() > deadline:
            status = engine.inspect(NAME)
            runs = (
                "It is running, so something blocks the portal's machine from "
                "reaching its port: is PORTAL_GATEWAYS right?"
            )
            raise EngineError(
                "notebook_silent",
                "The container did not answer the portal.",
                runs if status and status.running else "It ended; its image may be broken.",
            )
        time.sleep(POLL_S)


def _spec(portal: Portal, vm: Vm, release: Release, gpu: Gpu | None) -> ContainerSpec:
    name, bridge = network(portal.settings, "verify")
    return ContainerSpec(
        name=NAME,
        image=release.reference,
        labels={
            f"{LABEL_PORTAL}.verify": portal.settings.public_origin
        },  # not a user's: observation leaves it alone
        environment=environment(secrets.token_urlsafe(24), gpus=gpu is not None),
        publish={JUPYTER: (vm.address, PORT)},
        volumes={},
        tmpfs={TMP: TMPFS, HOME: f"{TMPFS},uid=1000"},
        memory_bytes=MEMORY_BYTES,
        shm_bytes=64 * 2**20,
        cpus=1,
        pids=portal.settings.container_pids,
        hostname="verify",
        gpus=(gpu.uuid,) if gpu else (),
        gpu_access=(vm.gpu_access or "") if gpu else "",
        network=name,
        bridge=bridge,
    )
