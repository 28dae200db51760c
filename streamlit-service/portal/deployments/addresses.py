"""Where a deployment's services are: web addresses and the SSH command."""

from __future__ import annotations

import shlex

from portal.core import ports
from portal.core.models import Deployment
from portal.core.settings import Settings
from portal.users import ssh_keys

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


def ssh_command(deployment: Deployment, settings: Settings) -> str:
    """How to connect by SSH, through the door; "" while it cannot be."""
    if not deployment.ssh or deployment.slot is None or deployment.vm is None:
        return ""
    door = f"{deployment.owner.subject}@{settings.public_host}:{settings.ssh_port}"
    return f"ssh -J {shlex.quote(door)} {SSH_USER}@{deployment.name}"


def door_fingerprint(settings: Settings) -> str:
    """Of the SSH door's host key, for people to compare; "" before the door has made it."""
    try:
        public = settings.ssh_host_public_file.read_text()
    except OSError:
        return ""
    return ssh_keys.fingerprint(" ".join(public.split()[:2]))
