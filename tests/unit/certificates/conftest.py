"""An authority, a person of it, and a folder for revocation lists."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pki
import pytest
from certificates import revocation
from certificates.revocation import RevocationLists
from cryptography import x509
from support.lists import bundle

JANE = ("DOE.JANE.Q.1234567890", "1234567890@mil")


@pytest.fixture(scope="module")
def authority() -> pki.Authority:
    return pki.Authority("Test")


@pytest.fixture(scope="module")
def jane(authority: pki.Authority) -> x509.Certificate:
    return authority.person(*JANE).certificate


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    made = tmp_path / "crls"
    made.mkdir()
    return made


@pytest.fixture
def put(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """A file into the folder; whoever looks sees it now, not after REREAD_S."""
    monkeypatch.setattr(revocation, "REREAD_S", 0.0)

    def write(content: bytes, name: str = "people.crl") -> None:
        (folder / name).write_bytes(content)

    return write


@pytest.fixture
def strict(folder: Path, authority: pki.Authority) -> RevocationLists:
    return RevocationLists(folder, bundle(authority), revocation.STRICT)


@pytest.fixture
def soft(folder: Path, authority: pki.Authority) -> RevocationLists:
    return RevocationLists(folder, bundle(authority), revocation.SOFT)
