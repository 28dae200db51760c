"""The GPUs of a VM over SSH: what portal-gate on it says."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from portal.core.engine import GpuReport

from engine import errors as engine_errors
from engine import gpu_probe
from engine.ssh_tunnel import SshTunnel, TunnelError

TIMEOUT_S = 30.0  # nvidia-smi takes seconds where the driver is not kept loaded


def report(tunnel: SshTunnel, vm: str, engine: Mapping[str, Any]) -> GpuReport:
    """What it reports; `engine` is the engine's own answer to info. Raises EngineError."""
    # Engine 28 and newer: [{"Source": "cdi", "ID": …}].
    listed = engine.get("DiscoveredDevices")
    names = (
        None
        if listed is None
        else {str(device.get("ID")) for device in listed if device.get("Source") == "cdi"}
    )
    try:
        output = tunnel.run(gpu_probe.COMMAND, TIMEOUT_S)
        if not output:
            return GpuReport(problem="no_gate")
        return gpu_probe.parse(
            output, cdi_engine=bool(engine.get("CDISpecDirs")), cdi_devices=names
        )
    except (TunnelError, gpu_probe.Incomplete) as error:
        raise engine_errors.unreachable(vm, f"{gpu_probe.COMMAND}: {error}") from error
