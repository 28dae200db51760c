"""The signature that a release keeps as evidence is of its digest, name and version, by our key."""

from __future__ import annotations

import base64
import json
from pathlib import Path
from typing import Any

import pytest
from certificates.signing import SigningKey
from portal import db
from portal.context import Portal
from portal.core.models import Release
from registry import signature


class Signatures:
    """What a registry has of a release."""

    def __init__(self, *found: tuple[bytes, str]) -> None:
        self.found = found

    def signatures_of(self, _: str) -> list[tuple[bytes, str]]:
        return list(self.found)


@pytest.fixture
def release(portal: Portal) -> Release:
    with portal.database.reading() as tx:
        return db.releases.approved(tx)["ml-cpu"]


@pytest.fixture
def signer(tmp_path: Path) -> SigningKey:
    return SigningKey(tmp_path / "cosign.key")


@pytest.fixture
def public(tmp_path: Path, signer: SigningKey) -> Path:
    path = tmp_path / "cosign.pub"
    path.write_text(signer.public)
    return path


def signed(signer: SigningKey, release: Release, **named: str) -> tuple[bytes, str]:
    names = {"image": release.image, "version": release.version, "digest": release.digest} | named
    payload = json.dumps(
        {
            "critical": {"image": {"docker-manifest-digest": names.pop("digest")}},
            "optional": names,
        }
    )
    return payload.encode(), signer(payload).signature


def found(public: Path, release: Release, *there: tuple[bytes, str]) -> Any:
    return signature.find(Signatures(*there), public, release)  # type: ignore[arg-type]


def test_ours_is_found_among_others(
    signer: SigningKey, public: Path, release: Release, tmp_path: Path
) -> None:
    ours = signed(signer, release)
    others = (
        signed(signer, release, version="0.9"),
        signed(signer, release, image="gpu-jupyter"),
        signed(signer, release, digest="sha256:" + "0" * 64),
        signed(SigningKey(tmp_path / "other.key"), release),
        (ours[0], "no base64"),
        (b"no json", base64.b64encode(b"x").decode()),
        (b"[" * 20_000, ""),
    )
    assert found(public, release, *others) is None
    kept = found(public, release, *others, ours)
    assert (kept.payload.encode(), kept.signature, kept.key) == (*ours, signer.public.strip())
