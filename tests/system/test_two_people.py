"""Jane and John side by side, on one VM and on their own."""

from __future__ import annotations

import json

import docker
from harness.fleet import Fleet, TestVm
from harness.people import JOHN, Person
from stack import Stack


def test_on_the_same_vm_at_once_each_reaches_only_their_own(
    stack: Stack, vm_a: TestVm, jane: Person, john: Person
) -> None:
    orders = [(owner, owner.deploy("same-name")["id"]) for owner in (jane, john)]
    made = {owner.name: owner.settled(deployment_id) for owner, deployment_id in orders}
    assert {d["vm"] for d in made.values()} == {"vm-a"}
    assert made["jane"]["urls"]["jupyter"] == f"https://{stack.host}:10000/"
    assert made["john"]["urls"]["jupyter"] == f"https://{stack.host}:10100/"
    for owner, other in ((jane, "john"), (john, "jane")):
        assert owner.http.get(made[owner.name]["urls"]["jupyter"] + "api").status_code == 200
        assert owner.http.get(made[other]["urls"]["jupyter"] + "api").status_code == 403
        assert [d["name"] for d in owner.http.get("/api/v1/deployments").json()] == ["same-name"]
        assert owner.http.get(f"/api/v1/deployments/{made[other]['id']}").status_code == 404


def test_each_on_their_own_vm_with_the_same_container_port(
    stack: Stack, fleet: Fleet, vm_a: TestVm, jane: Person, john: Person
) -> None:
    vm_b = fleet.add("vm-b")
    stack.admin(
        "vm",
        "add",
        "vm-b",
        "--engine",
        vm_b.engine_url,
        "--address",
        vm_b.address,
        "--owner",
        JOHN,
    )
    orders = [(owner, owner.deploy("own")["id"]) for owner in (jane, john)]
    made = {owner.name: owner.settled(deployment_id) for owner, deployment_id in orders}
    assert (made["jane"]["vm"], made["john"]["vm"]) == ("vm-a", "vm-b")
    for owner in (jane, john):
        assert owner.http.get(made[owner.name]["urls"]["jupyter"] + "api").status_code == 200
    ports = [vm.run("docker", "ps", "--format", "{{.Ports}}") for vm in (vm_a, vm_b)]
    assert all("->8888/tcp" in text for text in ports)


def test_this_machines_own_engine_is_a_vm_too(stack: Stack, vm_a: TestVm, ray: Person) -> None:
    """Over the local socket, as in `make demo`, published on the portal network's gateway."""
    engine = docker.from_env()
    for vm in ray.http.get("/api/v1/vms").json():  # of their own, from other tests
        if vm["dedicated"]:
            stack.admin("vm", "assign", vm["name"], "--pool", "nobody")
    stack.admin(
        "vm",
        "add",
        "this-machine",
        "--engine",
        "unix:///var/run/docker.sock",
        "--address",
        stack.gateway,
        "--owner",
        "edipi:3456789012",
    )
    made = ray.settled(ray.deploy("local")["id"])
    assert (made["state"], made["vm"]) == ("running", "this-machine"), made["error"]
    assert ray.http.get(made["urls"]["jupyter"] + "api").status_code == 200
    ports = engine.containers.get(f"portal-{made['id']}").ports["8888/tcp"] or []
    assert [port["HostIp"] for port in ports] == [stack.gateway]
    ray.remove_all()
    stack.admin("vm", "remove", "this-machine")
    engine.volumes.get(f"portal-home-{rays_number(stack)}-edipi-3456789012").remove()


def rays_number(stack: Stack) -> int:
    """Ray's number among the users: part of the name of his home volume."""
    return next(
        int(user["id"])
        for user in json.loads(stack.admin("user", "list"))
        if user["subject"].endswith("3456789012")
    )
