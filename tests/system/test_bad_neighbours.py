"""Broken neighbours: a clear message, and nothing left behind."""

from __future__ import annotations

import json
from contextlib import ExitStack
from typing import Any

import httpx2
import pytest
from harness.fleet import Fleet, TestVm
from harness.people import Person, wait_until
from stack import Stack

DEADLINE_S = 40


@pytest.fixture
def fragile(fleet: Fleet, stack: Stack, ray: Person) -> TestVm:
    """A VM of Ray's own with a small disk for images, so that his deployments go there."""
    vm = fleet.vms.get("vm-c") or fleet.add("vm-c", "--tmpfs=/var/lib/docker:size=96m,exec")
    stack.admin(
        "vm",
        "add",
        "vm-c",
        "--engine",
        vm.engine_url,
        "--address",
        vm.address,
        "--owner",
        "edipi:3456789012",
    )
    return vm


def nothing_left(stack: Stack, vm: TestVm, deployment: dict[str, Any]) -> None:
    """No container, and no lease: counted in the database itself."""
    assert vm.run("docker", "ps", "-aq") == ""
    assert deployment["urls"] == {}
    count = (
        "import bootstrap; from portal import db\n"
        "with bootstrap.portal(bootstrap.settings()).database.reading() as tx:\n"
        "    held = db.leases.live(tx)\n"
        f"print(sum(one['deployment_id'] == {deployment['id']!r} for one in held))"
    )
    assert stack.compose("exec", "-T", "api", "python3", "-c", count, capture=True).strip() == "0"


def fails(ray: Person, code: str) -> dict[str, Any]:
    """Deploy, and expect this failure with words for a person."""
    made = ray.settled(ray.deploy(code.replace("_", "-"))["id"])
    assert made["state"] == "failed", made
    assert made["error"]["code"] == code, made
    assert made["error"]["message"] and made["error"]["hint"]
    return made


def reachable(ray: Person, name: str) -> bool:
    """What the portal thinks of a VM."""
    return bool(
        next(vm["reachable"] for vm in ray.http.get("/api/v1/vms").json() if vm["name"] == name)
    )


@pytest.mark.parametrize(
    ("order", "status", "code"),
    [
        ({"image": "no-such"}, 422, "unknown_image"),
        ({"name": "../../etc/passwd"}, 422, "bad_name"),
        ({"name": "x" * 10_000}, 422, "bad_name"),
        ({"memory_gb": -1}, 422, "bad_memory_gb"),
        ({"memory_gb": 1e12}, 403, "over_memory_gb"),
        ({"cpus": -1}, 422, "bad_cpus"),
        ({"cpus": 1e6}, 403, "over_cpus"),
        ({"gpus": -1}, 422, "bad_gpus"),
        ({"gpus": 10**9}, 403, "over_gpus"),
        ({"gpus": 1}, 409, "no_gpu"),
        ({"memory_gb": "much"}, 422, "bad_request"),
        ({"surprise": 1}, 422, "bad_request"),
    ],
)
def test_bad_orders_are_refused_in_words(
    vm_a: TestVm, jane: Person, order: dict[str, Any], status: int, code: str
) -> None:
    body = {"image": "ml-cpu", "name": "fine", "gpus": 0, "memory_gb": 1, "cpus": 1, **order}
    answer = jane.http.post("/api/v1/deployments", json=body)
    problem = answer.json()
    assert (answer.status_code, problem["code"]) == (status, code)
    assert answer.headers["content-type"] == "application/problem+json"
    assert problem["message"] and problem["hint"]
    assert jane.http.get("/api/v1/deployments").json() == []


def test_disk_full_while_pulling(stack: Stack, fragile: TestVm, ray: Person) -> None:
    nothing_left(stack, fragile, fails(ray, "disk_full"))


