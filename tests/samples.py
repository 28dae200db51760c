"""People and an image for unit tests."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from portal import placement
from portal.catalog import Image
from portal.models import Gpu, GpuState, Identity, Vm, VmState
from portal.placement import Room

DIGEST = "sha256:" + "a" * 64
REFERENCE = f"registry:5000/ml-cpu@{DIGEST}"
CATALOG = {"ml-cpu": Image("ml-cpu", "Machine learning (CPU)", "Notebooks.", False, ("NumPy 2.4",))}


def identity(edipi: str = "1234567890", name: str = "Jane Q Doe") -> Identity:
    """What a certificate of a person would prove."""
    return Identity(f"edipi:{edipi}", f"X.{edipi}", name, edipi, None, "f" * 64, datetime(2027, 1, 1, tzinfo=UTC))


JANE = identity()
JOHN = identity("2345678901", "John A Roe")


SEEN = datetime(2026, 1, 1, tzinfo=UTC)


def vm(number: int, memory_gb: float = 64, **changes: Any) -> Vm:
    values: dict[str, Any] = {
        "id": number, "name": f"vm-{number:02}", "engine_url": "unix:///x", "address": "10.0.0.1", "owner_id": None,
        "pool": "shared", "state": VmState.ACTIVE, "reachable": True, "error": None, "cpus": 16,
        "memory_gb": memory_gb, "driver": "535.104.05", "cuda": "12.2", "gpu_access": "nvidia", "gpu_problem": None,
        "last_seen_at": SEEN,
    }  # fmt: skip
    return Vm(**{**values, **changes})


def gpu(vm_id: int, index: int, model: str = "A100", parent: str | None = None, state: GpuState = GpuState.OK) -> Gpu:
    return Gpu(f"GPU-{vm_id}-{index}", vm_id, index, model, parent, state, None, 40, 0, 0, 40)


def room(number: int = 1, gpus: int = 4, leased: int = 0, held_gb: float = 0, **changes: Any) -> Room:
    cards = [gpu(number, index) for index in range(gpus)]
    return placement.room_of(vm(number, **changes), cards, {c.uuid for c in cards[:leased]}, held_gb)
