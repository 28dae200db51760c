"""GPUs for real up to the hardware: engines, device request, gate over SSH; STAND-IN GPUs.

One VM hands GPUs out by NVIDIA's hook (Engine 20.10), the other by CDI (Engine 26). Both are in the
pool of group "lab", to which Jane and John belong while these tests run.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from harness import fleet as fleets
from harness.fleet import Fleet, TestVm
from harness.people import JANE, JOHN, Person, photograph, violations, wait_until
from playwright.sync_api import Page, expect
from stack import Stack

OpenBrowser = Callable[..., Page]
PEOPLE = (JANE, JOHN)
WHOLE, PARENT = (
    "GPU-aaaaaaaa-0000-4000-8000-000000000001",
    "GPU-bbbbbbbb-0000-4000-8000-000000000002",
)
SLICES = ("MIG-cccccccc-0000-4000-8000-000000000003", "MIG-dddddddd-0000-4000-8000-000000000004")
CDI_GPU = "GPU-eeeeeeee-0000-4000-8000-000000000005"
NVIDIA_CSV = (
    f"0, {WHOLE}, NVIDIA A100-SXM4-40GB, 40960, 512, 3, 41, 535.104.05, Disabled\n"
    f"1, {PARENT}, NVIDIA A100-SXM4-40GB, 40960, [N/A], [N/A], 39, 535.104.05, Enabled\n"
)
NVIDIA_LIST = (
    f"GPU 0: NVIDIA A100-SXM4-40GB (UUID: {WHOLE})\nGPU 1: NVIDIA A100-SXM4-40GB (UUID: {PARENT})\n"
    + "".join(f"  MIG 3g.20gb     Device  {n}: (UUID: {uuid})\n" for n, uuid in enumerate(SLICES))
)
CDI_CSV = f"0, {CDI_GPU}, NVIDIA L4, 23034, 0, 0, [N/A], 550.54.15, [N/A]\n"
CDI_SPEC = {
    "cdiVersion": "0.6.0",
    "kind": "nvidia.com/gpu",
    "devices": [
        {
            "name": CDI_GPU,
            "containerEdits": {"deviceNodes": [{"path": f"/dev/nvidia-standin-{CDI_GPU}"}]},
        }
    ],
}
A100, SLICE, L4 = "NVIDIA A100-SXM4-40GB", "NVIDIA A100-SXM4-40GB MIG 3g.20gb", "NVIDIA L4"


@pytest.fixture(scope="module")
def lab(
    stack: Stack, vm_a: TestVm, gpu_image: str, person: Callable[[str], Person]
) -> Iterator[Stack]:
    for name in ("jane", "john"):  # known from their first sign-in on
        person(name).http.get("/api/v1/me").raise_for_status()
    for subject in PEOPLE:
        stack.admin("user", "group", subject, "lab")
    stack.admin("quota", "set", "--group", "lab", "--gpus", "8")
    yield stack
    for subject in PEOPLE:
        stack.admin("user", "group", subject, "")


@pytest.fixture(scope="module")
def vm_nvidia(lab: Stack, fleet: Fleet) -> Iterator[TestVm]:
    tools = "--env=PORTAL_STANDIN_TOOLS=nvidia-smi nvidia-container-runtime-hook"
    vm = fleet.add("vm-nvidia", tools)
    vm.write("/etc/standin-gpus.csv", NVIDIA_CSV)
    vm.write("/etc/standin-gpus.list", NVIDIA_LIST)
    yield from in_lab(lab, vm)


@pytest.fixture(scope="module")
def vm_cdi(lab: Stack, fleet: Fleet) -> Iterator[TestVm]:
    fleets.build_cdi_image()
    vm = fleet.add(
        "vm-cdi",
        "--env=PORTAL_STANDIN_TOOLS=nvidia-smi",
        "--env=PORTAL_STANDIN_CDI=1",
        image=fleets.CDI_IMAGE,
    )
    vm.run("rm", "-f", f"/dev/nvidia-standin-{CDI_GPU}")
    vm.run("mknod", "-m", "0666", f"/dev/nvidia-standin-{CDI_GPU}", "c", "1", "3")
    vm.write("/etc/standin-gpus.csv", CDI_CSV)
    vm.write("/etc/standin-gpus.list", f"GPU 0: NVIDIA L4 (UUID: {CDI_GPU})\n")
    vm.write("/etc/cdi/nvidia.json", json.dumps(CDI_SPEC))
    yield from in_lab(lab, vm)


def in_lab(stack: Stack, vm: TestVm) -> Iterator[TestVm]:
    """In the lab's pool while the tests run, and until the portal knows its GPUs."""
    stack.admin(
        "vm", "add", vm.name, "--engine", vm.engine_url, "--address", vm.address, "--pool", "lab"
    )
    stack.admin("vm", "activate", vm.name)
    wait_until(lambda: facts(stack, vm)["driver"], "the portal sees the GPUs")
    yield vm
    stack.admin("vm", "drain", vm.name)


