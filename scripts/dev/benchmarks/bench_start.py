"""Bench of starts: until a notebook answers, the next in the queue, and the portal at rest."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace

import bench_operation
import docker
import httpx2
from docker.models.containers import Container
from engine.container import create_arguments, ensure_network
from ordering import answers, notebook, order, tidy, until, until_state
from portal.core.engine import ContainerSpec
from portal.deployments.container_spec import HOME, TMP, TMPFS
from portal.jobs.start_stop import STOP_GRACE_S
from rows import Row, Sizes, row
from stack import Stack

BASELINE_PORT = 10990
NETWORK = "portal-bench"


def deploy(stack: Stack, john: httpx2.Client, rounds: int) -> Row:
    """POST → Jupyter through the gateway, against the same container by `docker run`."""
    reference = _reference(stack, john)
    measured, plain = [], []
    with tidy(stack, john):
        _portal_run(john, "bench-warm")  # brings the image
        for number in range(rounds):
            plain.append(_plain_run(stack, reference))
            measured.append(_portal_run(john, f"bench-{number}"))
    return row(
        "POST to Jupyter answering / docker run to port answering", measured, plain, "<= 1.15"
    )


def _reference(stack: Stack, john: httpx2.Client) -> str:
    """The approved ml-cpu, as this engine names it."""
    images = john.get("/api/v1/images").raise_for_status().json()
    digest = next(image["digest"] for image in images if image["name"] == "ml-cpu")
    return f"127.0.0.1:{stack.registry_port}/ml-cpu@{digest}"


def _portal_run(john: httpx2.Client, name: str) -> float:
    started = time.perf_counter()
    wanted = {"image": "ml-cpu", "name": name, "memory_gb": 2, "cpus": 1}
    made = john.post("/api/v1/deployments", json=wanted).raise_for_status().json()
    until(lambda: john.get(f"{made['urls']['jupyter']}api").status_code == httpx2.codes.OK)
    took = time.perf_counter() - started
    path = f"/api/v1/deployments/{made['id']}"
    until_state(john, path, "running")
    john.delete(path).raise_for_status()
    until_state(john, path, "removed")
    return took


def stop(stack: Stack, john: httpx2.Client, rounds: int) -> Row:
    """POST stop → stopped, against `docker stop` of the same container; notebooks at rest."""
    measured, plain = [], []
    with tidy(stack, john):
        path, _ = notebook(john, "bench-stop")
        for _ in range(rounds):
            started = time.perf_counter()
            john.post(f"{path}/stop").raise_for_status()
            until_state(john, path, "stopped")
            measured.append(time.perf_counter() - started)
            with _plain(stack, _reference(stack, john), like_the_portals=True) as container:
                started = time.perf_counter()
                container.stop(timeout=STOP_GRACE_S)
                plain.append(time.perf_counter() - started)
            john.post(f"{path}/start").raise_for_status()
            until_state(john, path, "running")
    return row("POST stop to stopped / docker stop", measured, plain, "<= 1.20")


def _plain_run(stack: Stack, reference: str) -> float:
    started = time.perf_counter()
    with _plain(stack, reference):
        return time.perf_counter() - started


@contextmanager
def _plain(stack: Stack, reference: str, *, like_the_portals: bool = False) -> Iterator[Container]:
    """The same container, with the same limits and hardening, by the same library; it answers.

    `like_the_portals`: with a network of its own and temporary files on disk, too, which cost
    time at its end.
    """
    spec = ContainerSpec(
        name="portal-bench-plain",
        image=reference,
        labels={},
        environment={"PORTAL_TOKEN": "bench"},
        publish={8888: (stack.gateway, BASELINE_PORT), 6006: (stack.gateway, BASELINE_PORT + 1)},
        volumes={"portal-bench-home": HOME},
        tmpfs={"/tmp": TMPFS},
        memory_bytes=2 * 2**30,
        shm_bytes=2**29,
        cpus=1,
        pids=2048,
        hostname="bench",
    )
    engine = docker.from_env()
    if like_the_portals:
        spec = replace(spec, tmpfs={}, scratch={TMP: 0}, network=NETWORK, bridge="cp-bench")
        # As another portal's: this one removes those of its own that none of its containers needs.
        ensure_network(engine, spec, "bench")
    container: Container = engine.containers.create(**create_arguments(spec))
    try:
        container.start()
        with httpx2.Client(timeout=1, trust_env=False) as http:
            until(lambda: answers(http, f"http://{stack.gateway}:{BASELINE_PORT}/api"))
        yield container
    finally:
        container.remove(force=True, v=True)
        engine.volumes.get("portal-bench-home").remove()
        for network in engine.networks.list(names=[NETWORK]):
            network.remove()


def handover(stack: Stack, john: httpx2.Client, rounds: int) -> Row:
    """From one container's end to the next in the queue answering, against a start without a wait.

    Both ask for more than half of this machine's memory, so that the second waits for the first.
    """
    vm = john.get("/api/v1/vms").raise_for_status().json()[0]
    each = round(vm["memory_gb"] * 0.6)
    waits, starts = [], []
    with tidy(stack, john, memory_gb=each * 3, cpus=16, deployments=10):
        for number in range(rounds):
            first = order(john, f"bench-first-{number}", each)
            started = time.perf_counter()
            until_state(john, first, "running")
            starts.append(time.perf_counter() - started)
            second = order(john, f"bench-second-{number}", each)
            assert john.get(second).json()["state"] == "waiting"
            john.delete(first).raise_for_status()
            until_state(john, first, "removed")
            started = time.perf_counter()
            until_state(john, second, "running")
            waits.append(time.perf_counter() - started)
            john.delete(second).raise_for_status()
            until_state(john, second, "removed")
    return row(
        "freed to the next in the queue running / a start without a wait",
        waits,
        starts,
        "<= start + 2 s",
    )


def idle(stack: Stack, john: httpx2.Client, sizes: Sizes) -> Row:
    """What the portal's services use while containers run and nobody asks for anything.

    In percent of one core, of all processes in the portal's own containers, health checks included.
    What is in people's containers does not count, nor what the engine does for its health checks.
    """
    with tidy(stack, john, memory_gb=20, cpus=20, deployments=20):
        names = (f"bench-idle-{number}" for number in range(sizes.idle_containers))
        made = [order(john, name, 0.5, 0.25) for name in names]
        for path in made:
            until_state(john, path, "running")
        used = bench_operation.cpu_percent(stack, sizes.idle_s)
    what = f"services at rest, {sizes.idle_containers} containers, % of a core / aim"
    return Row(what, used, 2, "<= 2", "%")
