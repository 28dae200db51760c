"""What is inside a built image: file modes, secrets in any layer, distribution, configuration."""

from __future__ import annotations

import base64
import json
import re
import tarfile
from collections.abc import Mapping
from pathlib import Path
from typing import IO, Any

from portal.images.report import Finding, Kind
from pydantic import BaseModel

from publishing.workspace import Workspace

SETUID = 0o6000
LARGEST_TEXT = 512 * 1024
"""Secrets are text; what is larger is data."""
OS_RELEASE = ("etc/os-release", "usr/lib/os-release")
DPKG_STATUS = "var/lib/dpkg/status"
UBUNTU_KEYRING = "usr/share/keyrings/ubuntu-archive-keyring.gpg"
WHITEOUT, OPAQUE = ".wh.", ".wh..wh..opq"
SECRETS = {
    "private-key": re.compile(
        rb"-----BEGIN (?:[A-Z0-9]+ )*PRIVATE KEY-----\s+[A-Za-z0-9+/=\s]{64,}"
    ),
    "aws-access-key": re.compile(rb"A(?:KIA(?<!\wAKIA)|SIA(?<!\wASIA))[0-9A-Z]{16}\b"),
    "github-token": re.compile(rb"gh(?<!\wgh)[pousr]_[A-Za-z0-9]{36}\b"),
    "slack-token": re.compile(rb"xox(?<!\wxox)[baprs]-[0-9A-Za-z-]{20,}\b"),
    "password-in-address": re.compile(
        rb"http(?<!\whttp)s?://[A-Za-z0-9._%-]{1,64}:[^\s/@'\"$<>{}]{6,64}@[a-z0-9.-]+\.[a-z]{2,}"
    ),
}
"""Each begins with letters, and the look behind says that a word begins there: \\b first would
keep re from searching for the letters, and take twenty times as long.
"""
LIBRARY = re.compile(r"/(site|dist)-packages/|^usr/(lib|share)/(perl|python|doc/|man/)")
IN_EXAMPLES = {"password-in-address"}
"""Libraries' own documentation shows addresses with passwords; those are no secrets."""
SECRET_FILES = re.compile(
    r"(^|/)(\.netrc|\.pypirc|\.git-credentials|\.docker/config\.json|id_rsa|id_ed25519|id_ecdsa)$"
)
SECRET_NAME = re.compile(r"(PASSWORD|PASSWD|SECRET|API_?KEY|ACCESS_KEY|TOKEN)$", re.IGNORECASE)
OCI = "org.opencontainers.image"
NEEDED_LABELS = ("title", "description", "version", "revision", "created", "licenses", "source")


class Contents(BaseModel):
    """The result of reading an image."""

    findings: tuple[Finding, ...]
    os_id: str
    os_codename: str
    os_version: str
    dpkg_status: str
    """Text of the final dpkg status file; "" where there is none."""
    ubuntu_keyring: str = ""
    """Base64 of Ubuntu's archive keys, which Debian does not package."""


def save(workspace: Workspace) -> Path:
    """The image as `docker save` writes it, for this module and for syft. The caller deletes it."""
    path = workspace.work / "image.tar"
    with path.open("wb") as file:
        for chunk in workspace.engine.api.get_image(workspace.local):
            file.write(chunk)
    return path


def read(archive: Path) -> Contents:
    """Read every layer: a secret that a later layer deleted is still in the image."""
    modes: dict[str, int] = {}
    texts: dict[str, str] = {}
    secrets: dict[tuple[str, str], Finding] = {}
    with tarfile.open(archive) as tar:
        for layer in _layers(tar):
            with tarfile.open(fileobj=layer, mode="r:*") as files:
                for member in files:
                    _member(files, member, modes, texts, secrets)
    setuid = [
        Finding(
            kind=Kind.SETUID, id="setuid", subject=f"/{path}", text=f"/{path} raises privileges"
        )
        for path, mode in sorted(modes.items())
        if mode & SETUID
    ]
    os_release = next((texts[path] for path in OS_RELEASE if texts.get(path)), "")
    release = dict(re.findall(r'^(\w+)="?([^"\n]*)"?$', os_release, re.MULTILINE))
    return Contents(
        findings=(*secrets.values(), *setuid),
        os_id=release.get("ID", ""),
        os_codename=release.get("VERSION_CODENAME", ""),
        os_version=release.get("VERSION_ID", ""),
        dpkg_status=texts.get(DPKG_STATUS, ""),
        ubuntu_keyring=texts.get(UBUNTU_KEYRING, ""),
    )


