"""Chains and extension rules for CAC-like certificates (RFC 5280), on cryptography's verifier.

Its default policy rejects such chains (critical policyConstraints on CAs, no SAN on leaves); these
rules admit what real CACs carry and require what a login certificate must have.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.x509 import verification
from cryptography.x509.oid import ExtendedKeyUsageOID
from cryptography.x509.verification import Criticality, ExtensionPolicy, PolicyBuilder, Store

from certificates import crl

MAX_CHAIN_DEPTH = 5


MAX_PATHS = 8
"""One is the rule; several where an authority was certified more than once."""
CertificationPath = tuple[x509.Certificate, ...]
"""A certification path (RFC 5280, section 6): the leaf first, the root last."""


def authorities(pem: bytes) -> tuple[list[x509.Certificate], list[int]]:
    """Those of a bundle, and the numbers, from 1, of those that cannot be read.

    A name in an encoding of before, T.61 say, is read by nobody: the others count all the same.
    ValueError where the bundle is none.
    """
    read, unread = [], []
    for number, each in enumerate(x509.load_pem_x509_certificates(pem), 1):
        try:
            _ = each.subject, each.issuer, each.extensions
        except (ValueError, x509.DuplicateExtension, x509.UnsupportedGeneralNameType):
            unread.append(number)
        else:
            read.append(each)
    return read, unread


def certification_paths(
    leaf: x509.Certificate,
    bundle: Sequence[x509.Certificate],
    policies: frozenset[str],
    at: datetime,
) -> tuple[CertificationPath, ...]:
    """Every path on which a leaf is good: validity, signatures, constraints, usages, a policy.

    `bundle` holds roots (self-issued) and intermediates. Raises VerificationError or ValueError
    where there is none.
    """
    roots = [c for c in bundle if is_root(c)]
    verifier = _verifier(roots, policies, at)
    intermediates = [c for c in bundle if not is_root(c)]
    paths = [tuple(verifier.verify(leaf, intermediates).chain)]
    # The verifier ends at the first: each authority on a path is left out in turn.
    left_out = [frozenset([ca]) for ca in paths[0][1:-1]]
    while left_out and len(paths) < MAX_PATHS:
        without = left_out.pop()
        try:
            rest = [ca for ca in intermediates if ca not in without]
            path = tuple(verifier.verify(leaf, rest).chain)
        except verification.VerificationError:
            continue
        if path not in paths:
            paths.append(path)
            left_out += [without | {ca} for ca in path[1:-1]]
    return tuple(paths)


def separate_roots(bundle: Sequence[x509.Certificate]) -> list[str]:
    """Names (RFC 4514) of the roots that no other root of the bundle vouches for, sorted.

    A root that another certified as well (cross-signed) vouches for the same people as that one.
    """
    vouched_for = {(ca.subject, crl.key_of(ca)) for ca in bundle if not is_root(ca)}
    roots = {(ca.subject, crl.key_of(ca)) for ca in bundle if is_root(ca)}
    return sorted(subject.rfc4514_string() for subject, _ in roots - vouched_for)


def is_root(authority: x509.Certificate) -> bool:
    """Whether it is signed with its own key.

    One of the same name with another key is self-issued only: the new key of an authority,
    vouched for by the old one (RFC 5280, 3.2).
    """
    if authority.subject != authority.issuer:
        return False
    try:
        authority.verify_directly_issued_by(authority)
    except (ValueError, TypeError, InvalidSignature):
        return False
    return True


def _verifier(
    roots: Sequence[x509.Certificate], policies: frozenset[str], at: datetime
) -> verification.ClientVerifier:
    return (
        PolicyBuilder()
        .store(Store(list(roots)))
        .time(at)
        .max_chain_depth(MAX_CHAIN_DEPTH)
        .extension_policies(ca_policy=_ca_policy(), ee_policy=_leaf_policy(policies))
        .build_client_verifier()
    )


def _ca_policy() -> ExtensionPolicy:
    policy = ExtensionPolicy.webpki_defaults_ca()  # keyCertSign and basicConstraints stay required
    for kind in (
        x509.PolicyConstraints,
        x509.CertificatePolicies,
        x509.InhibitAnyPolicy,
        x509.NameConstraints,
    ):
        policy = policy.may_be_present(kind, Criticality.AGNOSTIC, None)
    return policy


def _leaf_policy(policies: frozenset[str]) -> ExtensionPolicy:
    def eku(_: Any, __: x509.Certificate, usage: x509.ExtendedKeyUsage) -> None:
        if ExtendedKeyUsageOID.CLIENT_AUTH not in usage:
            raise ValueError("extended key usage has no clientAuth")

    def key_usage(_: Any, __: x509.Certificate, usage: x509.KeyUsage) -> None:
        if not usage.digital_signature:
            raise ValueError("key usage has no digitalSignature")
        if usage.key_cert_sign or usage.crl_sign:
            raise ValueError("key usage is an authority's")

    def basic_constraints(
        _: Any, __: x509.Certificate, constraints: x509.BasicConstraints | None
    ) -> None:
        if constraints is not None and constraints.ca:
            raise ValueError("basic constraints are an authority's")

    def certificate_policies(
        _: Any, __: x509.Certificate, stated: x509.CertificatePolicies | None
    ) -> None:
        if policies and not policies & {p.policy_identifier.dotted_string for p in stated or ()}:
            raise ValueError(f"none of the required certificate policies {sorted(policies)}")

    return (
        ExtensionPolicy.webpki_defaults_ee()
        .may_be_present(x509.SubjectAlternativeName, Criticality.AGNOSTIC, None)
        .may_be_present(x509.BasicConstraints, Criticality.AGNOSTIC, basic_constraints)
        .require_present(x509.ExtendedKeyUsage, Criticality.AGNOSTIC, eku)
        .require_present(x509.KeyUsage, Criticality.AGNOSTIC, key_usage)
        .may_be_present(x509.CertificatePolicies, Criticality.AGNOSTIC, certificate_policies)
    )
