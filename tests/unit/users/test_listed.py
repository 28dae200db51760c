"""Whom PORTAL_ADMINS and PORTAL_CURATORS mean where several authorities issue names."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest
from portal import db, users
from portal.context import Portal
from portal.core.errors import Forbidden
from portal.core.people import Identity, Role
from support.fakes import FakeClock
from support.samples import ONE, OTHER, TEST, identity

UPN = "jane@corp.example"


def listing(portal: Portal, admins: str, realms: str = "") -> Portal:
    settings = portal.settings.model_copy(update={"admins": admins, "realms": realms})
    return replace(portal, settings=settings)


def card(edipi: str, root: str, upn: str | None = UPN) -> Identity:
    return replace(identity(edipi), upn=upn, roots=frozenset({root}))


def upn_only(root: str) -> Identity:
    return replace(card("3333333333", root), subject=f"upn:{UPN}", edipi=None)


@pytest.mark.parametrize("entry", [UPN, f"upn:{UPN.upper()}", f" UPN:{UPN} "])
def test_a_listed_name_is_that_of_the_authority_that_used_it_first(
    portal: Portal, entry: str
) -> None:
    here = listing(portal, entry)
    jane, mallory = card("1111111111", ONE), card("2222222222", OTHER)
    for who, role in ((jane, Role.ADMIN), (mallory, Role.USER), (upn_only(OTHER), Role.USER)):
        assert [users.user_of(here, who).role for _ in range(2)] == [role, role]
    assert users.user_of(here, jane).role is Role.ADMIN
    with portal.database.reading() as tx:
        shown = {user.subject: user.role for user in users.shown(here, tx, db.users.all_users(tx))}
    assert shown == {
        "edipi:1111111111": Role.ADMIN,
        "edipi:2222222222": Role.USER,
        f"upn:{UPN}": Role.USER,
    }


@pytest.mark.parametrize("name", ["2222222222", "edipi:2222222222", UPN])
@pytest.mark.parametrize("of", ["of Other Root CA", "of  other root ca", "OF Other Root CA"])
def test_an_entry_that_names_its_authority_is_nobody_elses_even_at_first(
    portal: Portal, name: str, of: str
) -> None:
    here = listing(portal, f"{name} {of}")
    assert users.user_of(here, card("2222222222", ONE)).role is Role.USER
    with pytest.raises(Forbidden, match="another authority"):
        users.user_of(here, card("2222222222", OTHER))


def test_an_entry_of_an_authority_counts_for_its_whole_realm(portal: Portal) -> None:
    here = listing(portal, f"{UPN} of Other Root CA", "One Root CA,Other Root CA")
    assert users.user_of(here, card("1111111111", ONE)).role is Role.ADMIN
    apart = listing(portal, f"{UPN} of Other Root CA")
    assert users.user_of(apart, card("1111111111", ONE)).role is Role.USER
    assert users.user_of(apart, card("4444444444", OTHER)).role is Role.ADMIN


@pytest.mark.parametrize("listed", ["edipi:1111111111", UPN, "upn:jane.new@corp.example"])
def test_a_role_is_the_persons_whichever_of_their_names_is_listed(
    portal: Portal, listed: str
) -> None:
    here = listing(portal, listed)
    old, new = card("1111111111", ONE), replace(upn_only(ONE), subject="upn:jane.new@corp.example")
    jane = users.user_of(here, old)
    users.merge(here, TEST, jane.subject, new.subject)
    for who in (old, replace(new, upn="jane.new@corp.example"), old):
        assert users.user_of(here, who).role is Role.ADMIN
    with portal.database.reading() as tx:
        assert [user.role for user in users.shown(here, tx, db.users.all_users(tx))] == [Role.ADMIN]


def test_a_upn_counts_no_longer_than_its_card(portal: Portal, clock: FakeClock) -> None:
    here = listing(portal, UPN)
    here = replace(here, settings=here.settings.model_copy(update={"dormant_days": 0}))
    old = card("1111111111", ONE)
    new = replace(old, upn="jane.new@corp.example", fingerprint="2" * 64)
    assert users.user_of(here, old).role is Role.ADMIN
    new = replace(new, not_after=old.not_after + timedelta(days=365))
    assert users.user_of(here, new).role is Role.ADMIN
    clock.at = old.not_after
    assert users.user_of(here, new).role is Role.USER


def test_a_realm_of_an_authority_that_is_not_accepted_is_told(portal: Portal) -> None:
    told = users.doubtful(listing(portal, "", "One Root CA,Other Rot CA").settings, {ONE, OTHER})
    assert [entry for entry, _ in told] == ["other rot ca"]


def test_an_authority_of_which_two_are_accepted_is_told(portal: Portal) -> None:
    twins = {"CN=Root CA,O=A", "CN=Root CA,O=B"}
    told = users.doubtful(listing(portal, f"{UPN} of Root CA").settings, twins)
    assert "several" in dict(told)[f"{UPN} of Root CA"]


@pytest.mark.parametrize(
    ("entry", "problem"),
    [
        ("Jane Doe", "not a name that a card can carry"),
        ("edipi:123", "not a name that a card can carry"),
        ("edipi:0000000000", "not a name that a card can carry"),
        ("uuid:7", "not a name that a card can carry"),
        (f"{UPN} of Third Root CA", "not accepted here"),
        (UPN, "names no authority"),
        (f"{UPN} of Other Root CA", None),
        ("", None),
    ],
)
def test_an_entry_that_means_nobody_or_perhaps_two_is_told(
    portal: Portal, entry: str, problem: str | None
) -> None:
    told = dict(users.doubtful(listing(portal, entry).settings, {ONE, OTHER}))
    assert list(told) == ([entry] if problem else [])
    assert all(problem in each for each in told.values() if problem)


def test_where_one_authority_is_accepted_an_entry_needs_to_name_none(portal: Portal) -> None:
    assert users.doubtful(listing(portal, UPN).settings, {ONE}) == []
    joined = listing(portal, UPN, "One Root CA,Other Root CA").settings
    assert users.doubtful(joined, {ONE, OTHER}) == []


def test_an_authority_with_a_comma_in_its_name_can_be_named(portal: Portal) -> None:
    comma, twin = "CN=Smith\\, Root,C=US", "CN=Smith\\, Other,C=US"
    here = listing(portal, f"{UPN} of Smith\\, Root", "Smith\\, Root,Other Root CA")
    assert users.user_of(here, card("1111111111", comma)).role is Role.ADMIN
    assert users.user_of(here, card("2222222222", OTHER)).role is Role.ADMIN
    assert users.user_of(here, card("3333333333", twin)).role is Role.USER
    unknown = listing(portal, f"{UPN} of Smith\\, Other", "Smith\\, Root,Other Root CA")
    assert users.user_of(unknown, card("1111111111", comma)).role is Role.USER


def test_a_comma_in_an_authoritys_name_is_part_of_it(portal: Portal) -> None:
    odd = "O=CN=One Root CA,CN=Smith\\, Root,C=US"
    settings = portal.settings.model_copy(update={"realms": "Smith\\, Root,Other Root CA"})
    assert settings.realm_of(odd) == settings.realm_of(OTHER)
    joined = portal.settings.model_copy(update={"realms": "One Root CA,Other Root CA,"})
    assert joined.realm_of("O=Nameless,C=US") == "O=Nameless,C=US"
    assert joined.realm_of("OU=x\\,CN=One Root CA,CN=Evil") != joined.realm_of(ONE)


def test_a_certificate_from_before_names_were_kept_gets_them_without_a_word(portal: Portal) -> None:
    jane = card("1111111111", ONE)
    users.user_of(portal, jane)
    with portal.database.transaction() as tx:
        kept = db.certificates.known(tx, jane.fingerprint, 1)
        assert kept is not None
        db.certificates.complete(tx, replace(kept, subject="", upn="", root=""))
        before = len(list(db.audit.events(tx)))
    users.user_of(portal, jane)
    with portal.database.reading() as tx:
        assert db.certificates.known(tx, jane.fingerprint, 1) == kept
        assert len(list(db.audit.events(tx))) == before
