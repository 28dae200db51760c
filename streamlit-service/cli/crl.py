"""Command line: the authorities' revocation lists: what is there, and fetching new ones."""

from __future__ import annotations

import hashlib
import os
import tempfile
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated
from urllib.parse import urlsplit

import bootstrap
import httpx2
import typer
from certificates import revocation
from certificates.crl import RevocationList, read, split
from portal.core.settings import Settings

from cli.common import HOUR_S

DEADLINE_S = 60.0
MAX_BYTES = 200 * 2**20
RETRY_S = 300.0

app = typer.Typer(no_args_is_help=True, help="Certificate revocation lists.")


@app.command("list")
def show() -> None:
    """Show each list in use (expiry, number revoked, authority); then unusable ones, and why."""
    config = bootstrap.settings()
    held = revocation.load(config.crl_dir, bootstrap.client_authorities(config))
    now = datetime.now(UTC)
    for crl in held.lists:
        state = "valid until" if crl.next_update > now else "expired on"
        typer.echo(
            f"{state:11} {crl.next_update:%Y-%m-%d %H:%M} UTC  {crl.revoked:7} revoked  "
            f"{crl.issuer.rfc4514_string()}  ({crl.file})"
        )
    for name, why in held.unusable:
        typer.echo(f"unusable {name}: {why}")
    if not held.lists:
        typer.echo(f"No list is in {config.crl_dir}.")


@app.command("fetch")
def fetch(
    every_hours: Annotated[
        float, typer.Option(min=0, help="keep running, fetch every so many hours; 0: once")
    ] = 0,
) -> None:
    """Download the lists of PORTAL_CRL_URLS into the folder.

    A list that cannot be verified does not replace the existing one.
    """
    config = bootstrap.settings()
    while True:
        failed = sum(not _one(config, url) for url in config.crl_addresses)
        if not config.crl_addresses:
            typer.echo("PORTAL_CRL_URLS is empty: nothing to fetch.", err=True)
        if not every_hours:
            raise typer.Exit(1 if failed or not config.crl_addresses else 0)
        time.sleep(min(RETRY_S, every_hours * HOUR_S) if failed else every_hours * HOUR_S)


def _one(config: Settings, url: str) -> bool:
    try:
        content = _download(url)
        lists = _lists(url, content, config)
        until, made = min(each.next_update for each in lists), min(e.this_update for e in lists)
        if until < datetime.now(UTC):
            raise ValueError("it has already expired")
        target = config.crl_dir / file_name(url)
        if (made_at := _made_at(target, config)) and made < made_at:
            raise ValueError(f"it is older ({made:%Y-%m-%d %H:%M}) than the one that is there")
        _replace(target, content)
    except (httpx2.HTTPError, httpx2.InvalidURL, ValueError, OSError) as error:
        typer.echo(f"{url}: {error}; the existing list is kept.", err=True)
        return False
    revoked = sum(each.revoked for each in lists)
    typer.echo(f"{url}: {revoked} revoked, valid until {until:%Y-%m-%d %H:%M} UTC.")
    return True


def _lists(name: str, content: bytes, config: Settings) -> list[RevocationList]:
    authorities = bootstrap.client_authorities(config)
    return [read(name, each, authorities) for each in split(content)]


def _made_at(path: Path, config: Settings) -> datetime | None:
    """When the present list was issued: somebody in between could send an older one."""
    try:
        return min(each.this_update for each in _lists(path.name, path.read_bytes(), config))
    except (OSError, ValueError):
        return None


def _download(url: str) -> bytes:
    """The body. Lists are signed, so plain http is as good as https, and the rule (RFC 5280, 8)."""
    deadline, body = time.monotonic() + DEADLINE_S, bytearray()
    with httpx2.stream("GET", url, timeout=10, follow_redirects=True) as answer:
        answer.raise_for_status()
        for part in answer.iter_bytes():
            body += part
            if len(body) > MAX_BYTES or time.monotonic() > deadline:
                raise ValueError(
                    f"it is larger than {MAX_BYTES >> 20} MB or takes longer than"
                    f" {DEADLINE_S:.0f} s"
                )
    return bytes(body)


def file_name(url: str) -> str:
    """A readable name that two addresses never share."""
    stem = Path(urlsplit(url).path).stem or "list"
    return f"{stem}-{hashlib.sha256(url.encode()).hexdigest()[:8]}.crl"


def _replace(path: Path, content: bytes) -> None:
    """The whole new list or the whole old one, whoever looks and whenever the power goes."""
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=".new-")
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        Path(temporary).chmod(0o644)
        Path(temporary).replace(path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise
