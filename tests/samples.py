"""People and an image for unit tests."""

from __future__ import annotations

from datetime import UTC, datetime

from portal.catalog import Image
from portal.models import Identity

DIGEST = "sha256:" + "a" * 64
REFERENCE = f"registry:5000/ml-cpu@{DIGEST}"
CATALOG = {"ml-cpu": Image("ml-cpu", "Machine learning (CPU)", "Notebooks.", False, ("NumPy 2.4",))}


def identity(edipi: str = "1234567890", name: str = "Jane Q Doe") -> Identity:
    """What a certificate of a person would prove."""
    return Identity(f"edipi:{edipi}", f"X.{edipi}", name, edipi, None, "f" * 64, datetime(2027, 1, 1, tzinfo=UTC))


JANE = identity()
JOHN = identity("2345678901", "John A Roe")
