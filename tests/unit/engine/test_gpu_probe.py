"""nvidia-smi in the words of real machines, and what portal-gate lets the portal's key do."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest
from engine import gpu_probe
from support.paths import ROOT

H200 = Path(__file__).parent / "nvidia_smi_h200"
"""NVIDIA H200, driver 580.159.04, MIG off: word for word, alone and with a program at work."""
GATE = ROOT / "scripts" / "vm" / "portal-gate.sh"
A, B = "GPU-5c2a8f5e-1111-2222-3333-444455556666", "GPU-9d1b7c4d-aaaa-bbbb-cccc-ddddeeeeffff"


def said(
    query: str,
    listing: str = "",
    *,
    toolkit: str = "/usr/bin/nvidia-container-runtime-hook",
    cdi: str = "",
    pci: str = "2",
    code: int = 0,
    listed: int = 0,
) -> str:
    """Output of portal-gate."""
    return (
        f"== pci\n{pci}\n== toolkit\n{toolkit}\n== cdi\n{cdi}\n== query\n{query}\n== exit {code}\n"
        f"== list\n{listing}\n== listed {listed}\n== cuda\nCUDA Version: 12.2\n"
    )


def row(
    index: int,
    uuid: str,
    used: str = "1024",
    busy: str = "37",
    temperature: str = "54",
    mig: str = "[N/A]",
) -> str:
    return (
        f"{index}, {uuid}, NVIDIA A100-SXM4-40GB, 40960, {used}, "
        f"{busy}, {temperature}, 535.104.05, {mig}"
    )


def test_a_real_h200_alone_and_at_work() -> None:
    at_rest = (H200 / "gate.txt").read_text()
    report = gpu_probe.parse(at_rest, cdi_engine=True)
    (gpu,) = report.gpus
    assert (report.driver, report.cuda, report.problem) == ("580.159.04", "13.0", "no_toolkit")
    assert (gpu.model, round(gpu.memory_gb, 1)) == ("NVIDIA H200", 140.4)
    assert (gpu.memory_used_gb, gpu.utilisation, gpu.temperature) == (0, 0, 36)
    idle, busy = (
        next(line for line in text.splitlines() if line.startswith("0, GPU-"))
        for text in (at_rest, (H200 / "busy.txt").read_text())
    )
    (gpu,) = gpu_probe.parse(at_rest.replace(idle, busy), cdi_engine=True).gpus
    assert (round(gpu.memory_used_gb or 0, 1), gpu.utilisation, gpu.temperature) == (8.5, 98, 42)


def test_gpus_are_read_with_their_driver() -> None:
    report = gpu_probe.parse(said(f"{row(0, A)}\n{row(1, B)}"), cdi_engine=False)
    assert (report.driver, report.cuda, report.access, report.problem) == (
        "535.104.05",
        "12.2",
        "nvidia",
        None,
    )
    first = report.gpus[0]
    assert (first.uuid, first.index, first.model) == (A, 0, "NVIDIA A100-SXM4-40GB")
    assert (first.memory_gb, first.memory_used_gb, first.utilisation, first.temperature) == (
        40,
        1,
        37,
        54,
    )


@pytest.mark.parametrize("nothing", ["[N/A]", "N/A", "[Not Supported]"])
def test_values_that_a_gpu_does_not_tell_are_unknown_one_by_one(nothing: str) -> None:
    [gpu] = gpu_probe.parse(
        said(row(0, A, used=nothing, busy=nothing, temperature=nothing)), cdi_engine=False
    ).gpus
    assert (gpu.memory_gb, gpu.memory_used_gb, gpu.utilisation, gpu.temperature) == (
        40,
        None,
        None,
        None,
    )
    assert gpu.problem is None


@pytest.mark.parametrize("name", ["MIG-7a1f", "MIG-GPU-9d1b7c4d-aaaa-bbbb-cccc-ddddeeeeffff/7/0"])
def test_in_mig_mode_the_instances_are_handed_out_and_the_gpu_is_not(name: str) -> None:
    listing = (
        f"GPU 0: NVIDIA A100-SXM4-40GB (UUID: {A})\nGPU 1: NVIDIA A100-SXM4-40GB (UUID: {B})\n"
        f"  MIG 1g.5gb      Device  0: (UUID: {name})\n"
        "  MIG 2g.10gb     Device  1: (UUID: MIG-8b)\n"
    )
    report = gpu_probe.parse(
        said(f"{row(0, A)}\n{row(1, B, busy='[N/A]', mig='Enabled')}", listing), cdi_engine=False
    )
    assert [(g.uuid, g.parent, g.memory_gb) for g in report.gpus] == [
        (A, None, 40),
        (name, B, 5),
        ("MIG-8b", B, 10),
    ]
    assert report.gpus[1].model == "NVIDIA A100-SXM4-40GB MIG 1g.5gb"


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        (said("", pci="0", code=127), None),
        (said("timeout: failed to run command 'nvidia-smi'", pci="1", code=127), "no_driver"),
        (said("No devices were found", pci="1", code=6), "driver_broken"),
        (
            said('Field "mig.mode.current" is not a valid field to query.', pci="1", code=2),
            "driver_broken",
        ),
        (
            said("NVIDIA-SMI has failed because it couldn't talk to the NVIDIA driver.", code=9),
            "driver_broken",
        ),
        (said("Failed to initialize NVML: Unknown Error", code=255), "driver_broken"),
        (
            said(
                "Unable to determine the device handle for GPU0000:41:00.0: Unknown Error", code=255
            ),
            "driver_broken",
        ),
        (said(row(0, A), toolkit=""), "no_toolkit"),
        (said(row(0, A), toolkit="", cdi="nvidia.yaml"), "no_toolkit"),
        ("", None),
    ],
    ids=[
        "no gpu",
        "no driver",
        "no GPU comes up",
        "driver from before MIG",
        "driver broken",
        "NVML broken",
        "the only GPU lost",
        "no toolkit",
        "CDI specs, engine too old",
        "silent",
    ],
)
def test_what_is_missing_is_told_apart(text: str, problem: str | None) -> None:
    assert gpu_probe.parse(text, cdi_engine=False).problem == problem


def test_cdi_is_used_where_the_engine_can_and_the_hook_is_not_there() -> None:
    report = gpu_probe.parse(said(row(0, A), toolkit="", cdi="nvidia.yaml"), cdi_engine=True)
    assert (report.access, report.problem) == ("cdi", None)


@pytest.mark.parametrize(
    "text",
    [
        said("", code=124),
        said(row(0, A), code=143),
        said("", code=139),
        said(row(0, A, mig="Enabled"), listing=""),
        said(row(0, A, mig="Enabled"), listing=f"GPU 0: A100 (UUID: {A})", listed=124),
    ],
    ids=["timed out", "ended by a signal", "crashed", "MIG on, and no list", "half a list"],
)
def test_a_look_that_was_cut_short_says_nothing(text: str) -> None:
    with pytest.raises(gpu_probe.Incomplete):
        gpu_probe.parse(text, cdi_engine=True)


def test_a_gpu_that_is_lost_hides_no_other() -> None:
    text = said(
        f"{row(0, A)}\nUnable to determine the device handle for GPU 0000:3B:00.0: GPU is lost",
        code=15,
    )
    assert [gpu.uuid for gpu in gpu_probe.parse(text, cdi_engine=False).gpus] == [A]


@pytest.mark.parametrize(
    "field",
    ["[Unknown Error]", "[GPU requires reset]", "[GPU is lost]", "ERR!", "[Something new of 2027]"],
)
def test_a_gpu_with_errors_is_unhealthy(field: str) -> None:
    for name in ("used", "busy", "temperature", "mig"):
        report = gpu_probe.parse(said(row(0, A, **{name: field})), cdi_engine=False)
        assert [gpu.problem for gpu in report.gpus] == ["gpu_error"], name


@pytest.mark.parametrize("amount", ["nan", "inf", "-inf"])
def test_what_is_no_amount_is_none(amount: str) -> None:
    changed = dict.fromkeys(("used", "busy", "temperature"), amount)
    [gpu] = gpu_probe.parse(said(row(0, A, **changed)), cdi_engine=False).gpus
    assert (gpu.memory_used_gb, gpu.utilisation, gpu.temperature) == (None, None, None)


@pytest.mark.parametrize(
    "field", ["[N/A]", "N/A", "[Not Supported]", "[Insufficient Permissions]", "[Not Available]"]
)
def test_a_field_that_a_gpu_lacks_is_no_error(field: str) -> None:
    (gpu,) = gpu_probe.parse(said(row(0, A, busy=field, mig=field)), cdi_engine=False).gpus
    assert (gpu.problem, gpu.utilisation) == (None, None)


@pytest.mark.parametrize(
    "command", ["sh", "portal-gate gpu-probe; id", "portal-gate", "nvidia-smi --gpu-reset", ""]
)
def test_the_gate_runs_nothing_but_the_probe(command: str) -> None:
    done = subprocess.run(
        ["sh", str(GATE)],
        env={"SSH_ORIGINAL_COMMAND": command or " "},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stdout, done.stderr) == (126, "", "portal-gate: refused\n")


def test_the_gate_answers_on_a_machine_without_gpus() -> None:
    done = subprocess.run(
        ["sh", str(GATE)],
        env={"SSH_ORIGINAL_COMMAND": gpu_probe.COMMAND},
        capture_output=True,
        text=True,
        check=True,
    )
    assert gpu_probe.parse(done.stdout, cdi_engine=True).gpus == ()


def test_an_engine_that_lists_its_cdi_devices_is_believed() -> None:
    text = said(f"{row(0, A)}\n{row(1, B)}", toolkit="", cdi="nvidia.yaml")
    some = gpu_probe.parse(
        text, cdi_engine=True, cdi_devices={f"nvidia.com/gpu={A}", "nvidia.com/gpu=all"}
    )
    assert (some.access, [gpu.problem for gpu in some.gpus]) == ("cdi", [None, "not_in_cdi"])
    none = gpu_probe.parse(text, cdi_engine=True, cdi_devices={"vendor.com/net=0"})
    assert (none.access, none.problem) == (None, "no_toolkit")
