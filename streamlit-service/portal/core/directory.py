"""The organisation's directory: who is in which group, and who has left."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from pydantic import Field, model_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

FILE, STARTTLS, TLS = "file:", "ldap://", "ldaps://"


class DirectorySettings(BaseSettings):
    """How the directory is asked, by the worker alone. Variables begin with PORTAL_DIRECTORY_."""

    model_config = SettingsConfigDict(
        env_prefix="PORTAL_DIRECTORY_", extra="ignore", frozen=True, env_ignore_empty=True
    )

    url: str = Field(
        "",
        description="ldaps://…, or ldap://… (StartTLS is demanded), several separated by spaces;"
        " or file:/path of a CSV file; empty: none",
    )
    user: str = Field("", description="the distinguished name that the worker binds as")
    password_file: Path | None = None
    ca_file: Path | None = Field(None, description="the directory's authority; empty: the system's")
    base: str = Field("", description="under which people are")
    filter: str = Field(
        "(objectClass=person)", description="what people are; who left must not fit it"
    )
    names: str = Field(
        "edipi=employeeNumber,upn=userPrincipalName,mail=mail",
        pattern=r"^(edipi|upn|mail)=[A-Za-z0-9-]+(,(edipi|upn|mail)=[A-Za-z0-9-]+)*$",
        description="in which attribute each kind of a person's names is",
    )
    group_base: str = Field("", description="under which groups are")
    groups: str = Field("gpu-*", description="which of them count, by their cn; * stands for any")
    timeout_s: float = Field(5, gt=0, le=60, description="deadline of one question")
    interval_s: float = Field(900, ge=5, le=43_200, description="between looks at all people")
    stops: bool = Field(
        default=False, description="whether the containers of who left are stopped, too"
    )

    @property
    def file(self) -> Path | None:
        """The CSV file, where the directory is one."""
        return Path(self.url.removeprefix(FILE)) if self.url.startswith(FILE) else None

    @property
    def servers(self) -> list[str]:
        """Addresses of LDAP servers, the first that answers is asked."""
        return [] if self.file else self.url.split()

    @property
    def attributes(self) -> dict[str, str]:
        """Attributes by the kind of name."""
        return dict(each.split("=") for each in self.names.split(","))

    @model_validator(mode="after")
    def _complete(self) -> DirectorySettings:
        if bad := [each for each in self.servers if not each.startswith((STARTTLS, TLS))]:
            raise ValueError(
                f"PORTAL_DIRECTORY_URL: {bad[0]!r} is neither ldaps://…, ldap://… nor file:/…"
            )
        if self.file and not self.file.is_absolute():
            raise ValueError("PORTAL_DIRECTORY_URL: a file begins with file:/")
        missing = [name for name in ("base", "group_base") if not getattr(self, name)]
        if self.servers and missing:
            raise ValueError(f"PORTAL_DIRECTORY_{missing[0].upper()} is needed with an LDAP server")
        return self


class DirectoryTrouble(Exception):
    """The directory cannot be asked, or what it says cannot be used; the text says why."""


@dataclass(frozen=True)
class Listing:
    """What the directory says of a person. `leads` None: it does not say who leads."""

    groups: frozenset[str]
    leads: frozenset[str] | None = None


class Directory(Protocol):
    """The organisation's record of its people."""

    tells_who_left: bool
    """Whether somebody who was in it and is no more has left the organisation."""

    def look_up(self, people: Mapping[int, Collection[str]]) -> dict[int, Listing | None]:
        """What it says of people, by their ids; `people`: every subject that each is known by.

        None for somebody whose names fit several; who is not in it is left out. DirectoryTrouble
        where it cannot be asked: then nobody has left.
        """
        ...
