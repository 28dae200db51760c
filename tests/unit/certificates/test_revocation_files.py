"""Files that hold several revocation lists, and authorities that share a name."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pki
import pytest
from certificates import revocation
from certificates.chain import certification_paths
from certificates.revocation import Card, RevocationLists
from cryptography import x509
from cryptography.hazmat.primitives import serialization
from portal.core.errors import NotAuthenticated
from support.lists import a_list, bundle


@pytest.mark.parametrize("name", ["all.pem", "ALL.CRL"])
def test_every_list_of_a_file_counts(
    folder: Path, authority: pki.Authority, put: Callable[..., None], name: str
) -> None:
    other = pki.Authority("Other")
    gone = other.person("ROE.JOHN.2345678901", None).certificate
    whole = [*bundle(authority), *bundle(other)]
    put(b"Of both:\n" + pem(a_list(authority)) + pem(a_list(other, revoked=(gone,))), name)
    held = revocation.load(folder, whole)
    assert ({crl.issuer for crl in held.lists}, held.unusable) == (
        {authority.issuing.certificate.subject, other.issuing.certificate.subject},
        (),
    )
    card = Card(certification_paths(gone, whole, frozenset(), datetime.now(UTC)))
    with pytest.raises(NotAuthenticated) as out:
        RevocationLists(folder, whole, revocation.SOFT).check(card)
    assert out.value.code == "revoked"
    put(pem(a_list(authority)) + pem(a_list(pki.Authority("Third"))), name)
    held = revocation.load(folder, whole)
    assert len(held.lists) == 1
    assert "no accepted authority" in held.unusable[0][1]


def test_a_list_from_the_future_is_not_read_again_at_every_look(
    folder: Path,
    authority: pki.Authority,
    put: Callable[..., None],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    put(authority.revocation_list(starts=timedelta(hours=1)))
    monkeypatch.setattr(revocation, "REREAD_S", 0.0)
    read: list[Path] = []
    really = revocation._read

    def count(path: Path, whole: Sequence[x509.Certificate]) -> object:
        read.append(path)
        return really(path, whole)

    monkeypatch.setattr(revocation, "_read", count)
    lists = RevocationLists(folder, bundle(authority), revocation.STRICT)
    for _ in range(5):
        assert lists.held().lists == ()
    assert len(read) == 1
    monkeypatch.setattr(revocation, "FUTURE_AGAIN_S", 0.0)
    lists.held()
    assert len(read) == len(["at first", "when it may count by then"])


def pem(der: bytes) -> bytes:
    if der.startswith(b"-----"):
        return der
    return x509.load_der_x509_crl(der).public_bytes(serialization.Encoding.PEM)


def test_of_two_keys_of_one_name_each_needs_its_own_list(
    folder: Path, authority: pki.Authority, put: Callable[..., None]
) -> None:
    twin = pki.Authority("Test")
    twin_bundle = [*bundle(authority), *bundle(twin)]
    put(a_list(authority))
    named = revocation.by_authority(twin_bundle, revocation.load(folder, twin_bundle))
    same = authority.issuing.certificate.subject == twin.issuing.certificate.subject
    assert (len(named), sum(newest is None for newest in named.values())) == (2, 1)
    assert all(("(key " in who) == same for who in named)