def facts(stack: Stack, vm: TestVm) -> dict[str, Any]:
    return next(
        known for known in json.loads(stack.admin("vm", "list")) if known["name"] == vm.name
    )


def devices(vm: TestVm, deployment: dict[str, Any]) -> list[str]:
    """The GPU devices that a container has, asked of the container itself."""
    listing = vm.run("docker", "exec", f"portal-{deployment['id']}", "ls", "/dev")
    return sorted(
        name.removeprefix("nvidia-standin-")
        for name in listing.split()
        if name.startswith("nvidia")
    )


def test_two_people_see_exactly_their_own_devices_mig_instances_included(
    vm_nvidia: TestVm, jane: Person, john: Person
) -> None:
    orders = [
        (jane, jane.deploy("whole", gpus=1, gpu_model=A100)["id"]),
        (john, john.deploy("slice", gpus=1, gpu_model=SLICE)["id"]),
        (jane, jane.deploy("other-slice", gpus=1, gpu_model=SLICE)["id"]),
    ]
    made = [owner.settled(deployment_id) for owner, deployment_id in orders]
    assert [owner["state"] for owner in made] == ["running"] * 3, made
    assert [devices(vm_nvidia, owner) for owner in made] == [owner["gpu_uuids"] for owner in made]
    assert made[0]["gpu_uuids"] == [WHOLE]
    assert sorted(made[1]["gpu_uuids"] + made[2]["gpu_uuids"]) == sorted(SLICES)


def test_a_cdi_engine_is_asked_by_cdi(vm_cdi: TestVm, lab: Stack, jane: Person) -> None:
    made = jane.settled(jane.deploy("by-cdi", gpus=1, gpu_model=L4)["id"])
    assert made["state"] == "running", made["error"]
    assert devices(vm_cdi, made) == made["gpu_uuids"] == [CDI_GPU]
    known = facts(lab, vm_cdi)
    assert (known["gpu_access"], known["driver"], known["gpu_problem"]) == (
        "cdi",
        "550.54.15",
        None,
    )


def test_a_driver_older_than_the_image_needs_keeps_the_image_off_that_vm(
    vm_nvidia: TestVm, vm_cdi: TestVm, gpu_image: str, jane: Person
) -> None:
    order = {"image": gpu_image, "gpus": 1, "gpu_model": A100, "memory_gb": 1, "cpus": 1}
    refused = jane.http.post("/api/v1/deployments", json=order)
    assert refused.status_code == 409
    assert (
        "vm-nvidia: has NVIDIA driver 535.104.05, the image needs 540.10"
        in refused.json()["message"]
    )
    placed = jane.http.post("/api/v1/deployments", json={**order, "gpu_model": ""})
    assert placed.json()["vm"] == "vm-cdi"


def test_an_engine_without_toolkit_is_told_apart_and_gets_no_gpu_work(
    lab: Stack, vm_nvidia: TestVm, jane: Person
) -> None:
    vm_nvidia.run("rm", "/usr/bin/nvidia-container-runtime-hook")
    try:
        wait_until(
            lambda: facts(lab, vm_nvidia)["gpu_problem"] == "no_toolkit",
            "the missing toolkit is noticed",
        )
        refused = jane.http.post(
            "/api/v1/deployments", json={"image": "ml-cpu", "gpus": 1, "gpu_model": A100}
        )
        assert refused.status_code == 409
        assert "vm-nvidia: cannot use its GPUs (no toolkit)" in refused.json()["message"]
    finally:
        vm_nvidia.run("ln", "-sf", "/opt/standin/nvidia-container-runtime-hook", "/usr/bin/")
        wait_until(lambda: not facts(lab, vm_nvidia)["gpu_problem"], "the toolkit is back")


