"""The ways to a VM: commands that can be pasted, and machines that are the same."""

from __future__ import annotations

from dataclasses import replace

import pytest
from portal import vms
from portal.context import Portal
from portal.core.errors import Conflict
from portal.vms import addresses
from support.samples import TEST, vm


@pytest.mark.parametrize(
    ("engine_url", "before", "preparation"),
    [
        ("ssh://portal@gpu-1", "ssh gpu-1 ", "scripts/setup-vm.sh --name vm-02 gpu-1"),
        ("ssh://portal@gpu-1:22", "ssh gpu-1 ", "scripts/setup-vm.sh --name vm-02 gpu-1"),
        ("ssh://portal@VM-02", "ssh vm-02 ", "scripts/setup-vm.sh vm-02"),
        (
            "ssh://portal@gpu-1:2222",
            "ssh -p 2222 gpu-1 ",
            "scripts/setup-vm.sh --port 2222 --name vm-02 gpu-1",
        ),
        (
            "ssh://portal@[fd00::5]:2222",
            "ssh -p 2222 fd00::5 ",
            "scripts/setup-vm.sh --port 2222 --name vm-02 fd00::5",
        ),
        ("ssh://portal@[fd00::5]", "ssh fd00::5 ", "scripts/setup-vm.sh --name vm-02 fd00::5"),
        ("ssh://vm-02", "ssh vm-02 ", "scripts/setup-vm.sh vm-02"),
        ("unix:///var/run/docker.sock", "", "sudo scripts/setup-vm.sh --local"),
    ],
)
def test_commands_in_alarms_can_be_pasted(engine_url: str, before: str, preparation: str) -> None:
    machine = replace(vm(2), name="vm-02", engine_url=engine_url)
    assert addresses.on(machine, "systemctl status docker") == f"{before}systemctl status docker"
    assert addresses.prepare(machine) == preparation


def test_two_commands_run_both_on_the_vm() -> None:
    machine = replace(vm(2), engine_url="ssh://portal@gpu-1")
    assert addresses.on(machine, "df; free") == "ssh gpu-1 'df; free'"


@pytest.mark.parametrize(
    ("known", "again"),
    [
        ("ssh://portal@gpu-1:2222", "ssh://portal@gpu-1:2222"),
        ("ssh://portal@gpu-1:22", "ssh://portal@gpu-1"),
        ("ssh://GPU-1", "ssh://portal@gpu-1"),
        ("ssh://portal@[fd00::5]:2222", "ssh://portal@[FD00::5]:2222"),
    ],
)
def test_a_vm_that_is_prepared_again_is_the_same(portal: Portal, known: str, again: str) -> None:
    before = vms.add(portal, TEST, "vm-02", known, "10.0.0.2")
    assert vms.set_up(portal, TEST, "vm-02", again, None, None, None) == before


def test_another_machine_is_not_taken_for_the_same(portal: Portal) -> None:
    vms.add(portal, TEST, "vm-02", "ssh://portal@gpu-1", "10.0.0.2")
    for other in ("ssh://portal@gpu-1:2222", "ssh://portal@gpu-2", "unix:///vm-02"):
        with pytest.raises(Conflict):
            vms.set_up(portal, TEST, "vm-02", other, None, None, None)


@pytest.mark.parametrize(
    ("known", "again"),
    [
        ("ssh://portal@gpu-1", "ssh://portal@gpu-1:22"),
        ("ssh://portal@gpu-1", "ssh://gpu-1"),
        ("ssh://portal@gpu-1", "ssh://root@GPU-1"),
        ("ssh://portal@[fd00::5]", "ssh://portal@[FD00::5]"),
        ("unix:///run/docker.sock", "unix:///var/run/docker.sock"),
    ],
)
def test_a_machine_by_another_address_is_still_the_same(
    portal: Portal, known: str, again: str
) -> None:
    vms.remove(portal, TEST, "vm-01")
    vms.add(portal, TEST, "vm-02", known, "10.0.0.2")
    with pytest.raises(Conflict) as twice:
        vms.add(portal, TEST, "vm-03", again, "10.0.0.3")
    assert twice.value.code == "vm_twice"
