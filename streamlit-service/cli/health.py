"""Command line: what is wrong, seen from inside; health-check.sh adds what only the host sees."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Annotated

import bootstrap
import typer
from certificates import chain, revocation
from certificates.chain import is_root
from certificates.crl import RevocationList
from portal import db, users
from portal.core.errors import DatabaseTrouble, PortalError
from portal.core.settings import Settings
from portal.monitoring import health
from portal.monitoring.health import Status

SHOW = "docker compose exec api python3 admin.py crl list"
FETCH = "docker compose run --rm crls python3 admin.py crl fetch"
LATE = 0.9
"""Of a list's time: after this it should long have been replaced."""
RANK = {"critical": 0, "warning": 1, "ok": 2}


def check(
    lines: Annotated[
        bool, typer.Option("--lines", help="tab separated, for health-check.sh")
    ] = False,
    deploy: Annotated[str | None, typer.Option(help="also verify this VM with a container")] = None,
) -> None:
    """Every finding as JSON, the worst first.

    Exits with 0 whatever it finds: the findings are the answer.
    """
    findings = sorted(_all(deploy), key=lambda finding: RANK[finding.state])
    if lines:
        for finding in findings:
            typer.echo(
                "\t".join(
                    str(value).replace("\t", " ").replace("\n", " ")
                    for value in vars(finding).values()
                )
            )
    else:
        typer.echo(json.dumps([vars(finding) for finding in findings], indent=2))


def _all(deploy: str | None) -> list[Status]:
    config = bootstrap.settings()
    findings: list[Status] = []
    try:
        findings += health.of_records(bootstrap.portal(config))
    except (db.DatabaseError, DatabaseTrouble) as error:
        known = error if isinstance(error, DatabaseTrouble) else None
        message = known.message if known else "The database cannot be used."
        cause = known.cause if known else str(error).splitlines()[0]
        findings.append(
            Status(
                "critical",
                "database",
                "database",
                f"{message} {cause}",
                "docker compose ps postgres; docker compose logs postgres",
                "database-away",
            )
        )
    findings += [*doubtful_entries(config), *revocation_of(config)]
    if config.registry_password_file:
        findings.append(_registry())
    if deploy:
        findings += _verification(deploy)
    return findings


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


def _registry() -> Status:
    try:
        bootstrap.ping_registry(bootstrap.settings())
    except PortalError as error:
        return Status(
            "critical",
            "registry",
            "registry",
            f"{error.message} {error.cause}".strip(),
            "docker compose ps registry; docker compose logs registry",
            "registry-away",
        )
    return Status("ok", "registry", "registry", "The registry answers and accepts the password.")


def _verification(vm: str) -> list[Status]:
    try:
        checks = list(bootstrap.worker_client(bootstrap.settings()).verify_vm(vm))
    except PortalError as error:
        return [Status("critical", "deploy", vm, error.message, error.hint, "vm-new")]
    states = {"failed": "critical"}
    return [
        Status(
            states.get(check["state"], check["state"]),
            "deploy",
            vm,
            check["message"],
            check["hint"],
            "vm-new",
        )
        for check in checks
    ]