def test_a_release_that_is_gone_from_the_registry(
    stack: Stack, fragile: TestVm, ray: Person
) -> None:
    registry = httpx2.Client(
        verify=False, auth=httpx2.BasicAuth(**stack.registry_auth()), timeout=10, trust_env=False
    )
    image = next(
        offered for offered in ray.http.get("/api/v1/images").json() if offered["name"] == "ml-cpu"
    )
    manifests = f"https://127.0.0.1:{stack.registry_port}/v2/ml-cpu/manifests"
    url = f"{manifests}/{image['digest']}"
    media = "application/vnd.docker.distribution.manifest.v2+json"
    manifest = registry.get(url, headers={"Accept": media}).raise_for_status()
    registry.delete(url).raise_for_status()
    try:
        nothing_left(stack, fragile, fails(ray, "image_gone"))
    finally:
        again = registry.put(
            f"{manifests}/{image['release']}",
            content=manifest.content,
            headers={"Content-Type": media},
        )
        again.raise_for_status()


def test_a_wrong_registry_password(stack: Stack, fragile: TestVm, ray: Person) -> None:
    path = stack.home / "secrets" / "registry_password"
    right = path.read_bytes()
    stack.write_secret("registry_password", b"wrong")
    try:
        stack.compose("restart", "--timeout", "3", "worker", capture=True)
        nothing_left(stack, fragile, fails(ray, "registry_refused"))
    finally:
        stack.write_secret("registry_password", right)
        stack.compose("restart", "--timeout", "3", "worker", capture=True)


def test_ssh_refused_and_back(stack: Stack, fragile: TestVm, ray: Person) -> None:
    fragile.stop_ssh()
    try:
        wait_until(lambda: not reachable(ray, "vm-c"), "the VM is gone", DEADLINE_S)
        answer = ray.http.post("/api/v1/deployments", json={"image": "ml-cpu", "name": "nowhere"})
        assert (answer.status_code, answer.json()["code"]) == (409, "no_room")
        assert "vm-c: cannot be reached" in answer.json()["message"]
    finally:
        fragile.start_ssh()
    wait_until(lambda: reachable(ray, "vm-c"), "the VM is back", DEADLINE_S)


def test_an_engine_that_is_down_is_seen_and_said(
    stack: Stack, fragile: TestVm, ray: Person
) -> None:
    fragile.stop_engine()
    try:
        wait_until(lambda: not reachable(ray, "vm-c"), "the VM is gone", DEADLINE_S)
        answer = ray.http.post("/api/v1/deployments", json={"image": "ml-cpu", "name": "late"})
        assert (answer.status_code, answer.json()["code"]) == (409, "no_room")
        assert "vm-c: cannot be reached" in answer.json()["message"]
    finally:
        fragile.start_engine()
    wait_until(lambda: reachable(ray, "vm-c"), "the VM is back", DEADLINE_S)


def test_a_worker_killed_in_the_middle_loses_nothing(
    stack: Stack, vm_a: TestVm, john: Person
) -> None:
    made = john.deploy("survivor")
    path = f"/api/v1/deployments/{made['id']}"
    wait_until(
        lambda: john.http.get(path).json()["state"] in ("pulling", "starting"),
        "the work is under way",
        DEADLINE_S,
    )
    stack.compose("kill", "worker", capture=True)
    assert john.http.get(path).json()["state"] in ("pulling", "starting")  # it was in the middle
    stack.compose("start", "worker", capture=True)
    assert john.settled(made["id"])["state"] == "running"
    assert "The audit trail is whole" in stack.admin("audit", "verify")
    events = json.loads(stack.admin("audit", "list", "--subject", f"deployment:{made['id']}"))
    assert [e["action"] for e in events].count("deployment.running") == 1


def test_many_who_follow_logs_hold_nobody_up(
    stack: Stack, vm_a: TestVm, jane: Person, john: Person
) -> None:
    made = john.settled(john.deploy("watched")["id"])
    path = f"/api/v1/deployments/{made['id']}/logs?tail=1&follow=true"
    with ExitStack() as following:
        for _ in range(60):
            next(following.enter_context(john.http.stream("GET", path)).iter_lines())
        assert jane.http.get("/api/v1/me", timeout=5).status_code == 200
        assert (
            john.http.get(f"/api/v1/deployments/{made['id']}/logs?tail=5", timeout=10).status_code
            == 200
        )
    assert jane.http.get("/api/v1/me", timeout=5).status_code == 200
