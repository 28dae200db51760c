"""People: what a card proves, who it belongs to, and who changes something."""

from __future__ import annotations

import enum
from dataclasses import dataclass
from datetime import datetime

from portal.core.subjects import OF_SERVICE


class Role(enum.StrEnum):
    """What a user is to the portal."""

    USER = "user"
    AUDITOR = "auditor"
    """Reads everything but what is inside of containers, and changes nothing."""
    CURATOR = "curator"
    ADMIN = "admin"


class Scope(enum.StrEnum):
    """What a service account may do: look at what users may see; have containers of its own."""

    READ = "read"
    DEPLOY = "deploy"


class Account(enum.StrEnum):
    """Whether somebody may come in. DORMANT: not seen for longer than the settings allow."""

    ACTIVE = "active"
    DISABLED = "disabled"
    DORMANT = "dormant"
    RETIRED = "retired"
    ENDED = "ended"
    """A service account whose end date has passed."""


@dataclass(frozen=True)
class Identity:
    """What a verified certificate proves.

    `subject` is the stable key: EDIPI, else UPN, else the UUID or FASC-N of a PIV card.
    """

    subject: str
    common_name: str
    display_name: str
    edipi: str | None
    upn: str | None
    fingerprint: str
    not_after: datetime
    not_before: datetime | None = None
    ssh_key: str = ""
    """The certificate's public key as OpenSSH writes it; "" where OpenSSH knows no such key."""
    pem: str = ""
    """The certificate itself."""
    serial: str = ""
    """The certificate's number, in hexadecimal digits."""
    issuer: str = ""
    """Name (RFC 4514) of the authority that issued it."""
    roots: frozenset[str] = frozenset()
    """Names (RFC 4514) of the roots that vouch for it."""


@dataclass(frozen=True)
class Origin:
    """Where a request came from, as the gateway says; "" where nobody says so."""

    address: str = ""
    request_id: str = ""


NOWHERE = Origin()
"""Of what came through no gateway."""


@dataclass(frozen=True)
class SshKey:
    """A public key that a user added for SSH, as OpenSSH writes it, without its comment."""

    name: str
    key: str
    fingerprint: str
    added_at: str


@dataclass(frozen=True)
class User:
    """A person the portal knows. `range_index` n gives ports 10000+100n … (see ports.py).

    It is given with the first container. `card_name` is what the newest card says, of those that
    signed in, and `named_at` when that was issued; `ssh_keys` are added by hand.
    """

    id: int
    subject: str
    display_name: str
    role: Role
    range_index: int | None
    group: str
    """The main one of their groups, which a deployment counts for unless its order says another."""
    created_at: datetime
    ssh_keys: tuple[SshKey, ...] = ()
    card_name: str = ""
    named_at: datetime | None = None
    retired_at: datetime | None = None
    retired_reason: str = ""
    root: str = ""
    """Name (RFC 4514) of the root that vouched for them first."""
    disabled_at: datetime | None = None
    disabled_reason: str = ""
    disabled_by: str = ""
    last_seen_at: datetime | None = None
    """Pages, API or notebook, to the hour; None from before this was kept."""
    sessions_ended_at: datetime | None = None
    """When all that was open was last ended: they signed out, or an administrator did it."""
    in_directory: bool = False
    """Whether the organisation's directory named them when it was last asked."""
    scopes: tuple[Scope, ...] = ()
    """Of a service account."""
    ends_at: datetime | None = None
    """Of a service account: from then on it may not come in."""
    groups: tuple[str, ...] = ()
    """All their groups, by name."""
    leads: tuple[str, ...] = ()
    """Those of them that they lead."""

    @property
    def is_service(self) -> bool:
        """Whether this is a program's account."""
        return self.subject.startswith(OF_SERVICE)

    @property
    def own_range(self) -> int:
        """The range of somebody who has one, as the owner of every container that runs."""
        assert self.range_index is not None, f"{self.subject} has no ports"
        return self.range_index


@dataclass(frozen=True)
class Certificate:
    """A certificate that a person signed in with. `not_after` None: from before they were kept.

    `subject` and `upn` are what it calls them, `root` one that vouched for it; "" where it was
    known before these were kept, and has not signed in since. `last_seen_at` to the hour.
    """

    fingerprint: str
    ssh_key: str
    pem: str
    not_after: datetime | None
    first_seen_at: datetime
    subject: str = ""
    upn: str = ""
    root: str = ""
    last_seen_at: datetime | None = None
    last_address: str = ""


@dataclass(frozen=True)
class Session:
    """A page (one tab) or an SSH connection that somebody has open. `way`: "page" or "ssh"."""

    id: str
    user_id: int
    way: str
    address: str
    began_at: datetime


@dataclass(frozen=True)
class CommandLine:
    """Somebody on the portal's own server, who has the database anyway: an administrator.

    `login` is the operating system's user.
    """

    login: str

    @property
    def subject(self) -> str:
        """As the audit trail names them."""
        return f"cli:{self.login}"


Actor = User | CommandLine
"""Whoever changes something."""
