"""The framework images, built for real on stand-in bases and tested in their containers.

NVIDIA's registry cannot be reached where this runs. What differs from the real thing is the base
alone.
"""

from __future__ import annotations

import os
import subprocess

import builds
import docker
import pytest
import yaml
from builds import ROOT
from harness.fleet import TestVm
from harness.people import Person, wait_until
from stack import Stack

WITH_FRAMEWORK = {"gpu-pytorch": "torch", "gpu-tensorflow": "tensorflow"}
TESTED = ("Jupyter Server", "answers on 6006", "the owner's key opens it", "read-only root")
TRAINED = {"gpu-pytorch": "notebook: loss", "gpu-tensorflow": "notebook: losses"}
"""What its example notebook says."""


@pytest.mark.parametrize("name", WITH_FRAMEWORK)
def test_a_framework_image_is_built_and_does_what_people_need(stack: Stack, name: str) -> None:
    builds.ensure_base(name)
    text = stack.publisher("image", "build", name) + stack.publisher("image", "test", name)
    for said in (*TESTED, TRAINED[name]):
        assert said in text


@pytest.mark.skipif(
    not os.environ.get("PORTAL_EVERY_IMAGE"),
    reason="make images: what comes after an image's own tests is the same for each",
)
@pytest.mark.parametrize("name", WITH_FRAMEWORK)
def test_a_framework_image_goes_through_the_whole_pipeline(
    stack: Stack, name: str, ray: Person
) -> None:
    output: list[str] = []
    stack.publish(name, say=output.append)
    assert "0 refused" in "\n".join(output)
    release = next(
        each for each in ray.http.get("/api/v1/releases").json() if each["image"] == name
    )
    packages = ray.http.get(f"/api/v1/releases/{release['id']}/packages").json()
    assert WITH_FRAMEWORK[name] in {package.partition("-")[0] for package in packages}
    assert release["state"] == "approved"


@pytest.mark.usefixtures("stack", "gpu_image")  # published before: the layers are the same
@pytest.mark.parametrize("name", ["gpu-jupyter", "ml-cpu"])
def test_an_image_builds_by_hand_from_its_own_folder(name: str) -> None:
    """`docker build -t ghcr.io/your-org/NAME:latest .` in images/NAME, on the base at hand."""
    builds.ensure_base(name)
    folder = ROOT / "images" / name
    pinned = yaml.safe_load((folder / "image.yaml").read_text())["builds"][0]["base"]
    engine = docker.from_env()
    here = (
        []
        if _present(engine, pinned)
        else ["--build-arg", f"BASE_IMAGE={pinned.partition('@')[0]}"]
    )
    for certificate in builds.HOST_CAS.glob("*.crt"):
        (folder / "certs" / certificate.name).write_bytes(certificate.read_bytes())
    tag = f"ghcr.io/your-org/{name}:latest"
    done = subprocess.run(
        ["docker", "build", "-t", tag, *here, "."],
        cwd=folder,
        env={**os.environ, **builds.CLASSIC},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-2000:]
    engine.images.remove(tag)


def _present(engine: docker.DockerClient, reference: str) -> bool:
    try:
        engine.images.get(reference)
    except docker.errors.ImageNotFound:
        return False
    return True


def test_approved_images_come_to_a_vm_ahead_and_deploy_says_so(
    stack: Stack, vm_a: TestVm, gpu_image: str, jane: Person
) -> None:
    version = {image["name"]: image["digest"] for image in jane.http.get("/api/v1/images").json()}
    vm_a.run("docker", "image", "prune", "--all", "--force")
    stack.settings["PORTAL_PREPULL"] = "true"
    try:
        stack.compose("up", "-d", "--wait", "--no-deps", "worker", capture=True)
        _until_there(vm_a, version["ml-cpu"])
    finally:
        stack.settings["PORTAL_PREPULL"] = "false"
        stack.compose("up", "-d", "--wait", "--no-deps", "worker", capture=True)
    assert (
        "vm-a"
        in next(
            image for image in jane.http.get("/api/v1/images").json() if image["name"] == "ml-cpu"
        )["ready_on"]
    )
    made = jane.settled(jane.deploy("at-once")["id"])
    assert made["state"] == "running"
    assert made["progress"] == []  # nothing was left to download
    assert version[gpu_image] not in vm_a.run("docker", "images", "--digests")  # it has no GPU


def _until_there(vm: TestVm, digest: str) -> None:
    wait_until(
        lambda: digest in vm.run("docker", "images", "--digests"),
        "the image is downloaded ahead",
        150,
    )
