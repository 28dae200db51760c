"""Settings of who may come in: identity, revocation, roles, sessions. Part of Settings."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import Field, model_validator
from pydantic_settings import BaseSettings

from portal.core import subjects
from portal.core.ports import LAST_PORT
from portal.core.subjects import Listed


class AccessSettings(BaseSettings):
    """As Settings, whose base this is."""

    client_ca_file: Path = Path("/run/secrets/client_ca")
    certificate_policies: str = Field(
        "", description="allowed policy OIDs, comma separated; empty: any"
    )
    service_policies: str = Field(
        "",
        description="policy OIDs that make a certificate a program's, comma separated; empty: none",
    )
    identity: str = Field(
        "cac,upn,piv",
        pattern=r"^ *(cac|upn|piv|mail)( *, *(cac|upn|piv|mail))* *$",
        description="what a certificate calls its holder by: cac, upn, piv or mail; the first that"
        " fits, in this order",
    )
    realms: str = Field(
        "",
        description="common names of roots that vouch for the same people, separated by commas;"
        " the next such list after a semicolon",
    )
    revocation: Literal["off", "soft", "strict"] = Field(
        "off", description="do revocation lists count, and must they"
    )
    crl_dir: Path = Field(Path("/etc/portal/crls"), description="revocation lists: *.crl, *.pem")
    crl_urls: str = Field("", description="where admin.py crl fetch gets them, separated by spaces")
    ocsp: str = Field(
        "",
        description="an OCSP responder's address, or `certificate` for those that certificates"
        " name, besides the lists; empty: none",
        pattern=r"^(certificate|https?://\S+)?$",
    )
    ocsp_timeout_s: float = Field(3, gt=0, le=30, description="deadline of one question to it")
    admins: str = Field(
        "",
        description="EDIPIs or UPNs of administrators, while they are listed, separated by commas;"
        " where several roots are accepted, each with `of` and a root's common name",
    )
    curators: str = Field("", description="image curators, likewise")
    ssh_port: int = Field(2222, ge=1, le=LAST_PORT, description="of the SSH door, for people")
    ssh_host_key_file: Path = Field(
        Path("/var/lib/portal-ssh/host_key"), description="the SSH door's; made where there is none"
    )
    ssh_host_public_file: Path = Field(
        Path("/var/lib/portal-ssh-public/host_key.pub"), description="its public half, for pages"
    )
    consent_file: Path | None = Field(
        None, description="a text that people accept before anything else; empty: none"
    )
    consent_hours: float = Field(
        8, gt=0, le=24 * 30, description="it is shown again after so long without use"
    )
    admins_read_logs: bool = Field(
        False, description="administrators may read the logs of other people's containers"
    )
    offload_to: str = Field(
        "", description="the collector's name and RELP port, with TLS: log.corp.example:2514"
    )
    audit_days: int = Field(
        0,
        ge=0,
        le=36500,
        description="events of the audit trail older than this are removed; 0: none",
    )
    audit_key_file: Path = Field(
        Path("/var/lib/portal-audit/key.pem"),
        description="signs the audit trail's checkpoints and exports; made where there is none",
    )
    idle_minutes: int = Field(
        15, ge=0, le=1440, description="pages that nobody touches for so long close; 0: never"
    )
    idle_admin_minutes: int = Field(10, ge=0, le=1440, description="of administrators")
    dormant_days: int = Field(
        90, ge=0, le=3650, description="an account that was not used for so long is locked; 0: none"
    )

    def realm_of(self, root: str) -> str:
        """One name for all roots (RFC 4514) that vouch for the same people."""
        joined = self.joined(subjects.common_name(root))
        return joined[0] if len(joined) > 1 else root

    def joined(self, name: str) -> list[str]:
        """Common names, folded, of the roots that vouch for the same people as the one of a name.

        Its own first where PORTAL_REALMS joins it with none.
        """
        realms = (realm for realm in subjects.realms(self.realms) if name in realm)
        return next(realms, [name])

    @property
    def crl_addresses(self) -> list[str]:
        """Addresses of revocation lists."""
        return self.crl_urls.split()

    @property
    def listed_admins(self) -> tuple[Listed, ...]:
        """Administrators, as PORTAL_ADMINS names them."""
        return subjects.listed(self.admins)

    @property
    def listed_curators(self) -> tuple[Listed, ...]:
        """Image curators, as PORTAL_CURATORS names them."""
        return subjects.listed(self.curators)

    @model_validator(mode="after")
    def _asks_responders_where_revocation_counts(self) -> AccessSettings:
        if self.ocsp and self.revocation == "off":
            raise ValueError(
                "PORTAL_OCSP asks nobody while PORTAL_REVOCATION is off: set it to soft or strict"
            )
        return self

    @property
    def profiles(self) -> tuple[str, ...]:
        """What a certificate calls its holder by, the first that fits."""
        return tuple(word.strip() for word in self.identity.split(","))

    @property
    def policy_oids(self) -> frozenset[str]:
        """Certificate policies of which a certificate must carry at least one; empty: any."""
        people = _words(self.certificate_policies)
        return people | self.service_policy_oids if people else people

    @property
    def service_policy_oids(self) -> frozenset[str]:
        """Certificate policies that make a certificate a program's."""
        return _words(self.service_policies)


def _words(text: str) -> frozenset[str]:
    return frozenset(word.strip() for word in text.split(",") if word.strip())
