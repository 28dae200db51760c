"""Settings, read and validated once at start. Every variable begins with PORTAL_."""

from __future__ import annotations

import re
from functools import cached_property
from pathlib import Path
from typing import Literal

from pydantic import Field, model_validator
from pydantic_settings import SettingsConfigDict

from portal.core import sizes
from portal.core.access_settings import AccessSettings
from portal.core.ports import BROWSERS_REFUSE, FIRST_PORT, LAST_PORT, RANGE_SIZE
from portal.core.registry_address import RegistryAddress

HTTPS = 443
_LABEL = r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?"
_HOST = re.compile(rf"(?=.{{1,253}}$){_LABEL}(\.{_LABEL})*")
"""Source: RFC 1123, section 2.1."""
BRIGHT = 150_000
"""Of at most 255,000: black can be read on what is brighter."""
MAX_AMOUNT = 1e6
"""Of seconds, days or GB."""


class Settings(AccessSettings):
    """The portal's settings, with their defaults: a variable that is empty counts as not set.

    Secrets are files, so that they show in no process list.
    """

    model_config = SettingsConfigDict(
        env_prefix="PORTAL_", extra="ignore", frozen=True, env_ignore_empty=True
    )

    # Where people reach the portal.
    public_host: str = "localhost"
    public_port: int = Field(8443, ge=1, le=LAST_PORT)
    user_ports: str = Field(
        "10000-10999",
        pattern=r"^[1-9][0-9]{0,4}-[1-9][0-9]{0,4}$",
        description="what the gateway listens on",
    )
    more_hosts: str = Field(
        "", description="further gateway addresses, separated by commas, 555 people each"
    )
    addressing: Literal["ports", "names"] = Field(
        "ports", description="what tells containers apart in addresses"
    )
    apps_domain: str = Field(
        "", description="with names: containers are at NAME.DOMAIN, e.g. apps.example.mil"
    )
    environment: str = Field("production", description="shown in the header, e.g. demo")
    organisation: str = ""
    classification: str = Field(
        "",
        pattern=r"^[A-Za-z0-9 /,.()-]{0,60}$",
        description="above and below every page, refusals too, e.g. UNCLASSIFIED; empty: none",
    )
    classification_colour: str = Field(
        "#007a33", pattern=r"^#[0-9A-Fa-f]{6}$", description="behind it"
    )
    help_contact: str = "your portal administrator"

    # Records.
    database_url: str = "sqlite:////var/lib/portal/portal.db"
    database_password_file: Path | None = Field(
        None, description="PostgreSQL's, so that the URL holds none"
    )
    images_dir: Path = Field(
        Path("/etc/portal/images"), description="a folder for each image, with its image.yaml"
    )
    guides_dir: Path = Field(
        Path("/etc/portal/guides"), description="the guides that the portal shows: *.md"
    )

    proxy_secret_file: Path = Path("/run/secrets/proxy_secret")

    # Worker.
    probe_image: str = Field(
        "container-portal:dev",
        description="any image with a shell, to ask this machine's own engine for its GPUs",
    )
    worker_url: str = "http://worker:9000"
    registry_host: str = Field(
        "", description="host[:port] of the registry, as the VMs' engines reach it"
    )
    registry_prefix: str = Field(
        "", pattern=r"^([a-z0-9._/-]*[a-z0-9])?$", description="before image names, e.g. your-org"
    )
    registry_endpoint: str = Field(
        "", description="host[:port] as the portal's services reach it; empty: registry_host"
    )
    registry_local_host: str = Field(
        "", description="host[:port] as this machine's engine does; empty: registry_host"
    )
    registry_ca_file: Path | None = Field(
        None, description="the registry's authority; empty: the system's"
    )
    registry_username: str = ""
    registry_password_file: Path | None = None
    registry_timeout_s: float = Field(
        10, gt=0, description="deadline of one question to the registry"
    )
    ssh_key_file: Path | None = None
    ssh_known_hosts_file: Path | None = None
    engine_timeout_s: int = Field(10, gt=0, description="deadline of one engine call")
    pull_timeout_s: float = Field(1800, gt=0, description="deadline of a whole pull")
    ready_timeout_s: float = Field(90, gt=0, description="until Jupyter must answer after start")
    lock_ttl_s: float = Field(
        12, gt=10, le=50, description="a claim lasts so long without being renewed"
    )
    observe_interval_s: float = Field(3, gt=0, le=20, description="between probes of every VM")
    restart_after_vm_restart: bool = Field(
        True, description="what ran starts again when its VM, or the engine there, was restarted"
    )

    egress: Literal["open", "proxy", "none"] = Field(
        "open", description="where containers may go, as VMs are set up"
    )
    egress_proxy: str = Field("", description="address:port, for egress=proxy")

    # Which releases may run.
    signature_key_file: Path | None = Field(
        None, description="cosign's public key; without it nothing runs"
    )
    signature_ttl_s: float = Field(
        600, gt=0, description="a verified signature is remembered this long"
    )
    scan_max_age_days: float = Field(
        30, gt=0, description="a release whose scan is older does not start"
    )
    allow_standins: bool = Field(
        False, description="for demonstrations: stand-in bases and made-up advisories may pass"
    )
    approval_by_another: bool = Field(
        True, description="nobody approves what they published themselves"
    )
    prepull: bool = Field(True, description="download approved releases to VMs ahead")
    images_interval_s: float = Field(30, gt=0, description="between probes of a VM's images")
    proof_interval_s: float = Field(
        3600,
        ge=0,
        description="between measurements of what containers reach on each VM; 0: none",
    )
    prepull_at_once: int = Field(2, ge=1, description="VMs that download ahead at the same time")

    # Publishing, for the publisher alone.
    signing_key_file: Path | None = Field(None, description="cosign's private key")
    signing_password_file: Path | None = None
    scan_data_max_age_days: float = Field(
        7, gt=0, description="a scanner whose data is older has no say"
    )
    advisories: Path | None = Field(
        None, description="OSV advisories of Python packages: a zip file or a folder"
    )
    security_archive: str = Field(
        "", description="mirror of the distribution's security archive; empty: its own"
    )
    build_certs_dir: Path | None = Field(
        None, description="*.crt of a TLS-inspecting proxy, for builds"
    )
    publish_dir: Path = Path("/var/lib/portal/publish")

    health_interval_s: float = Field(
        30, gt=0, le=100, description="between probes of a VM's firewall, disk and clock"
    )
    gpu_interval_s: float = Field(5, gt=0, description="between probes of a VM's GPUs")

    # What one person may hold in all, where no quota says otherwise.
    max_deployments: int = Field(10, ge=1, le=10)
    max_gpus: int = Field(2, ge=0)
    max_memory_gb: float = Field(32, gt=0)
    max_cpus: float = Field(16, gt=0)
    sizes: str = Field(
        sizes.USUAL,
        description="what an order offers by name: GB and CPUs; of a group after `; group:`",
    )
    container_pids: int = Field(2048, ge=64)
    scratch_gb: float = Field(
        50, gt=0, description="for /tmp of one container, where a VM's disk can bound it"
    )

    @model_validator(mode="after")
    def _known_database(self) -> Settings:
        if not self.database_url.startswith(("sqlite:", "postgresql+psycopg:")):
            raise ValueError("PORTAL_DATABASE_URL must begin with sqlite: or postgresql+psycopg:")
        return self

    @model_validator(mode="after")
    def _amounts(self) -> Settings:
        """What no clock and no disk can hold."""
        for name, value in self:
            if isinstance(value, float) and not value <= MAX_AMOUNT:
                raise ValueError(f"PORTAL_{name.upper()}: {value:g} is more than {MAX_AMOUNT:g}")
        return self

    @model_validator(mode="after")
    def _sizes_that_are_some(self) -> Settings:
        try:
            sizes.parse(self.sizes)
        except ValueError as error:
            raise ValueError(f"PORTAL_SIZES: {error}. For example: {sizes.EXAMPLE}") from error
        return self

    @model_validator(mode="after")
    def _hosts_as_browsers_send_them(self) -> Settings:
        for name, host in [("PUBLIC", self.hosts[0]), *(("MORE", each) for each in self.hosts[1:])]:
            if not _HOST.fullmatch(host):
                raise ValueError(
                    f"PORTAL_{name}_HOST{'S' * (name == 'MORE')}: {host!r} is not a host name: use"
                    " lower case, ASCII letters only (umlauts as xn--…), no scheme, port, path or"
                    " dot at the end; or an IPv4 address"
                )
        if len(set(self.hosts)) < len(self.hosts):
            raise ValueError("PORTAL_MORE_HOSTS: names each address once, not PORTAL_PUBLIC_HOST")
        return self

    @model_validator(mode="after")
    def _names_of_a_domain(self) -> Settings:
        domain = self.apps_domain
        if not self.has_names:
            return self
        if not domain or not _HOST.fullmatch(domain) or domain.replace(".", "").isdecimal():
            raise ValueError(
                f"PORTAL_APPS_DOMAIN: {domain!r} is no domain; PORTAL_ADDRESSING=names needs one"
                " whose names all lead here, for example apps.example.mil"
            )
        if any(f".{host}".endswith(f".{domain}") for host in self.hosts):
            raise ValueError(
                f"PORTAL_APPS_DOMAIN: the portal's own name may not be below {domain}: it would"
                " be one of a container's"
            )
        return self

    @model_validator(mode="after")
    def _port_for_browsers(self) -> Settings:
        if self.public_port in BROWSERS_REFUSE:
            raise ValueError(f"PORTAL_PUBLIC_PORT: browsers refuse port {self.public_port}")
        return self

    @model_validator(mode="after")
    def _ports_of_users(self) -> Settings:
        span = self.served_ports
        whole = (each for each in range(FIRST_PORT, LAST_PORT, RANGE_SIZE) if each in span)
        first = next(whole, LAST_PORT)
        if not span or span[-1] > LAST_PORT or first + RANGE_SIZE - 1 not in span:
            raise ValueError(
                f"PORTAL_USER_PORTS: {self.user_ports} holds no person's ports: {RANGE_SIZE} from"
                f" {FIRST_PORT} on, or from a multiple of {RANGE_SIZE} above, up to {LAST_PORT}"
            )
        if self.public_port in span:
            raise ValueError(
                f"PORTAL_PUBLIC_PORT: {self.public_port} is one of PORTAL_USER_PORTS,"
                f" {self.user_ports}"
            )
        return self

    @property
    def public_origin(self) -> str:
        """The Origin that browsers send from the portal's own pages (RFC 6454: no default port)."""
        return self.origin(self.public_host)

    @property
    def classification_ink(self) -> str:
        """Black or white, whichever can be read on it (W3C, AERT 2.2), as entrypoint.sh has it."""
        red, green, blue = bytes.fromhex(self.classification_colour.removeprefix("#"))
        return "#000000" if red * 299 + green * 587 + blue * 114 > BRIGHT else "#ffffff"

    @property
    def hosts(self) -> list[str]:
        """The gateway's addresses, the portal's own name first."""
        more = (host.strip() for host in self.more_hosts.split(","))
        return [self.public_host, *filter(None, more)]

    @property
    def origins(self) -> list[str]:
        """Of the portal's pages, at each address."""
        return [self.origin(host) for host in self.hosts]

    @property
    def has_names(self) -> bool:
        """Whether containers have names of their own instead of ports."""
        return self.addressing == "names"

    def origin(self, host: str) -> str:
        """What browsers send as Origin from the public port of a host (RFC 6454)."""
        return f"https://{host}" + (f":{self.public_port}" if self.public_port != HTTPS else "")

    @property
    def served_ports(self) -> range:
        """The users' ports that the gateway listens on."""
        first, last = self.user_ports.split("-")
        return range(int(first), int(last) + 1)

    @cached_property
    def database_password(self) -> str | None:
        """PostgreSQL's; None where the URL needs none."""
        return _read_secret(self.database_password_file) if self.database_password_file else None

    @cached_property
    def proxy_secret(self) -> str:
        """What only nginx knows; a request without it did not come through nginx."""
        return _read_secret(self.proxy_secret_file)

    @property
    def registry(self) -> RegistryAddress:
        """The registry that releases come from."""
        host, password_file = self.registry_host, self.registry_password_file
        return RegistryAddress(
            host=host,
            service_host=self.registry_endpoint or host,
            local_host=self.registry_local_host or host,
            prefix=self.registry_prefix,
            username=self.registry_username,
            read_password=lambda: _read_secret(password_file) if password_file else "",
        )


def _read_secret(path: Path) -> str:
    secret = path.read_text(encoding="utf-8").strip()
    if not secret:
        raise ValueError(f"the secret in {path} is empty")
    return secret
