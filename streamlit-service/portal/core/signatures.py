"""Signatures of the audit trail: pure values, and the texts that are signed."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

CHECKPOINT, EXPORT = "container-portal-checkpoint-1", "container-portal-audit-2"


@dataclass(frozen=True)
class Signed:
    """A signature (base64) and the public key (PEM) that verifies it."""

    signature: str
    key: str


@dataclass(frozen=True)
class Vouched:
    """What was signed of a release (cosign's payload), its signature (base64), the key (PEM)."""

    payload: str
    signature: str
    key: str


Sign = Callable[[str], Signed]


def checkpoint(origin: str, seq: int, hash_: str) -> str:
    """That the chain had this hash at this number."""
    return f"{CHECKPOINT} {origin} {seq} {hash_}\n"


def export(origin: str, last: int, hash_: str, body: str) -> str:
    """That an export of this SHA-256 (all but its last line) ends with this event."""
    return f"{EXPORT} {origin} {last} {hash_} {body}\n"
