"""People and an image for unit tests."""

from __future__ import annotations

from datetime import UTC, date, datetime
from typing import Any

from portal import db, images
from portal.context import Portal
from portal.core.catalog import Image
from portal.core.models import Gpu, GpuState, Release, Vm, VmState
from portal.core.people import CommandLine, Identity, Role, User
from portal.images import Candidate
from portal.images.report import Finding, Report, Scanner, apply_policy
from portal.scheduling import placement
from portal.scheduling.placement import VmCapacity

DIGEST = "sha256:" + "a" * 64
REFERENCE = f"registry:5000/ml-cpu@{DIGEST}"
SSH_KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJ2aGBWmjvNfJMSxyKGYMcnEVZbTkrZxK4J3ZIpIvnVt"
TEST = CommandLine("test")
"""Who does what a test only sets up."""
PACKAGES = {"numpy": "2.4.6", "deb:openssl": "3.0.19"}


def image(name: str = "ml-cpu", **changes: Any) -> Image:
    """A description as image.yaml would hold it."""
    values: dict[str, Any] = {
        "name": name,
        "title": "Machine learning (CPU)",
        "purpose": "Notebooks.",
        "version": "1.0.0",
        "released": date(2026, 1, 1),
        "end_of_life": date(2027, 1, 1),
        "maintainers": ["Mei"],
        "gpu": False,
        "builds": [{"base": f"python:3.11-slim@{DIGEST}", "size_budget_mb": 900}],
        "ports": {8888: "JupyterLab"},
        "packages": {"numpy": "NumPy"},
        "example": "print(1)",
    }
    return Image.model_validate({**values, **changes})


CATALOG = {"ml-cpu": image()}


def report(at: datetime, *findings: Finding, image: str = "ml-cpu") -> Report:
    """A judged report with these findings."""
    scanner = Scanner(name="a scanner", version="1", data_date=at)
    unjudged = Report(image=image, scanned_at=at, scanners=(scanner,), findings=findings)
    return apply_policy(unjudged, (), allow_standins=False)


def candidate(portal: Portal, number: int = 0, image: str = "ml-cpu", **changes: Any) -> Candidate:
    """What publishing would have made: number 0 is REFERENCE."""
    letter = "abcdef"[number]
    values: dict[str, Any] = {
        "image": image,
        "version": f"1.{number}.0",
        "reference": f"registry:5000/{image}@sha256:{letter * 64}",
        "size_bytes": 10**9,
        "download_bytes": 3 * 10**8,
        "standin": False,
        "created_at": datetime(2026, 1, 1, tzinfo=UTC),
        "packages": PACKAGES,
        "report": report(portal.now(), image=image),
    }
    return Candidate(**{**values, **changes})


def approved(portal: Portal, number: int = 0, image: str = "ml-cpu", **changes: Any) -> Release:
    """A release, published by one and approved by another."""
    made = images.register(
        portal, CommandLine("publisher"), candidate(portal, number, image, **changes)
    )
    return images.approve(portal, CURATOR, made.id)


def identity(edipi: str = "1234567890", name: str = "Jane Q Doe") -> Identity:
    """What a certificate of a person would prove."""
    return Identity(
        f"edipi:{edipi}",
        f"X.{edipi}",
        name,
        edipi,
        None,
        edipi.rjust(64, "f"),
        datetime(2027, 1, 1, tzinfo=UTC),
    )


ONE, OTHER = (f"CN={name} Root CA,O=Example\\, Inc.,C=US" for name in ("One", "Other"))
"""Two root authorities, by name."""


def actions(portal: Portal, subject: str) -> list[str]:
    """What the audit trail says was done about a user, in order."""
    with portal.database.reading() as tx:
        return [event.action for event in db.audit.events(tx, f"user:{subject}")]


JANE = identity()
JOHN = identity("2345678901", "John A Roe")


CURATOR = User(
    999, "edipi:0000000001", "A Curator", Role.CURATOR, 554, "", datetime(2026, 1, 1, tzinfo=UTC)
)
"""Somebody who decides and is nobody's neighbour."""
SEEN = datetime(2026, 1, 1, tzinfo=UTC)


def vm(number: int, memory_gb: float = 64, **changes: Any) -> Vm:
    values: dict[str, Any] = {
        "id": number,
        "name": f"vm-{number:02}",
        "engine_url": "unix:///x",
        "address": "10.0.0.1",
        "owner_id": None,
        "pool": "shared",
        "state": VmState.ACTIVE,
        "reachable": True,
        "error": None,
        "cpus": 16,
        "memory_gb": memory_gb,
        "driver": "535.104.05",
        "cuda": "12.2",
        "gpu_access": "nvidia",
        "gpu_problem": None,
        "last_seen_at": SEEN,
    }
    return Vm(**{**values, **changes})


def gpu(
    vm_id: int,
    index: int,
    model: str = "A100",
    parent: str | None = None,
    state: GpuState = GpuState.OK,
) -> Gpu:
    return Gpu(f"GPU-{vm_id}-{index}", vm_id, index, model, parent, state, None, 40, 0, 0, 40)


def capacity(
    number: int = 1, gpus: int = 4, leased: int = 0, held_gb: float = 0, **changes: Any
) -> VmCapacity:
    cards = [gpu(number, index) for index in range(gpus)]
    return placement.capacity_of(
        vm(number, **changes), cards, {c.uuid for c in cards[:leased]}, held_gb
    )
