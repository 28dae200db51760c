"""Programs have certificates, scopes and an end; they are nobody's pages."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import pki
import pytest
from app_pages.parts import session
from auth import identity_of
from certificates.names import policies_of
from portal import db, deployments, users
from portal.context import Portal
from portal.core.errors import Conflict, Forbidden, Invalid, NotAuthenticated
from portal.core.models import Order
from portal.core.people import Account, Identity, Role, Scope, User
from portal.deployments import gateway
from portal.users import service_accounts
from support.callers import PEOPLE
from support.fakes import FakeClock
from support.samples import TEST, identity

HARDWARE = pki.HARDWARE_POLICY.dotted_string
NIGHTLY = Identity(
    "service:nightly", "nightly", "nightly", None, None, "n" * 64, datetime.max.replace(tzinfo=UTC)
)
ORDER = {"image": "ml-cpu", "name": "night", "memory_gb": 1}


@pytest.fixture
def until(clock: FakeClock) -> datetime:
    return clock.at + timedelta(days=30)


@pytest.fixture
def nightly(
    portal: Portal, until: datetime, monkeypatch: pytest.MonkeyPatch
) -> Callable[..., User]:
    """Make the account, and a caller of that name at the API."""
    monkeypatch.setitem(PEOPLE, "nightly", NIGHTLY)

    def make(*scopes: Scope) -> User:
        return service_accounts.put(portal, TEST, "nightly", scopes, until)

    return make


def test_a_certificate_with_a_policy_of_services_is_a_programs() -> None:
    card = pki.Authority("Test").person("nightly-training.ci", "jane@corp.example").certificate
    assert policies_of(card) == {HARDWARE}
    assert (
        identity_of(card, services=frozenset({HARDWARE})).subject == "service:nightly-training.ci"
    )
    assert identity_of(card).subject == "upn:jane@corp.example"
    assert identity_of(card, services=frozenset({"1.2.3"})).subject == "upn:jane@corp.example"


@pytest.mark.parametrize("name", ["DOE.JANE.Q.1234567890", "Nightly", "a/b", "-x", "a" * 64])
def test_a_program_has_a_plain_name(name: str) -> None:
    card = pki.Authority("Test").person(name, "jane@corp.example").certificate
    with pytest.raises(NotAuthenticated, match="no name for one"):
        identity_of(card, services=frozenset({HARDWARE}))


def test_nobody_signs_in_as_a_program_that_no_administrator_made(portal: Portal) -> None:
    with pytest.raises(Forbidden, match="no service account nightly"):
        users.user_of(portal, NIGHTLY)


def test_a_persons_certificate_that_becomes_a_programs_is_not_the_person(
    portal: Portal, jane: User
) -> None:
    hers = identity("1234567890")
    with pytest.raises(Forbidden, match="no service account"):
        users.user_of(
            portal,
            Identity("service:x", "x", "x", None, None, hers.fingerprint, hers.not_after),
        )
    with portal.database.reading() as tx:
        assert db.users.aliases_of(tx, jane.id) == []


@pytest.mark.parametrize(
    ("scopes", "reads", "deploys"),
    [
        ((Scope.READ,), 200, 403),
        ((Scope.DEPLOY,), 403, 202),
        ((Scope.READ, Scope.DEPLOY), 200, 202),
    ],
)
def test_a_program_does_what_its_scopes_say(
    ask: Callable[..., Any],
    nightly: Callable[..., User],
    scopes: Sequence[Scope],
    reads: int,
    deploys: int,
) -> None:
    nightly(*scopes)
    assert ask("nightly", "GET", "/deployments")[0] == reads
    assert ask("nightly", "POST", "/deployments", json=ORDER)[0] == deploys
    for method, path in (
        ("POST", "/ssh-keys"),
        ("DELETE", "/me/sessions"),
        ("PUT", "/quotas/default"),
        ("GET", "/users"),
    ):
        assert ask("nightly", method, path)[0] == 403


def test_a_program_that_has_ended_is_out_everywhere_until_it_is_prolonged(
    portal: Portal, nightly: Callable[..., User], clock: FakeClock, until: datetime
) -> None:
    program = users.user_of(portal, NIGHTLY) if nightly(Scope.DEPLOY) else None
    assert program is not None
    port = 10000 + 100 * deployments.request(portal, program, Order("ml-cpu", "n")).owner.own_range
    with pytest.raises(Conflict):  # it starts
        gateway.route(portal, NIGHTLY, gateway.Door(port))
    clock.at = until
    for come in (
        lambda: users.user_of(portal, NIGHTLY),
        lambda: gateway.route(portal, NIGHTLY, gateway.Door(port)),
    ):
        with pytest.raises(Forbidden, match="has ended"):
            come()
    assert users.account(portal, program) is Account.ENDED
    later = until + timedelta(days=30)
    service_accounts.put(portal, TEST, "nightly", [Scope.READ], later)
    assert users.user_of(portal, NIGHTLY).scopes == (Scope.READ,)


def test_what_a_program_can_be_is_bounded(
    portal: Portal, jane: User, nightly: Callable[..., User], until: datetime, clock: FakeClock
) -> None:
    for name, scopes, ends in (
        ("Nightly", [Scope.READ], until),
        ("nightly", [], until),
        ("nightly", [Scope.READ], clock.at),
        ("nightly", [Scope.READ], clock.at + timedelta(days=400)),
    ):
        with pytest.raises(Invalid):
            service_accounts.put(portal, TEST, name, scopes, ends)
    with pytest.raises(Forbidden):
        service_accounts.put(portal, jane, "nightly", [Scope.READ], until)
    nightly(Scope.READ)
    with pytest.raises(Conflict, match="scopes, no role"):
        users.set_role(portal, TEST, NIGHTLY.subject, Role.ADMIN)


def test_pages_are_for_people(
    portal: Portal, nightly: Callable[..., User], monkeypatch: pytest.MonkeyPatch
) -> None:
    nightly(Scope.READ)
    monkeypatch.setattr(session, "_wired", lambda: (portal, None))
    monkeypatch.setattr(session, "card", lambda: NIGHTLY)
    with pytest.raises(Forbidden, match="Pages are for people"):
        session.sign_in()
