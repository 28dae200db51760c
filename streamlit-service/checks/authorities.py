"""Who may come in at all: authorities, their revocation lists, and who the settings name."""

from __future__ import annotations

import time
from collections.abc import Iterator
from datetime import UTC, datetime

import bootstrap
from certificates import chain, revocation
from certificates.chain import is_root
from certificates.crl import RevocationList
from portal import users
from portal.core.health import Status
from portal.core.settings import Settings

SHOW = "docker compose exec api python3 admin.py crl list"
FETCH = "docker compose run --rm crls python3 admin.py crl fetch"
ANEW_EVERY_S = 600.0
LATE = 0.9
"""Of a list's time: after this it should long have been replaced."""


class Kept:
    """What lists and settings tell, kept while no list comes or goes: large ones take seconds."""

    def __init__(self) -> None:
        self._stamp: object = None
        self._until = 0.0
        self._found: list[Status] = []

    def found(self, config: Settings) -> list[Status]:
        """All of this file's findings, from ANEW_EVERY_S ago at most."""
        stamp, now = _stamp(config), time.monotonic()
        if stamp != self._stamp or now >= self._until:
            self._found = [*doubtful_entries(config), *revocation_of(config)]
            self._stamp, self._until = stamp, now + ANEW_EVERY_S
        return self._found


def _stamp(config: Settings) -> object:
    try:
        return [(path.name, path.stat().st_mtime_ns) for path in sorted(config.crl_dir.iterdir())]
    except OSError:  # there is none, or it changes just now
        return None


def doubtful_entries(config: Settings) -> Iterator[Status]:
    """Entries of the settings that name nobody, or perhaps somebody else."""
    if not config.client_ca_file.is_file():
        return  # whoever asks is given no authorities
    _, unread = chain.authorities(config.client_ca_file.read_bytes())
    if unread:
        named = ", ".join(map(str, unread))
        yield Status(
            "warning",
            "certificates",
            "client_ca",
            f"Certificate {named} of secrets/client_ca cannot be read: nobody it issued a card to"
            " can sign in.",
            "openssl crl2pkcs7 -nocrl -certfile secrets/client_ca | openssl pkcs7 -print_certs",
            "certificates",
        )
    authorities = bootstrap.client_authorities(config)
    roots = {ca.subject.rfc4514_string() for ca in authorities if is_root(ca)}
    separate = chain.separate_roots(authorities)
    if len(separate) > 1 and not config.realms:
        yield Status(
            "warning",
            "realms",
            "client_ca",
            f"{len(separate)} root authorities are accepted that do not vouch for each other, and"
            " PORTAL_REALMS does not say whether they have the same people: who comes with a"
            " number that is known from another is refused.",
            "set PORTAL_REALMS in .env, and docker compose up -d",
            "doubtful-entry",
        )
    for entry, problem in users.doubtful(config, roots):
        yield Status(
            "warning",
            "role",
            entry,
            f"{entry!r} in PORTAL_ADMINS, PORTAL_CURATORS or PORTAL_REALMS {problem}.",
            "grep -E 'PORTAL_(ADMINS|CURATORS|REALMS)' .env",
            "doubtful-entry",
        )


def revocation_of(config: Settings) -> Iterator[Status]:
    """Whether each authority of users' certificates has a current revocation list."""
    if config.revocation == revocation.OFF:
        yield Status(
            "warning",
            "revocation",
            "people",
            "Revocation is off: a card that was revoked still opens the portal.",
            "set PORTAL_REVOCATION=strict in .env",
            "revocation",
        )
        return
    authorities = bootstrap.client_authorities(config)
    held, now = revocation.load(config.crl_dir, authorities), datetime.now(UTC)
    for name, why in held.unusable:
        yield Status(
            "warning",
            "revocation",
            name,
            f"The revocation list {name} is not used: {why}.",
            SHOW,
            "revocation",
        )
    for who, newest in revocation.by_authority(authorities, held).items():
        yield _freshness(who, newest, now, config.revocation)


def _freshness(who: str, newest: RevocationList | None, now: datetime, mode: str) -> Status:
    late = "critical" if mode == revocation.STRICT else "warning"
    consequence = (
        "its people cannot sign in" if mode == revocation.STRICT else "revoked cards still work"
    )
    if newest is None:
        return Status(
            late,
            "revocation",
            who,
            f"There is no revocation list for {who}: {consequence}.",
            FETCH,
            "revocation",
        )
    until = f"{newest.next_update:%Y-%m-%d %H:%M} UTC"
    if newest.next_update <= now:
        return Status(
            late,
            "revocation",
            who,
            f"The revocation list of {who} expired on {until}: {consequence}.",
            FETCH,
            "revocation",
        )
    if now - newest.this_update > (newest.next_update - newest.this_update) * LATE:
        return Status(
            "warning",
            "revocation",
            who,
            f"The revocation list of {who} is valid only until {until}; no newer one came.",
            FETCH,
            "revocation",
        )
    return Status("ok", "revocation", who, f"The revocation list of {who} is valid until {until}.")
