"""Where a deployment's services are: web addresses and the SSH command."""

from __future__ import annotations

import shlex

from portal.core import ports
from portal.core.models import Deployment
from portal.core.people import User
from portal.core.settings import Settings
from portal.deployments import names
from portal.users import ssh_keys

SSH_USER = "scientist"


def urls(deployment: Deployment, settings: Settings) -> dict[str, str]:
    """Where its services open in a browser; empty while it holds no ports."""
    if deployment.slot is None:
        return {}
    return {
        service.name.lower(): url(settings, deployment.owner, deployment.slot, service)
        for service in ports.THROUGH_GATEWAY
    }


def url(settings: Settings, owner: User, slot: int, service: ports.Service) -> str:
    """Where a service in a slot of somebody who has ports opens in a browser."""
    if settings.has_names:
        name = names.of_service(owner.subject, slot, service)
        return settings.origin(f"{name}.{settings.apps_domain}") + "/"
    return f"https://{host_of(settings, owner)}:{ports.port_of(owner.own_range, slot, service)}/"


def host_of(settings: Settings, owner: User) -> str:
    """The gateway's address that somebody's ports are at; the portal's own where it has gone."""
    address = ports.address_of(owner.own_range)
    return settings.hosts[address] if address < len(settings.hosts) else settings.public_host


def of_person(settings: Settings, user: User) -> str:
    """Where everything of somebody is who has ports, for administrators to read."""
    if settings.has_names:
        return f"{names.of_user(user.subject)}-….{settings.apps_domain}"
    span = ports.range_of(user.own_range)
    at = f" at {host_of(settings, user)}" if ports.address_of(user.own_range) else ""
    return f"{span[0]}-{span[-1]}{at}"


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