def _layers(tar: tarfile.TarFile) -> list[IO[bytes]]:
    manifest = tar.extractfile("manifest.json")
    assert manifest is not None
    layers = [tar.extractfile(name) for name in json.load(manifest)[0]["Layers"]]
    return [layer for layer in layers if layer is not None]


def _member(
    files: tarfile.TarFile,
    member: tarfile.TarInfo,
    modes: dict[str, int],
    texts: dict[str, str],
    secrets: dict[tuple[str, str], Finding],
) -> None:
    path = member.name.removeprefix("./").removeprefix("/")
    folder, _, base = path.rpartition("/")
    if base.startswith(WHITEOUT):
        gone = folder if base == OPAQUE else f"{folder}/{base.removeprefix(WHITEOUT)}".lstrip("/")
        for known in [mode for mode in modes if mode == gone or mode.startswith(f"{gone}/")]:
            del modes[known]
        return
    if member.isfile():
        modes[path] = member.mode
    elif member.islnk():  # another name of a file of this layer
        modes[path] = modes.get(member.linkname.removeprefix("./"), 0)
    if not member.isfile() or (member.size > LARGEST_TEXT and path != DPKG_STATUS):
        return
    body = files.extractfile(member)
    content = body.read() if body is not None else b""
    if path in OS_RELEASE or path == DPKG_STATUS:
        texts[path] = content.decode(errors="replace")
    if path == UBUNTU_KEYRING:
        texts[path] = base64.b64encode(content).decode()
    for rule in _rules_of(path, content):
        secrets[rule, path] = Finding(
            kind=Kind.SECRET,
            id=rule,
            subject=f"/{path}",
            text=f"/{path} holds what looks like a secret ({rule})",
        )


def _rules_of(path: str, content: bytes) -> list[str]:
    if b"\0" in content[:1024]:
        return []
    names = [
        name
        for name, pattern in SECRETS.items()
        if pattern.search(content) and not (name in IN_EXAMPLES and LIBRARY.search(path))
    ]
    return [*names, "secret-file"] if SECRET_FILES.search(path) and content.strip() else names


def _examine_labels(workspace: Workspace, labels: Mapping[str, str]) -> list[Finding]:
    findings = []
    for name in NEEDED_LABELS:
        key = f"{OCI}.{name}"
        if not labels.get(key):
            findings.append(
                Finding(
                    kind=Kind.LABEL,
                    id=f"label-{name}",
                    subject=key,
                    text=f"the label {key} is missing",
                )
            )
    for key, value in (
        ("org.container-portal.image", workspace.image.name),
        (f"{OCI}.title", workspace.image.name),
        (f"{OCI}.version", workspace.version),
    ):
        reported = key.startswith(OCI) and key not in labels  # missing: above
        if labels.get(key) != value and not reported:
            findings.append(
                Finding(
                    kind=Kind.LABEL,
                    id="label-differs",
                    subject=key,
                    text=f"the label {key} is {labels.get(key)!r}, not {value!r}",
                )
            )
    return findings


def examine(workspace: Workspace, config: dict[str, Any], size_bytes: int) -> list[Finding]:
    """What the image's configuration says: its user, labels, variables, size and base."""
    labels = config.get("Labels") or {}
    findings = _examine_labels(workspace, labels)
    variables = dict(variable.partition("=")[::2] for variable in config.get("Env") or [])
    if str(config.get("User") or "0").partition(":")[0] in ("0", "root"):
        findings.append(Finding(kind=Kind.ROOT_USER, id="root-user", text="it runs as root"))
    cuda, wanted = variables.get("CUDA_VERSION", ""), workspace.build.cuda or workspace.image.cuda
    if not cuda.startswith(wanted):
        findings.append(
            Finding(
                kind=Kind.LABEL,
                id="cuda-differs",
                subject="CUDA_VERSION",
                text=f"its base has CUDA {cuda or 'none'}, image.yaml says {wanted}",
            )
        )
    budget = workspace.build.size_budget_mb
    if size_bytes > budget * 10**6:
        findings.append(
            Finding(
                kind=Kind.SIZE,
                id="over-budget",
                text=f"{size_bytes / 1e6:.0f} MB is over {budget} MB",
            )
        )
    if labels.get("org.container-portal.standin") == "true":
        findings.append(
            Finding(kind=Kind.STANDIN_BASE, id="standin-base", text="its base is a stand-in")
        )
    for name, value in variables.items():
        if value and SECRET_NAME.search(name):
            findings.append(
                Finding(
                    kind=Kind.SECRET,
                    id="secret-in-environment",
                    subject=name,
                    text=f"the variable {name} is set in the image",
                )
            )
    return findings
