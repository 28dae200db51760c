"""What people have open is shown to them and to administrators, and forgotten when it is lost."""

from __future__ import annotations

import pytest
from portal import users
from portal.context import Portal
from portal.core.errors import DatabaseTrouble, Forbidden
from portal.core.people import User
from portal.users import sessions
from portal.users.sessions import PAGE, SSH, OpenSessions
from support.fakes import FakeClock
from support.samples import TEST


@pytest.fixture
def process(portal: Portal) -> OpenSessions:
    return OpenSessions(portal)


def ways(portal: Portal, user: User) -> list[tuple[str, str]]:
    return [(each.way, each.address) for each in sessions.mine(portal, user)]


def test_a_person_sees_their_own_and_an_administrator_anybodys(
    portal: Portal, jane: User, john: User, process: OpenSessions, clock: FakeClock
) -> None:
    process.open("one", jane.id, PAGE, "10.0.0.5")
    clock.forward(1)
    process.open("two", jane.id, SSH, "10.0.0.6")
    assert ways(portal, jane) == [("page", "10.0.0.5"), ("ssh", "10.0.0.6")]
    assert ways(portal, john) == []
    assert len(sessions.of_user(portal, TEST, jane.subject)) == 2
    with pytest.raises(Forbidden):
        sessions.of_user(portal, john, jane.subject)
    process.close("one")
    assert ways(portal, jane) == [("ssh", "10.0.0.6")]


def test_what_a_process_that_died_had_open_is_forgotten_and_the_others_stay(
    portal: Portal, jane: User, process: OpenSessions, clock: FakeClock
) -> None:
    OpenSessions(portal).open("lost", jane.id, PAGE, "10.0.0.5")
    process.open("kept", jane.id, PAGE, "10.0.0.6")
    clock.forward(170)
    process.renew()
    clock.forward(60)
    assert ways(portal, jane) == [("page", "10.0.0.6")]
    process.renew()
    clock.forward(-120)
    assert ways(portal, jane) == [("page", "10.0.0.6")]  # and its row is gone


def test_a_database_that_is_away_is_in_nobodys_way(
    portal: Portal, jane: User, process: OpenSessions, monkeypatch: pytest.MonkeyPatch
) -> None:
    def away() -> None:
        raise DatabaseTrouble("database_away", "The database does not answer.")

    with monkeypatch.context() as patched:
        patched.setattr(portal.database, "transaction", away)
        process.open("one", jane.id, PAGE, "")
        process.renew()
        process.close("another")
    users.others(portal, jane)
    process.close("one")
    assert ways(portal, jane) == []
