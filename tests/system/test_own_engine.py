"""A workstation: its own engine's GPUs, over its socket; STAND-IN GPUs, real engines and helper."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import builds
import pytest
from docker_manager import DockerEngine
from harness import HARNESS
from harness import fleet as fleets
from harness.fleet import Fleet, TestVm
from portal.core.engine import GpuReport
from portal.core.models import Vm, VmState
from portal.core.settings import Settings
from stack import Stack
from test_real_gpus import CDI_GPU, CDI_SPEC, NVIDIA_CSV, NVIDIA_LIST, SLICES, WHOLE

IMAGE = "container-portal-test-desk:dev"


@pytest.fixture(scope="module")
def helper_image(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What the helper runs, to load; a real hook, or CDI, would put nvidia-smi there itself."""
    folder = tmp_path_factory.mktemp("desk")
    builds.ensure_images("debian:bookworm-slim")
    shutil.copy(HARNESS / "vm" / "standin" / "nvidia-smi", folder)
    (folder / "nvidia-smi").chmod(0o755)
    (folder / "standin-gpus.csv").write_text(NVIDIA_CSV)
    (folder / "standin-gpus.list").write_text(NVIDIA_LIST)
    (folder / "Dockerfile").write_text(
        "FROM debian:bookworm-slim\nCOPY nvidia-smi /usr/bin/\nCOPY standin-gpus.* /etc/\n"
    )
    builds.build(folder, IMAGE)
    archive = folder / "image.tar"
    builds.docker("save", "--output", str(archive), IMAGE)
    return archive


def desk(fleet: Fleet, name: str, helper: Path, run: Path, *options: str, image: str) -> TestVm:
    """A machine whose engine's socket is in a folder of ours."""
    run.mkdir()
    vm = fleet.add(
        name, f"--volume={run}:/run", f"--volume={helper}:/image.tar:ro", *options, image=image
    )
    vm.run("docker", "load", "--input", "/image.tar")
    return vm


def engine_at(run: Path) -> DockerEngine:
    vm = Vm(
        id=1,
        name="this-machine",
        engine_url=f"unix://{run}/docker.sock",
        address="10.0.0.1",
        owner_id=None,
        pool="shared",
        state=VmState.ACTIVE,
        reachable=True,
        error=None,
        cpus=None,
        memory_gb=None,
        driver=None,
        cuda=None,
        gpu_access=None,
        gpu_problem=None,
        last_seen_at=None,
    )
    return DockerEngine(vm, Settings(probe_image=IMAGE))


def asked(run: Path) -> GpuReport:
    engine = engine_at(run)
    try:
        first = engine.gpus()
        assert engine.gpus() == first  # by the same helper
        return first
    finally:
        engine.close()


def test_gpus_of_nvidias_hook_are_found(
    stack: Stack, fleet: Fleet, helper_image: Path, tmp_path: Path
) -> None:
    tools = "--env=PORTAL_STANDIN_TOOLS=nvidia-smi nvidia-container-runtime-hook"
    run = tmp_path / "run"
    vm = desk(fleet, "vm-desk", helper_image, run, tools, image=fleets.IMAGE)
    vm.write("/etc/standin-gpus.csv", NVIDIA_CSV)
    vm.write("/etc/standin-gpus.list", NVIDIA_LIST)
    report = asked(run)
    assert (report.access, report.driver, report.problem) == ("nvidia", "535.104.05", None)
    assert [gpu.uuid for gpu in report.gpus] == [WHOLE, *SLICES]
    helpers = vm.run("docker", "ps", "--format", "{{.Names}} {{.Networks}}").splitlines()
    assert len(helpers) == 1 and helpers[0].endswith(" none"), helpers
    vm.run("rm", "/usr/bin/nvidia-container-runtime-hook")
    vm.run("sh", "-c", "docker rm -f $(docker ps -q)")
    vm.stop_engine()
    vm.start_engine()
    assert asked(run) == GpuReport()
    assert vm.run("docker", "ps", "--all", "--quiet") == ""


def test_gpus_of_a_cdi_engine_are_found(
    stack: Stack, fleet: Fleet, helper_image: Path, tmp_path: Path
) -> None:
    fleets.build_cdi_image()
    run = tmp_path / "run"
    vm = desk(
        fleet,
        "vm-desk-cdi",
        helper_image,
        run,
        "--env=PORTAL_STANDIN_CDI=1",
        image=fleets.CDI_IMAGE,
    )
    node = f"/dev/nvidia-standin-{CDI_GPU}"
    vm.run("sh", "-c", f"[ -e {node} ] || mknod -m 0666 {node} c 1 3")
    # As nvidia-ctk writes it, with all of them under one name as well.
    one = json.dumps(CDI_SPEC)
    device = json.dumps({"name": "all", "containerEdits": {"deviceNodes": [{"path": node}]}})
    vm.write("/etc/cdi/nvidia.json", one.replace('"devices": [', f'"devices": [{device}, '))
    report = asked(run)
    assert (report.access, report.problem) == ("cdi", None)
