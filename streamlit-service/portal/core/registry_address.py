"""One registry, under each of the names by which somebody reaches it, and who may log in to it.

On one machine (a demonstration) the VMs' engines, the portal's services and the machine's own
engine each need another name for it; everywhere else the three are one.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True)
class RegistryAddress:
    """host[:port] as VMs' engines, as the services and as this machine's engine reach it."""

    host: str
    """As VMs' engines do: references that are recorded begin with it."""
    service_host: str
    local_host: str
    prefix: str
    """Before image names, e.g. your-org."""
    username: str
    read_password: Callable[[], str]

    @property
    def hosts(self) -> frozenset[str]:
        """Every name that a login may be sent to."""
        return frozenset({self.host, self.service_host, self.local_host} - {""})

    def repository(self, image: str, host: str | None = None) -> str:
        """host/prefix/image, by default as engines name it."""
        return "/".join(part for part in (host or self.host, self.prefix, image) if part)

    def for_services(self, reference: str) -> str:
        """A recorded reference as the portal's services reach it."""
        return self._at(self.service_host, reference)

    def for_local_engine(self, reference: str) -> str:
        """A recorded reference as this machine's own engine reaches it."""
        return self._at(self.local_host, reference)

    def recorded(self, name: str) -> str:
        """A name that this machine's engine uses, as it is recorded."""
        if name.startswith(f"{self.local_host}/"):
            return self.host + name.removeprefix(self.local_host)
        return name

    def _at(self, host: str, reference: str) -> str:
        if self.host and reference.startswith(f"{self.host}/"):
            return host + reference.removeprefix(self.host)
        return reference

    def login(self, host: str) -> tuple[str, str] | None:
        """(name, password) for a host: they only ever go to the registry they belong to."""
        if not self.username or host not in self.hosts:
            return None
        return self.username, self.read_password()

    def docker_login(self, reference: str) -> dict[str, str] | None:
        """As login(), of a reference's host, in the Docker API's form."""
        pair = self.login(reference.partition("/")[0])
        return {"username": pair[0], "password": pair[1]} if pair else None
