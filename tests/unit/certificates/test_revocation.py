"""Revoked cards: lists in a folder, what each covers, what happens without, fetching."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from datetime import datetime, timedelta
from pathlib import Path
from urllib.parse import quote

import pki
import pytest
from auth import Authenticator
from certificates import crl, revocation
from certificates.crl import RevocationList
from certificates.revocation import RevocationLists
from cryptography import x509
from portal.core.errors import NotAuthenticated
from portal.core.settings import Settings
from support.lists import a_list, refused

UNKNOWN = x509.UnrecognizedExtension(x509.ObjectIdentifier("1.2.3.4"), b"\x05\x00")


def scope(**limits: object) -> tuple[x509.IssuingDistributionPoint, bool]:
    whole: dict[str, object] = {
        "full_name": None,
        "relative_name": None,
        "only_contains_user_certs": False,
        "only_contains_ca_certs": False,
        "only_some_reasons": None,
        "indirect_crl": False,
        "only_contains_attribute_certs": False,
    }
    return x509.IssuingDistributionPoint(**whole | limits), True  # type: ignore[arg-type]


def test_a_revoked_card_stays_out_from_the_moment_that_the_list_says_so(
    strict: RevocationLists,
    put: Callable[..., None],
    authority: pki.Authority,
    jane: x509.Certificate,
) -> None:
    put(authority.revocation_list())
    assert refused(strict, jane) == ""
    put(authority.revocation_list(jane))
    assert refused(strict, jane) == "revoked"
    put(authority.revocation_list(starts=timedelta(seconds=1)))  # taken off hold again
    assert refused(strict, jane) == ""


def test_an_identity_that_is_remembered_is_checked_all_the_same(
    settings: Settings,
    tmp_path: Path,
    strict: RevocationLists,
    put: Callable[..., None],
    authority: pki.Authority,
    jane: x509.Certificate,
) -> None:
    ca = tmp_path / "client_ca"
    ca.write_bytes(authority.bundle)
    door = Authenticator(settings.model_copy(update={"client_ca_file": ca}), strict)
    headers = {
        "X-Proxy-Secret": "only-nginx-knows",
        "X-Client-Verify": "SUCCESS",
        "X-Client-Cert": quote(pki.pem(jane).decode()),
    }
    put(authority.revocation_list())
    assert door.authenticate(headers).edipi == "1234567890"
    put(authority.revocation_list(jane))
    with pytest.raises(NotAuthenticated, match="revoked by its authority"):
        door.authenticate(headers)


def test_without_a_list_strict_lets_nobody_in_and_soft_everybody(
    strict: RevocationLists, soft: RevocationLists, jane: x509.Certificate
) -> None:
    assert (refused(strict, jane), refused(soft, jane)) == ("revocation_unknown", "")


def test_a_list_that_is_too_old_still_revokes_but_vouches_for_nobody(
    strict: RevocationLists,
    soft: RevocationLists,
    put: Callable[..., None],
    authority: pki.Authority,
    jane: x509.Certificate,
) -> None:
    other = authority.person("ROE.JOHN.A.2345678901", None).certificate
    put(authority.revocation_list(jane, days=1, starts=timedelta(days=-2)))
    assert (refused(strict, other), refused(soft, other)) == ("revocation_unknown", "")
    assert refused(soft, jane) == "revoked"


@pytest.mark.parametrize(
    ("content", "why"),
    [
        (lambda own: b"<html>404</html>", "not a certificate revocation list"),
        (lambda own: pki.Authority("Test").revocation_list(), "no accepted authority signed it"),
        (
            lambda own: own.revocation_list()[:400] + b"\n-----END X509 CRL-----\n",
            "not a certificate revocation list",
        ),
        (lambda own: a_list(own, (x509.DeltaCRLIndicator(7), True)), "changes only"),
        (
            lambda own: a_list(own, scope(indirect_crl=True), (x509.DeltaCRLIndicator(7), True)),
            "changes of an indirect list",
        ),
        (
            lambda own: a_list(
                own, scope(only_some_reasons=frozenset([x509.ReasonFlags.superseded]))
            ),
            "partial",
        ),
        (lambda own: a_list(own, (UNKNOWN, True)), "critical extension that is unknown"),
        (lambda own: own.revocation_list(starts=timedelta(hours=1)), "from the future"),
    ],
    ids=[
        "a web page",
        "another authority of the same name",
        "cut off",
        "delta",
        "changes of an indirect list",
        "reasons",
        "critical",
        "future",
    ],
)
def test_what_is_no_whole_list_of_our_authorities_counts_for_nothing_and_is_named(
    strict: RevocationLists,
    put: Callable[..., None],
    authority: pki.Authority,
    jane: x509.Certificate,
    content: Callable[[pki.Authority], bytes],
    why: str,
) -> None:
    put(content(authority))
    assert refused(strict, jane) == "revocation_unknown"
    [(name, output)] = strict.held().unusable
    assert (name, why in output) == ("people.crl", True), output


def test_a_forged_list_of_another_version_stops_no_other(
    strict: RevocationLists,
    folder: Path,
    put: Callable[..., None],
    authority: pki.Authority,
    jane: x509.Certificate,
) -> None:
    put(authority.revocation_list(jane))
    forged = a_list(authority).replace(b"\x02\x01\x01", b"\x02\x01\x02", 1)
    (folder / "forged.crl").write_bytes(forged)
    assert refused(strict, jane) == "revoked"
    [(name, output)] = strict.held().unusable
    assert (name, "cannot be read" in output) == ("forged.crl", True), output


@pytest.mark.parametrize(
    ("extension", "critical", "outcome"),
    [
        (UNKNOWN, True, "revocation_unknown"),
        (x509.CertificateIssuer([x509.DNSName("another.example")]), True, "revocation_unknown"),
        (UNKNOWN, False, "revoked"),
        (x509.CRLReason(x509.ReasonFlags.certificate_hold), True, "revoked"),
        (x509.InvalidityDate(datetime(2026, 1, 1)), False, "revoked"),  # noqa: DTZ001
    ],
    ids=["unknown", "issuer", "not critical", "a reason", "since when"],
)
def test_a_list_counts_unless_an_entry_needs_what_we_do_not_know(
    strict: RevocationLists,
    put: Callable[..., None],
    authority: pki.Authority,
    jane: x509.Certificate,
    extension: x509.ExtensionType,
    critical: bool,
    outcome: str,
) -> None:
    put(
        a_list(
            authority,
            scope(only_contains_user_certs=True),
            revoked=(jane,),
            of_entries=((extension, critical),),
        )
    )
    assert refused(strict, jane) == outcome


def test_a_list_speaks_for_those_it_is_made_for_only(
    strict: RevocationLists,
    put: Callable[..., None],
    authority: pki.Authority,
    jane: x509.Certificate,
) -> None:
    put(a_list(authority, scope(only_contains_ca_certs=True), revoked=(jane,)))
    assert refused(strict, jane) == "revocation_unknown"
    elsewhere = [x509.UniformResourceIdentifier("http://crl.example/part-7.crl")]
    put(a_list(authority, scope(full_name=elsewhere), revoked=(jane,)))
    assert refused(strict, jane) == "revocation_unknown"
    put(a_list(authority, scope(only_contains_user_certs=True), revoked=(jane,)))
    assert refused(strict, jane) == "revoked"


def test_an_authority_that_its_root_revoked_lets_nobody_in(
    soft: RevocationLists,
    put: Callable[..., None],
    authority: pki.Authority,
    jane: x509.Certificate,
) -> None:
    put(a_list(authority, signed_by="root", revoked=(authority.issuing.certificate,)), "root.crl")
    assert refused(soft, jane) == "revoked"


def test_a_link_that_leads_nowhere_is_one_list_missing_not_all(
    soft: RevocationLists,
    put: Callable[..., None],
    folder: Path,
    authority: pki.Authority,
    jane: x509.Certificate,
) -> None:
    (folder / "old.crl").symlink_to(folder / "gone")
    put(authority.revocation_list(jane))
    assert refused(soft, jane) == "revoked"


def test_a_list_that_becomes_readable_counts(
    soft: RevocationLists,
    put: Callable[..., None],
    folder: Path,
    authority: pki.Authority,
    jane: x509.Certificate,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    read = Path.read_bytes

    def denied(path: Path) -> bytes:
        if not path.stat().st_mode & 0o400:
            raise PermissionError(13, "Permission denied")  # tests run as root, who may
        return read(path)

    monkeypatch.setattr(Path, "read_bytes", denied)
    put(authority.revocation_list(jane))
    (folder / "people.crl").chmod(0o000)
    assert (refused(soft, jane), len(soft.held().unusable)) == ("", 1)
    (folder / "people.crl").chmod(0o444)
    assert refused(soft, jane) == "revoked"


def test_the_folder_is_not_read_for_every_request(
    strict: RevocationLists, folder: Path, authority: pki.Authority, jane: x509.Certificate
) -> None:
    (folder / "people.crl").write_bytes(authority.revocation_list())
    assert refused(strict, jane) == ""
    (folder / "people.crl").unlink()
    assert refused(strict, jane) == ""  # within REREAD_S


def test_only_the_list_that_changed_is_read_again(
    soft: RevocationLists,
    put: Callable[..., None],
    authority: pki.Authority,
    jane: x509.Certificate,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    names: list[str] = []
    read = crl.read

    def noted(name: str, *rest: object) -> RevocationList:
        names.append(name)
        return read(name, *rest)  # type: ignore[arg-type]

    monkeypatch.setattr(revocation, "read", noted)
    put(authority.revocation_list(), "people.crl")
    put(a_list(authority, signed_by="root"), "root.crl")
    assert refused(soft, jane) == ""
    put(authority.revocation_list(jane), "people.crl")
    assert refused(soft, jane) == "revoked"
    assert names == ["people.crl", "root.crl", "people.crl"]


def test_the_list_before_counts_while_a_new_one_is_read(
    soft: RevocationLists,
    put: Callable[..., None],
    authority: pki.Authority,
    jane: x509.Certificate,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    put(authority.revocation_list(jane))
    monkeypatch.setattr(revocation, "REREAD_S", 0.01)
    soft.follow()
    read, reading, go_on = crl.read, threading.Event(), threading.Event()

    def slow(*arguments: object) -> RevocationList:
        reading.set()
        go_on.wait(10)
        return read(*arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(revocation, "read", slow)
    (soft._folder / "people.crl").write_bytes(authority.revocation_list())
    assert reading.wait(10)
    assert refused(soft, jane) == "revoked"  # by the list that counts still
    go_on.set()
    while refused(soft, jane):
        time.sleep(0.01)  # the limit is the test's


def test_what_was_revoked_stays_so_when_the_folder_cannot_be_read(
    soft: RevocationLists,
    put: Callable[..., None],
    folder: Path,
    authority: pki.Authority,
    jane: x509.Certificate,
) -> None:
    put(authority.revocation_list(jane))
    assert refused(soft, jane) == "revoked"
    folder.rename(folder.with_name("away"))
    assert refused(soft, jane) == "revoked"
