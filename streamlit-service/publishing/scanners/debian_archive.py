"""Vulnerabilities by the distribution itself: what its security archive has newer.

Works wherever the archive can be mirrored. apt compares, outside the image, with the archive's
signature verified. The archive says which package to update, not how bad the flaw is: each counts
as high.
"""

from __future__ import annotations

import base64
import csv
import re
import subprocess
import tempfile
from datetime import UTC, date, datetime
from email.utils import parsedate_to_datetime
from pathlib import Path

from portal.core.errors import EngineError
from portal.core.settings import Settings
from portal.images.report import Finding, Kind, Scanner

from publishing.contents import Contents

DEADLINE_S = 120
ARCHIVES = {
    "debian": ("http://deb.debian.org/debian-security", "main"),
    "ubuntu": ("http://security.ubuntu.com/ubuntu", "main universe"),
}
DEBIAN_KEYRING = "/usr/share/keyrings/debian-archive-keyring.gpg"
DISTRIBUTIONS = Path("/usr/share/distro-info")
UPGRADABLE = re.compile(
    r"^(?P<name>[^/\s]+)/\S+ (?P<fixed>\S+) \S+ \[upgradable from: (?P<installed>[^\]]+)\]$",
    re.MULTILINE,
)


def scan(contents: Contents, settings: Settings) -> tuple[Scanner, list[Finding]]:
    """Raises EngineError when the archive gives no data: that is never a pass."""
    archives = ARCHIVES.get(contents.os_id)
    if archives is None or not contents.dpkg_status:
        raise EngineError(
            "no_scan_data",
            f"No security archive is known for {contents.os_id or 'this system'!r}.",
            "Install Trivy on the publisher: it knows more systems.",
        )
    archive, components = settings.security_archive or archives[0], archives[1]
    suite = f"{contents.os_codename}-security"
    with tempfile.TemporaryDirectory(prefix="archive-") as name:
        home = Path(name)
        (home / "lists" / "partial").mkdir(parents=True)
        (home / "cache" / "archives" / "partial").mkdir(parents=True)
        (home / "status").write_text(contents.dpkg_status)
        keyring = DEBIAN_KEYRING
        if contents.ubuntu_keyring:
            keyring = str(home / "ubuntu.gpg")
            (home / "ubuntu.gpg").write_bytes(base64.b64decode(contents.ubuntu_keyring))
        (home / "sources").write_text(f"deb [signed-by={keyring}] {archive} {suite} {components}\n")
        _apt(home, "apt-get", "-o", "APT::Update::Error-Mode=any", "-qq", "update")
        dated = _data_date(home / "lists")
        listed = _apt(home, "apt", "list", "--upgradable")
    findings = [
        Finding(
            kind=Kind.VULNERABILITY,
            id=f"{suite}:{upgrade['name']}",
            subject=upgrade["name"],
            installed=upgrade["installed"],
            fixed=upgrade["fixed"],
            text=(
                f"{upgrade['name']} {upgrade['installed']} has a security update in {suite}:"
                f" {upgrade['fixed']}"
            ),
        )
        for upgrade in UPGRADABLE.finditer(listed)
    ]
    archive = f"{contents.os_id} security archive"
    return Scanner(name=archive, version=suite, data_date=dated), findings


def end_of_life(contents: Contents, today: date) -> list[Finding]:
    """Whether the distribution still gets security updates (distro-info-data; LTS counts)."""
    path = DISTRIBUTIONS / f"{contents.os_id}.csv"
    if not path.exists():
        raise EngineError(
            "no_scan_data",
            f"Nothing is known about the life of {contents.os_id!r}.",
            "Install distro-info-data on the publisher.",
        )
    with path.open(encoding="utf-8") as file:
        row = next(
            (row for row in csv.DictReader(file) if row["series"] == contents.os_codename), None
        )
    if row is None:
        raise EngineError(
            "no_scan_data",
            f"{contents.os_codename!r} is not a known release of {contents.os_id}.",
            "Update distro-info-data on the publisher.",
        )
    end = row.get("eol-lts") or row.get("eol-server") or row.get("eol") or ""
    if not end or date.fromisoformat(end) >= today:
        return []
    name = f"{contents.os_id} {contents.os_codename}"
    return [
        Finding(
            kind=Kind.END_OF_LIFE,
            id="end-of-life",
            subject=name,
            text=f"{name} has had no security updates since {end}",
        )
    ]


def _apt(home: Path, *command: str) -> str:
    options = {
        "Dir::State": home,
        "Dir::State::lists": home / "lists",
        "Dir::State::status": home / "status",
        "Dir::Cache": home / "cache",
        "Dir::Etc::sourcelist": home / "sources",
        "Dir::Etc::sourceparts": "-",
        "Debug::NoLocking": "true",
        "APT::Architecture": "amd64",
        "APT::Sandbox::User": "",
    }
    words = [word for key, value in options.items() for word in ("-o", f"{key}={value}")]
    try:
        done = subprocess.run(
            [command[0], *words, *command[1:]],
            capture_output=True,
            text=True,
            timeout=DEADLINE_S,
            check=False,
            env={"LC_ALL": "C", "PATH": "/usr/bin:/bin"},
        )
    except (subprocess.TimeoutExpired, FileNotFoundError) as error:
        raise _no_data(str(error)) from error
    if done.returncode:
        raise _no_data(done.stderr)
    return done.stdout


def _data_date(lists: Path) -> datetime:
    for path in lists.glob("*Release"):
        text = path.read_text(encoding="utf-8", errors="replace")
        dated = re.search(r"^Date: (.+)$", text, re.MULTILINE)
        if dated:
            return parsedate_to_datetime(dated[1]).replace(tzinfo=UTC)
    raise _no_data("no Release file")


def _no_data(cause: str) -> EngineError:
    return EngineError(
        "no_scan_data",
        f"The security archive gives no data: {cause.strip()[-200:]}",
        "Check the network, or set PORTAL_SECURITY_ARCHIVE to a mirror.",
        cause,
    )
