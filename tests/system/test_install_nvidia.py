"""install-nvidia.sh, alone and within setup-vm.sh, with a STAND-IN GPU and repository."""

from __future__ import annotations

import builds
import docker
import pytest
from builds import ROOT
from harness import HARNESS
from harness.machines import Machine, Machines

HERE = HARNESS / "toolkit"
REPOSITORY = "container-portal-test-toolkit:dev"
GPU = "GPU-ffffffff-0000-4000-8000-000000000006"
CSV = f"0, {GPU}, NVIDIA L4, 23034, 0, 0, 40, {{driver}}, [N/A]\n"
DRIVER = "550.54.15"
PCI = "/sys/bus/pci/devices"


@pytest.fixture(scope="module")
def bare(machines: Machines) -> Machine:
    """A machine without a GPU, with the scripts on it."""
    machine = machines.add("debian-13", 214)
    machine.copy(ROOT / "scripts", "/opt")
    return machine


@pytest.fixture(scope="module")
def machine(bare: Machine) -> Machine:
    """The same after a GPU and its driver were added; a mirror of NVIDIA's repository exists."""
    bare.run(
        f"mount -t tmpfs none {PCI} && mkdir {PCI}/0000:01:00.0 && echo 0x10de >"
        f" {PCI}/0000:01:00.0/vendor"
    )
    bare.copy(HERE / "nvidia-smi", "/usr/bin")
    bare.run(
        f"chmod 0755 /usr/bin/nvidia-smi; echo 'GPU 0: NVIDIA L4 (UUID: {GPU})' >"
        " /etc/standin-gpus.list"
    )
    set_driver(bare, DRIVER)
    builds.build(HERE, REPOSITORY)
    box = docker.from_env().containers.create(REPOSITORY)
    try:
        bare.container.put_archive("/opt", b"".join(box.get_archive("/repository")[0]))
    finally:
        box.remove()
    return bare


def set_driver(machine: Machine, version: str) -> None:
    machine.run(f"printf '{CSV.format(driver=version)}' > /etc/standin-gpus.csv")


def install(machine: Machine, environment: str = "") -> tuple[int, str]:
    output = machine.run(f"{environment} bash /opt/scripts/install-nvidia.sh 2>&1; echo exit $?")
    words, _, code = output.strip().rpartition("exit ")
    return int(code), words


def set_up(machines: Machines, machine: Machine) -> str:
    done = machines.setup(
        "--name", machine.name, machine.address, PORTAL_NVIDIA_REPOSITORY="file:///opt/repository"
    )
    assert done.returncode == 0, done.stdout
    return done.stdout


def test_without_a_gpu_it_says_so_and_ends_well(bare: Machine) -> None:
    code, output = install(bare)
    assert (code, "no NVIDIA GPU here" in output) == (0, True), output


@pytest.mark.parametrize(
    ("prepare", "environment", "words"),
    [
        ("mkdir -p /opt/modules/nouveau", "KERNEL_MODULES=/opt/modules", "nouveau holds the GPU"),
        ("", "PORTAL_MIN_DRIVER=999.0", f"The driver {DRIVER} is older than 999.0"),
        (
            (
                "mkdir /opt/nothing; for one in bash find head cat grep sed awk id tr od tail"
                " dirname sort; do ln -sf $(command -v $one) /opt/nothing/; done"
            ),
            "PATH=/opt/nothing",
            "no NVIDIA driver",
        ),
        ("mv /etc/standin-gpus.csv /opt/", "", "The driver does not answer"),
        (
            "mkdir -p /opt/efi; printf '\\6\\0\\0\\0\\1' > /opt/efi/SecureBoot-8be4df61",
            "EFI_VARIABLES=/opt/efi",
            "secure boot is on",
        ),
    ],
    ids=["nouveau", "old driver", "no driver", "silent driver", "secure boot"],
)
def test_what_keeps_a_gpu_from_working_is_named_before_anything_is_installed(
    machine: Machine, prepare: str, environment: str, words: str
) -> None:
    machine.run(prepare or "true")
    code, output = install(machine, environment)
    assert (code, words in output) == (7, True), output
    assert "no toolkit" in machine.run("command -v nvidia-ctk || echo no toolkit")


def test_setup_vm_installs_the_toolkit_and_verifies_a_container_with_a_gpu(
    machines: Machines, machine: Machine
) -> None:
    machine.run("[ -e /etc/standin-gpus.csv ] || mv /opt/standin-gpus.csv /etc/")
    output = set_up(machines, machine)
    assert f"driver {DRIVER}, 1 GPUs" in output
    assert "a container sees 1 GPUs" in output
    assert "A container with NVIDIA L4 answered" in output, output
    assert GPU in machine.run("cat /etc/cdi/nvidia.yaml")


def test_again_it_changes_nothing(machines: Machines, machine: Machine) -> None:
    before = machine.run("cat /etc/docker/daemon.json; systemctl show -p MainPID docker")
    assert "nothing to do" in set_up(machines, machine)
    assert machine.run("cat /etc/docker/daemon.json; systemctl show -p MainPID docker") == before


def test_an_update_of_the_driver_renews_the_cdi_specification_at_boot_and_by_hand(
    machine: Machine,
) -> None:
    set_driver(machine, "560.35.03")
    code, output = install(machine, "PORTAL_NVIDIA_REPOSITORY=file:///opt/repository")
    assert (code, "doing   the CDI specification is for driver 560.35.03" in output) == (0, True), (
        output
    )
    machine.run("rm /etc/cdi/nvidia.yaml; systemctl restart container-portal-cdi")
    assert GPU in machine.run("cat /etc/cdi/nvidia.yaml")