def test_a_leased_gpu_that_disappears_is_shown_and_starting_again_says_what_is_wrong(
    lab: Stack, vm_nvidia: TestVm, jane: Person
) -> None:
    made = jane.settled(jane.deploy("bereft", gpus=1, gpu_model=A100)["id"])
    assert made["state"] == "running"
    lose_gpu(vm_nvidia)
    try:
        wait_until(lambda: tile(jane, WHOLE)["state"] == "missing", "the loss is noticed")
        assert jane.http.get(f"/api/v1/deployments/{made['id']}").json()["state"] == "running"
        jane.act(made["id"], "restart")
        failed = jane.settled(made["id"])
        assert (failed["state"], failed["error"]["code"]) == ("failed", "gpu_gone")
        assert vm_nvidia.run("docker", "ps", "-aq", "--filter", f"name=portal-{made['id']}") == ""
    finally:
        vm_nvidia.write("/etc/standin-gpus.csv", NVIDIA_CSV)
        vm_nvidia.write("/etc/standin-gpus.list", NVIDIA_LIST)
        wait_until(lambda: tile(jane, WHOLE).get("state") == "ok", "it is back")


def lose_gpu(vm: TestVm) -> None:
    """GPU 0 falls off the bus."""
    vm.write("/etc/standin-gpus.csv", NVIDIA_CSV.split("\n", 1)[1])
    vm.write("/etc/standin-gpus.list", NVIDIA_LIST.split("\n", 1)[1])


def tile(person: Person, uuid: str) -> dict[str, Any]:
    gpus = [gpu for gpu in person.http.get("/api/v1/gpus").json() if gpu["uuid"] == uuid]
    return gpus[0] if gpus else {}


SIZES = """
import json, sys
import bootstrap
from docker_manager import DockerEngine
from portal import db
from portal.core.settings import Settings
settings = Settings()
with bootstrap.portal(settings).database.reading() as tx:
    vm = db.vms.by_name(tx, sys.argv[1])
print(json.dumps(DockerEngine(vm, settings).volume_sizes()))
"""


def test_an_engine_that_can_count_says_how_big_a_home_is(
    lab: Stack, vm_nvidia: TestVm, vm_cdi: TestVm
) -> None:
    for vm in (vm_nvidia, vm_cdi):
        vm.run("docker", "volume", "create", "counted")
        folder = vm.run("docker", "volume", "inspect", "-f", "{{.Mountpoint}}", "counted").strip()
        vm.run("sh", "-c", f"head -c 5000000 /dev/zero > {folder}/file")

    def sizes(vm: TestVm) -> Any:
        return json.loads(
            lab.compose("exec", "-T", "worker", "python3", "-c", SIZES, vm.name, capture=True)
        )

    assert sizes(vm_nvidia) is None  # Engine 20.10 would count images and containers, too
    assert 5_000_000 <= sizes(vm_cdi)["counted"] < 5_100_000


def test_john_waits_as_number_one_and_his_page_turns_to_running_by_itself(
    lab: Stack, vm_cdi: TestVm, jane: Person, john: Person, browser_of: OpenBrowser
) -> None:
    janes = browser_of("jane")
    janes.goto(f"{lab.url}/gpus")
    expect(janes.get_by_text(re.compile(r"^\d of \d GPUs? free"))).to_be_visible()
    expect(janes.get_by_text("NVIDIA L4").first).to_be_visible()
    photograph(janes, "gpus-free")
    assert violations(janes) == []
    janes.goto(f"{lab.url}/deploy")
    choose(janes, L4)  # the GPU image is proposed, since her VMs have GPUs
    expect(janes.get_by_text("1 free now")).to_be_visible()
    photograph(janes, "deploy-gpu")
    janes.get_by_role("button", name="Deploy", exact=True).click()
    expect(janes.get_by_role("link", name="Open JupyterLab")).to_be_visible(timeout=120_000)

    johns = browser_of("john")
    johns.goto(f"{lab.url}/deploy")
    choose(johns, L4)
    expect(johns.get_by_text("You would be number 1 in the queue")).to_be_visible()
    photograph(johns, "deploy-wait")
    johns.get_by_role("button", name="Join the queue").click()
    expect(johns.get_by_text("Number 1 in the queue.")).to_be_visible()
    photograph(johns, "waiting")

    janes.get_by_role("button", name="More").click()
    janes.get_by_role("menuitem", name="Remove …").click()
    janes.get_by_role("dialog").get_by_role("button", name="Remove", exact=True).click()
    expect(johns.get_by_role("link", name="Open JupyterLab")).to_be_visible(timeout=120_000)
    photograph(johns, "turned-to-running")


def choose(page: Page, model: str) -> None:
    """Pick a GPU model in the order."""
    page.get_by_role("combobox", name="GPU model").click()
    page.get_by_role("option", name=model).last.click()
