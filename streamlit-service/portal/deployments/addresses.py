"""Where a deployment's services are: web addresses and the SSH command."""

from __future__ import annotations

from portal.core import ports
from portal.core.models import Deployment
from portal.core.settings import Settings

SSH_USER = "scientist"


def urls(deployment: Deployment, settings: Settings) -> dict[str, str]:
    """Where its services open in a browser; empty while it holds no ports."""
    if deployment.slot is None:
        return {}
    numbers = ports.slot_ports(deployment.owner.own_range, deployment.slot)
    return {
        service.name.lower(): f"https://{settings.public_host}:{port}/"
        for service, port in numbers.items()
    }


def ssh_command(deployment: Deployment) -> str:
    """How to connect by SSH; "" while it cannot be."""
    if not deployment.ssh or deployment.slot is None or deployment.vm is None:
        return ""
    port = ports.port_of(deployment.owner.own_range, deployment.slot, ports.Service.SSH)
    return f"ssh -p {port} {SSH_USER}@{deployment.vm.address}"
