"""Lists of changes (delta lists) count with the whole list that they change."""

from __future__ import annotations

from collections.abc import Callable

import pki
import pytest
from certificates.revocation import RevocationLists
from cryptography import x509
from support.lists import a_list, refused


def changes(number: int, of: int) -> tuple[tuple[x509.ExtensionType, bool], ...]:
    """What makes a list one of changes (RFC 5280, 5.2.4)."""
    return (x509.CRLNumber(number), False), (x509.DeltaCRLIndicator(of), True)


def test_a_list_of_changes_counts_with_the_list_that_it_changes(
    strict: RevocationLists,
    put: Callable[..., None],
    authority: pki.Authority,
    jane: x509.Certificate,
) -> None:
    other = authority.person("ROE.JOHN.A.2345678901", None).certificate
    number = (x509.CRLNumber(7), False)
    on_hold = ((x509.CRLReason(x509.ReasonFlags.certificate_hold), False),)
    put(a_list(authority, number, revoked=(other,), of_entries=on_hold), "whole.crl")
    assert [refused(strict, each) for each in (jane, other)] == ["", "revoked"]
    put(a_list(authority, *changes(8, 7), revoked=(jane,)), "changes.crl")
    assert [refused(strict, each) for each in (jane, other)] == ["revoked", "revoked"]
    back = ((x509.CRLReason(x509.ReasonFlags.remove_from_crl), False),)
    put(a_list(authority, *changes(9, 7), revoked=(other,), of_entries=back), "changes.crl")
    assert [refused(strict, each) for each in (jane, other)] == ["", ""]
    assert strict.held().unusable == ()


@pytest.mark.parametrize(
    ("number", "of", "told"), [(9, 8, True), (7, 5, False), (6, 5, False), (8, 7, False)]
)
def test_changes_of_another_list_are_told_and_those_of_before_count_no_more(
    strict: RevocationLists,
    put: Callable[..., None],
    authority: pki.Authority,
    jane: x509.Certificate,
    number: int,
    of: int,
    told: bool,
) -> None:
    put(a_list(authority, (x509.CRLNumber(7), False)), "whole.crl")
    put(a_list(authority, *changes(number, of), revoked=(jane,)), "changes.crl")
    counts = of <= 7 < number
    assert refused(strict, jane) == ("revoked" if counts else "")
    assert [name for name, _ in strict.held().unusable] == (["changes.crl"] if told else [])


def test_a_list_of_changes_keeps_the_rest_of_its_authoritys_lists_current(
    strict: RevocationLists,
    put: Callable[..., None],
    authority: pki.Authority,
    jane: x509.Certificate,
) -> None:
    put(a_list(authority, (x509.CRLNumber(7), False)), "whole.crl")
    put(a_list(authority, *changes(8, 7)), "changes.crl")
    [one] = strict.held().lists
    assert (one.number, one.file) == (8, "whole.crl with changes.crl")
